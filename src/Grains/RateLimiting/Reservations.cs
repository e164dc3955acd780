namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Callers who wait for tokens of the rest, in order. The first of them have been promised an instant each ("yours in 37 ms"), at most
/// <see cref="Reach"/> ahead; the others have a place in line, and keep it by asking again when they were told to. Not thread-safe.
/// </summary>
/// <remarks>
/// A promise outlives the authority that made it, and a successor keeps still for one term only: so none reaches further. A promised caller is never
/// told of another instant; where one has gone, his instant is left to the next who comes and for whom it is enough. Nothing here is searched: what
/// was left, and nobody came for, is counted in again when the changes are half as many as those who wait.
/// </remarks>
internal sealed class Reservations
{
    /// <summary>Nobody is promised a token later than this.</summary>
    public static readonly TimeSpan Reach = LeaseTerm.OfPart;

    private static readonly TimeSpan ToldBefore = Reach / 10;
    private static readonly TimeSpan SoonestAsk = TimeSpan.FromMilliseconds(20);

    private readonly LinkedList<Reservation> _promised = [];
    private readonly LinkedList<Reservation> _line = [];
    private readonly Dictionary<RequestKey, LinkedListNode<Reservation>> _byRequest = [];
    private readonly PriorityQueue<LinkedListNode<Reservation>, Instant> _freed = new();
    private TokenBucket _plan; // the rest as it will stand when the last of those promised has been served
    private int _promisedCount; // without the freed
    private int _uncounted; // changes that the plan does not know of, for the better
    private long _everInLine; // tokens
    private Instant _sweptAt;

    /// <summary>Who waits: promised, or in line.</summary>
    public int Count => _promisedCount + _line.Count;

    /// <summary>When the first of the promised ones is served.</summary>
    public Instant NextAt => _promised.First is { } first ? first.Value.At : Instant.Never;

    /// <summary>What the first in line wants; 0: nobody is in line.</summary>
    public int NextInLine => _line.First is { } first ? first.Value.Tokens : 0;

    /// <summary>Whether this request waits here already.</summary>
    public bool Knows(RequestKey request) => _byRequest.ContainsKey(request);

    /// <summary>
    /// Who waits, for the authority that carries on: those who know their instants, and those in line; without those who would have to be told
    /// through a call that has been cut.
    /// </summary>
    public (PromiseMemory[] Told, WaiterMemory[] Line) Capture(Instant now)
    {
        var told = _promised.Where(static one => one.IsTold && !one.IsFreed).Select(one => new PromiseMemory(one.Tokens, one.At.After(now)));
        var line = _promised.Where(static one => !one.IsTold && !one.IsFreed).Concat(_line)
            .Where(static one => one.Request.Node != Guid.Empty)
            .Select(one => new WaiterMemory(one.Request.Node, one.Request.Channel, one.Request.Sequence, one.Tokens, one.AskAt.After(now)));
        return ([.. told], [.. line]);
    }

    /// <summary>
    /// Goes on with them. Here the time in which nobody was there does not count, so who knows his instant has his tokens before they are spent
    /// here: he cannot give them back, nor ask for them again, and nobody is promised any ahead of the last of these. (Promised are A at 2 s and B at
    /// 2.1 s; nobody is there for 1 s, and here B's instant is 3.1 s. Were somebody else given A's, 3 s here, he came too late to come before B.)
    /// </summary>
    public void Resume(PromiseMemory[] told, WaiterMemory[] line, Instant now)
    {
        foreach (var memory in told)
        {
            _promised.AddLast(new Reservation(default, memory.Tokens) { At = now + memory.In, IsPromised = true, IsTold = true });
            _promisedCount++;
        }

        foreach (var memory in line)
            Join(new Reservation(new RequestKey(memory.Node, memory.Channel, memory.Sequence), memory.Tokens) { AskAt = now + memory.In });
        NoteChange();
    }

    /// <summary>Serves the next, whose instant has come: spends his tokens.</summary>
    public void ServeNext(ref TokenBucket rest)
    {
        var first = _promised.First!;
        rest.Advance(first.Value.At);
        _promised.RemoveFirst();
        if (first.Value.IsFreed)
        {
            first.Value.IsOver = true;
            _uncounted++;
            return;
        }

        rest.Spend(first.Value.Tokens);
        _byRequest.Remove(first.Value.Request);
        NoteOneLess();
    }

    /// <summary>The rest has got more than was planned with: tokens came back, or what was lent has ended.</summary>
    public void NoteMore() => _uncounted++;

    /// <summary>The rest has changed, for better or worse. Promised instants stay.</summary>
    public void NoteChange() => _uncounted = int.MaxValue / 2;

    /// <summary>One who may wait asks, for the first time or again.</summary>
    /// <param name="request">Under which he is known.</param>
    /// <param name="tokens">At least 1; as the first time.</param>
    /// <param name="rest">As it is now; those whose instant has come have been served.</param>
    /// <param name="now">The grain's instant.</param>
    /// <param name="at">When the tokens are his, or when he is to ask again.</param>
    /// <returns>Whether they are promised.</returns>
    public bool Ask(RequestKey request, int tokens, in TokenBucket rest, Instant now, out Instant at)
    {
        ForgetSilent(now);
        if (_byRequest.TryGetValue(request, out var place))
        {
            PromiseFirst(place.Value, rest, now);
            if (place.Value.IsPromised)
            {
                place.Value.IsTold = true;
                at = place.Value.At;
                return true;
            }
        }
        else
        {
            var newcomer = new Reservation(request, tokens);
            PromiseFirst(newcomer, rest, now);
            if (_line.Count == 0 && TryPromise(newcomer, rest, now, now))
            {
                newcomer.IsTold = true;
                at = newcomer.At;
                return true;
            }

            place = Join(newcomer);
        }

        var ahead = place.Value.Before - _line.First!.Value.Before;
        at = AskAt(Plan(rest).ReadyAt(ahead + tokens), now);
        if (place != _line.First)
            at = Instant.Later(at, _line.First.Value.AskAt < now ? now + ToldBefore : _line.First.Value.AskAt); // before that it is nobody's turn
        else if (tokens > rest.Room)
            at = Instant.Later(at, now + LeaseTerm.RenewAfter(Reach)); // parts become smaller when they are renewed
        place.Value.AskAt = at;
        return false;
    }

    /// <summary>What those in line want in all; they are still to be promised it.</summary>
    public long TokensInLine { get; private set; }

    /// <summary>The rest as it will stand when the last of those promised has been served.</summary>
    public TokenBucket RestAfter(in TokenBucket rest) => Plan(rest);

    /// <summary>By when all have been served, or lost their places, and the rest is full again.</summary>
    public Instant ForgottenAt(in TokenBucket rest) => Instant.Later(Plan(rest).FullAt, _line.Last is { } last ? last.Value.ForgottenAt : default);

    /// <summary>One has gone. Too late once his instant has come: then he has been served.</summary>
    public void Cancel(RequestKey request)
    {
        if (!_byRequest.Remove(request, out var place))
            return;
        if (!place.Value.IsPromised)
        {
            _line.Remove(place);
            TokensInLine -= place.Value.Tokens;
            return;
        }

        place.Value.IsFreed = true;
        _freed.Enqueue(place, place.Value.At);
        NoteOneLess();
    }

    private LinkedListNode<Reservation> Join(Reservation newcomer)
    {
        newcomer.Before = _everInLine;
        _everInLine += newcomer.Tokens;
        TokensInLine += newcomer.Tokens;
        return _byRequest[newcomer.Request] = _line.AddLast(newcomer);
    }

    // Those whose turn it is. Who is not the one who asks now is told when he does, well before his instant. Where he has not asked in time, the
    // line stops at him until he does.
    private void PromiseFirst(Reservation asker, in TokenBucket rest, Instant now)
    {
        while (_line.First is { Value: var first })
        {
            if (first != asker && first.AskAt < now)
                return;
            if (!TryPromise(first, rest, now, first == asker ? now : first.AskAt + ToldBefore))
                return;
            _line.RemoveFirst();
            TokensInLine -= first.Tokens;
        }
    }

    // The earliest instant that is nobody's, if it is not too far ahead.
    private bool TryPromise(Reservation asker, in TokenBucket rest, Instant now, Instant notBefore)
    {
        while (notBefore == now && _freed.TryPeek(out var freed, out _))
        {
            if (!freed.Value.IsOver && freed.Value.Tokens >= asker.Tokens)
            {
                _freed.Dequeue();
                TakeFreed(freed, asker);
                return true;
            }

            if (!freed.Value.IsOver)
                break;
            _freed.Dequeue();
        }

        ref var plan = ref Plan(rest);
        var at = Instant.Later(plan.ReadyAt(asker.Tokens), notBefore);
        if (at > now + Reach || asker.Tokens > plan.Room)
            return false;
        plan.Advance(at);
        plan.Spend(asker.Tokens);
        asker.At = at;
        Promised(asker, _promised.AddLast(asker));
        return true;
    }

    private void TakeFreed(LinkedListNode<Reservation> freed, Reservation asker)
    {
        asker.At = freed.Value.At;
        Promised(asker, _promised.AddBefore(freed, asker));
        freed.Value.Tokens -= asker.Tokens;
        if (freed.Value.Tokens > 0)
            _freed.Enqueue(freed, freed.Value.At);
        else
            _promised.Remove(freed);
    }

    // What those who went have left is the rest's, where nobody is promised anything.
    private void NoteOneLess()
    {
        if (--_promisedCount > 0)
            return;
        _promised.Clear();
        _freed.Clear();
    }

    private void Promised(Reservation asker, LinkedListNode<Reservation> place)
    {
        asker.IsPromised = true;
        _byRequest[asker.Request] = place;
        _promisedCount++;
    }

    private ref TokenBucket Plan(in TokenBucket rest)
    {
        if (_promisedCount == 0 || 2 * (long)_uncounted >= _promised.Count)
            Replan(rest);
        return ref _plan;
    }

    // What is left of the instants of those who went is kept for those who come.
    private void Replan(in TokenBucket rest)
    {
        (_plan, _uncounted) = (rest, 0);
        foreach (var promised in _promised)
        {
            _plan.Advance(promised.At);
            _plan.Spend(promised.Tokens);
        }
    }

    // Early enough to be promised it in time, and once in a term at most.
    private static Instant AskAt(Instant servedAt, Instant now)
    {
        var after = servedAt.After(now) - (Reach / 2);
        return now + (after < SoonestAsk ? SoonestAsk : after > Reach ? Reach : after);
    }

    // Who did not ask again loses his place. Those at the head at once, the others now and then: they take up room only.
    private void ForgetSilent(Instant now)
    {
        while (_line.First is { } first && first.Value.ForgottenAt < now)
            Forget(first);
        if (now - _sweptAt < Reach)
            return;
        _sweptAt = now;
        for (var place = _line.First; place is not null;)
        {
            var next = place.Next;
            if (place.Value.ForgottenAt < now)
                Forget(place);
            place = next;
        }
    }

    private void Forget(LinkedListNode<Reservation> place)
    {
        _line.Remove(place);
        _byRequest.Remove(place.Value.Request);
        TokensInLine -= place.Value.Tokens;
    }

    private sealed class Reservation(RequestKey request, int tokens)
    {
        public RequestKey Request { get; } = request;

        public int Tokens { get; set; } = tokens;

        public bool IsPromised { get; set; }

        public Instant At { get; set; }

        // When he is to ask again.
        public Instant AskAt { get; set; }

        public Instant ForgottenAt => AskAt + (Reach / 2);

        // Tokens of all who ever came into the line before him.
        public long Before { get; set; }

        // He knows his instant, or may know it.
        public bool IsTold { get; set; }

        // He went, and nobody has taken his instant.
        public bool IsFreed { get; set; }

        public bool IsOver { get; set; }
    }
}
