namespace ReliabilityToolkit.Orleans;

/// <summary>
/// What a limiter has lent: to each node at most one part of its room and its rate, which ends by itself. It keeps the books so that what is lent and
/// the rest never are more than the whole, however late, lost or repeated a message is. Not thread-safe.
/// </summary>
/// <remarks>
/// Who is to get how much is not decided here (<see cref="TokenShares"/>). The rules by which the books are kept, each with the mistake that it
/// prevents, are in docs/protocol.md.
/// </remarks>
internal sealed class TokenParts
{
    private readonly Dictionary<Borrower, Part> _byHolder = [];

    // All terms are alike, so the order in which parts were answered is also that in which they end, and in which they are forgotten.
    private readonly LinkedList<Part> _lent = [];
    private readonly LinkedList<Part> _ended = [];

    /// <summary>Tokens' room that is lent, or may be.</summary>
    public long LentRoom { get; private set; }

    /// <summary>Units per tick that are lent, or may be.</summary>
    public Int128 LentRate { get; private set; }

    /// <summary>When the next part ends.</summary>
    public Instant NextEndAt => _lent.First is { } first ? first.Value.EndsAt : Instant.Never;

    /// <summary>When the last one ends that is lent today.</summary>
    public Instant LastEndAt => _lent.Last is { } last ? last.Value.EndsAt : default;

    /// <summary>Who has asked within the last two terms or so, in no order.</summary>
    public IEnumerable<Part> Known => _byHolder.Values;

    /// <summary>What is known of one; null: nothing.</summary>
    public Part? Find(Borrower holder) => _byHolder.GetValueOrDefault(holder);

    /// <summary>What is lent, for the authority that carries on.</summary>
    public PartMemory[] Capture(Instant now) =>
    [
        .. _lent.Select(part => new PartMemory(
            part.Holder,
            part.Answer,
            part.AnsweredRate,
            part.EndsAt.After(now),
            part.HeldSequence,
            part.HeldRate,
            part.Room,
            part.Rate,
            part.GivenBack,
            part.Alone,
            part.Demand,
            now - part.HeardAt)),
    ];

    /// <summary>Goes on with what was lent: nobody holds anything else, and each for as long as was left.</summary>
    public void Resume(PartMemory[] parts, Instant now)
    {
        foreach (var memory in parts)
        {
            var part = Of(memory.Holder);
            (part.Answer, part.AnsweredRate, part.EndsAt, part.HeldSequence) =
                (memory.Answer, memory.AnsweredRate, now + memory.EndsIn, memory.HeldSequence);
            (part.GivenBack, part.Alone, part.Demand) = (memory.GivenBack, memory.Alone, memory.Demand);
            part.HeardAt = new Instant(now.Ticks - memory.HeardAgo.Ticks);
            Reserve(part, memory.Room, memory.HeldRate, memory.Rate);
            part.Place.List!.Remove(part.Place);
            (part.IsEnded ? _ended : _lent).AddLast(part.Place);
        }
    }

    /// <summary>Takes back the part that ends next: its room and its rate, and no tokens.</summary>
    public void EndNext()
    {
        var node = _lent.First!;
        _lent.Remove(node);
        _ended.AddLast(node);
        Reserve(node.Value, 0, 0, 0);
    }

    /// <summary>Forgets who has been silent since before <paramref name="silentSince"/> and holds nothing.</summary>
    public void ForgetSilent(Instant silentSince)
    {
        while (_ended.First is { } first && first.Value.HeardAt < silentSince)
        {
            _ended.RemoveFirst();
            _byHolder.Remove(first.Value.Holder);
        }
    }

    /// <summary>
    /// Takes a node's state, if it is newer than any that was taken. What the node has made smaller is the rest's from now on, together with the
    /// tokens that stood in it.
    /// </summary>
    /// <param name="request">The node's view.</param>
    /// <param name="now">The grain's instant; ended parts have been taken back by then.</param>
    /// <param name="part">The node's part.</param>
    /// <param name="givenBack">Tokens for the rest.</param>
    /// <returns>Whether it is new; if not, <see cref="Part.Answer"/> is what it was told, or the request is out of date.</returns>
    public bool TryTake(in PartRequest request, Instant now, out Part part, out long givenBack)
    {
        givenBack = 0;
        part = Of(request.Holder);
        if (request.Sequence <= part.Answer.Sequence)
            return false;

        // What the node holds stems from the newest answer, or from the one it was last known to hold; else its part has ended since, or was never
        // this authority's. The answer in between can no longer be taken, now that there is a newer request: only its tokens are lost.
        var isEmpty = request.Taken == 0 || part.IsEnded || (request.Taken != part.Answer.Sequence && request.Taken != part.HeldSequence);
        if (isEmpty)
        {
            Reserve(part, 0, 0, 0);
            part.HeldSequence = 0;
        }
        else
        {
            if (request.Taken == part.Answer.Sequence)
                (part.HeldSequence, part.HeldRate) = (request.Taken, part.AnsweredRate);
            var room = Math.Min(request.Room, part.Room);
            givenBack = Math.Clamp(request.GivenBack - part.GivenBack, 0, part.Room - room);
            var rate = room == 0 ? 0 : part.HeldRate; // without a room it earns nothing
            Reserve(part, room, rate, rate);
        }

        part.GivenBack = request.GivenBack;
        part.Demand = Math.Max(request.Demand, request.AtTheDoor);
        part.HeardAt = now;
        return true;
    }

    /// <summary>
    /// Notes what a node says that it has admitted by itself; the node counts anew from each answer that it takes, and says it again until then.
    /// </summary>
    /// <returns>Tokens that it had not said so before.</returns>
    public static long TakeAlone(Part part, long alone)
    {
        var unsaid = alone < part.Alone ? alone : alone - part.Alone;
        part.Alone = alone;
        return unsaid;
    }

    /// <summary>Notes what a node wants that asks for tokens one by one.</summary>
    /// <returns>What is known of it.</returns>
    public Part Hear(Borrower holder, double demand, Instant now)
    {
        var part = Of(holder);
        (part.Demand, part.HeardAt) = (demand, now);
        if (part.IsEnded)
        {
            _ended.Remove(part.Place);
            _ended.AddLast(part.Place);
        }

        return part;
    }

    /// <summary>The unit of rates has changed: what is lent is told in the new one, rounded up.</summary>
    /// <param name="costBefore">Of a token.</param>
    /// <param name="cost">Likewise, now.</param>
    /// <param name="fullRate">Of the policy, now: more than that is as good as that.</param>
    public void ChangeUnit(long costBefore, long cost, long fullRate)
    {
        foreach (var part in _lent)
        {
            part.AnsweredRate = Convert(part.AnsweredRate);
            Reserve(part, part.Room, Convert(part.HeldRate), Convert(part.Rate));
        }

        long Convert(long rate) => (long)Int128.Min((((Int128)rate * cost) + costBefore - 1) / costBefore, fullRate);
    }

    /// <summary>Lends until a term from now what the answer says, beside what the node may still hold until it has that answer.</summary>
    public void Lend(Part part, in PartGrant answer, Instant now)
    {
        (part.Answer, part.AnsweredRate) = (answer, answer.Rate);
        part.EndsAt = LeaseTerm.LentUntil(now, LeaseTerm.OfPart);
        Reserve(part, Math.Max(part.Room, answer.Room), part.HeldRate, Math.Max(part.HeldRate, answer.Rate));
        part.Place.List!.Remove(part.Place);
        part.IsEnded = part.Room == 0 && part.Rate == 0;
        (part.IsEnded ? _ended : _lent).AddLast(part.Place);
    }

    private Part Of(Borrower holder)
    {
        if (!_byHolder.TryGetValue(holder, out var part))
        {
            part = new Part(holder);
            _byHolder.Add(holder, part);
            _ended.AddLast(part.Place);
        }

        return part;
    }

    private void Reserve(Part part, int room, long heldRate, long rate)
    {
        LentRoom += room - part.Room;
        LentRate += rate - part.Rate;
        (part.Room, part.HeldRate, part.Rate) = (room, heldRate, rate);
        part.IsEnded = room == 0 && rate == 0;
    }

    /// <summary>What is known of one node.</summary>
    internal sealed class Part
    {
        public Part(Borrower holder)
        {
            Holder = holder;
            Place = new LinkedListNode<Part>(this);
        }

        public Borrower Holder { get; }

        public LinkedListNode<Part> Place { get; }

        /// <summary>What it was told last.</summary>
        public PartGrant Answer { get; set; }

        /// <summary>The rate that it was told last, in today's units.</summary>
        public long AnsweredRate { get; set; }

        /// <summary>When that ends for the lender.</summary>
        public Instant EndsAt { get; set; }

        /// <summary>Which answer the node was last known to hold; 0: none.</summary>
        public long HeldSequence { get; set; }

        /// <summary>The rate of that answer.</summary>
        public long HeldRate { get; set; }

        /// <summary>The most room that it may have: what it had, and what the last answer added.</summary>
        public int Room { get; set; }

        /// <summary>The highest rate that it may use: that of the answer that it holds, or of the last.</summary>
        public long Rate { get; set; }

        /// <summary>As the node counts it.</summary>
        public long GivenBack { get; set; }

        /// <summary>Likewise: what it last said that it had admitted by itself.</summary>
        public long Alone { get; set; }

        /// <summary>Whether nothing is lent to it.</summary>
        public bool IsEnded { get; set; } = true;

        /// <summary>Tokens per second that its callers want. What is no number is nothing: one node's nonsense must not be everybody's.</summary>
        public double Demand
        {
            get;
            set => field = double.IsFinite(value) && value > 0 ? value : 0;
        }

        public Instant HeardAt { get; set; }
    }
}
