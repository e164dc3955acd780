namespace ReliabilityToolkit.Orleans;

/// <summary>
/// What a bulkhead has lent: to each node some of its slots, all until one lease ends. It keeps the books so that what is lent never is more than was
/// to be had, however late, lost or repeated a message is. Not thread-safe.
/// </summary>
/// <remarks>
/// Who is to get how many is not decided here (<see cref="SlotLine"/>). A loan grows when a request is answered, and becomes smaller when the node
/// says so, or ends: the answers to older requests can no longer be taken by then.
/// </remarks>
internal sealed class SlotLoans
{
    private readonly Dictionary<Borrower, Loan> _byBorrower = [];

    // Those heard last at the end, so that those whose leases end first are at the beginning.
    private readonly LinkedList<Loan> _nodes = [];
    private readonly LinkedList<Loan> _direct = [];
    private readonly LinkedList<Loan> _over = [];

    /// <summary>Slots that are lent, or may be.</summary>
    public long Slots { get; private set; }

    /// <summary>When the last lease ends of all whom it has heard.</summary>
    public Instant LastEndAt { get; private set; }

    /// <summary>The nodes that were heard within a lease, those heard last at the end.</summary>
    public IEnumerable<Loan> Nodes => _nodes;

    /// <summary>Beside these, callers without the client library.</summary>
    public IEnumerable<Loan> Alive => _nodes.Concat(_direct);

    public Loan? Find(Borrower borrower) => _byBorrower.GetValueOrDefault(borrower);

    /// <summary>
    /// All that is lent, and who waits, for the authority that carries on; without direct callers who wait, for their calls have been cut.
    /// </summary>
    public LoanMemory[] Capture(Instant now) =>
    [
        .. Alive.Where(static loan => loan.Slots > 0 || (loan.Waiting > 0 && !loan.IsDirect)).Select(loan => new LoanMemory(
            loan.Borrower,
            loan.Sequence,
            loan.Answer,
            loan.Slots,
            loan.Number,
            loan.InUse,
            loan.SaidInUse,
            loan.EndsAt.After(now),
            now - loan.Since,
            now - loan.HeardAt,
            loan.NodeName,
            loan.Knows,
            loan.Asks,
            loan.Waiting,
            loan.Turn,
            loan.CameAs)),
    ];

    /// <summary>Goes on with one, for as long as was left.</summary>
    public Loan Resume(in LoanMemory memory, Instant now)
    {
        var loan = Hear(memory.Borrower, new Instant(now.Ticks - memory.HeardAgo.Ticks));
        Lend(loan, memory.Slots, memory.InUse, now);
        Extend(loan, memory.EndsIn, now);
        (loan.Sequence, loan.Answer, loan.Number, loan.SaidInUse) = (memory.Sequence, memory.Answer, memory.Number, memory.SaidInUse);
        (loan.Since, loan.NodeName, loan.Knows) = (new Instant(now.Ticks - memory.HeldFor.Ticks), memory.NodeName, memory.Knows);
        return loan;
    }

    /// <summary>What is known of a node that has just said something.</summary>
    public Loan Hear(Borrower borrower, Instant now)
    {
        if (_byBorrower.TryGetValue(borrower, out var loan))
            loan.Place.List!.Remove(loan.Place);
        else
            _byBorrower.Add(borrower, loan = new Loan(borrower));
        (loan.IsDirect ? _direct : _nodes).AddLast(loan.Place);
        loan.HeardAt = now;
        return loan;
    }

    /// <summary>It is lent so many from now on, or may be, and has so many in use.</summary>
    public void Lend(Loan loan, int slots, int inUse, Instant now)
    {
        if (loan.Slots == 0 && slots > 0)
            loan.Since = now;
        Slots += slots - loan.Slots;
        (loan.Slots, loan.InUse) = (slots, inUse);
    }

    /// <summary>All that it holds is lent for a lease from now; never for less than was said before.</summary>
    public void Extend(Loan loan, TimeSpan lease, Instant now)
    {
        loan.EndsAt = Instant.Later(loan.EndsAt, LeaseTerm.LentUntil(now, lease));
        LastEndAt = Instant.Later(LastEndAt, loan.EndsAt);
    }

    /// <summary>
    /// The next whose lease has ended, if there is one; it holds nothing any more. Where a policy has made leases shorter, one may be looked at late.
    /// </summary>
    public Loan? EndNext(Instant now)
    {
        var first = _nodes.First is { } node && node.Value.EndsAt <= now ? node
            : _direct.First is { } direct && direct.Value.EndsAt <= now ? direct : null;
        if (first is null)
            return null;
        Lend(first.Value, 0, 0, now);
        first.List!.Remove(first);
        _over.AddLast(first);
        return first.Value;
    }

    /// <summary>Forgets who has been silent since before <paramref name="silentSince"/> and holds nothing.</summary>
    public void ForgetSilent(Instant silentSince)
    {
        while (_over.First is { } first && first.Value.HeardAt < silentSince)
            Forget(first.Value);
    }

    /// <summary>It will not be heard of again.</summary>
    public void Forget(Loan loan)
    {
        Lend(loan, 0, 0, default);
        loan.Place.List!.Remove(loan.Place);
        _byBorrower.Remove(loan.Borrower);
    }

    /// <summary>What is known of one node.</summary>
    internal sealed class Loan : IListener
    {
        public Loan(Borrower borrower)
        {
            Borrower = borrower;
            Place = new LinkedListNode<Loan>(this);
        }

        public Borrower Borrower { get; }

        /// <summary>Whether it is a caller without the client library: the channels of nodes count from 1.</summary>
        public bool IsDirect => Borrower.Channel == 0;

        public LinkedListNode<Loan> Place { get; }

        /// <summary>Of the newest request.</summary>
        public long Sequence { get; set; }

        /// <summary>The answer to it.</summary>
        public SlotsGrant Answer { get; set; }

        /// <summary>The most slots that it may hold.</summary>
        public int Slots { get; set; }

        /// <summary>Of the grant that lent the newest of them.</summary>
        public long Number { get; set; }

        /// <summary>Slots in the hands of its callers, as it last said, and what its callers were lent since.</summary>
        public int InUse { get; set; }

        /// <summary>Without these.</summary>
        public int SaidInUse { get; set; }

        /// <summary>When that ends for the lender.</summary>
        public Instant EndsAt { get; set; }

        /// <summary>Since when it has held slots without a break.</summary>
        public Instant Since { get; set; }

        public Instant HeardAt { get; set; }

        public string? NodeName { get; set; }

        public INodeObserver? Observer { get; set; }

        /// <inheritdoc/>
        public long Knows { get; set; }

        /// <summary>What it was last told of slots that others want, be it by a hint.</summary>
        public int ToldWanted { get; set; }

        /// <summary>It was hinted that it may have what it waits for, and has not come since.</summary>
        public bool IsCalled { get; set; }

        /// <summary>What its callers wait for, the first first; empty: they do not wait.</summary>
        public SlotsAsk[] Asks { get; set; } = [];

        /// <summary>Callers who wait, those included whose asks have not been told.</summary>
        public int Waiting { get; set; }

        /// <summary>Its next turn in the line.</summary>
        public long Turn { get; set; }

        /// <summary>Among those of one turn the first to have come is the first to be served.</summary>
        public long CameAs { get; set; }
    }
}
