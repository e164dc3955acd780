namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The authority of one bulkhead: the slots that nodes were lent, the nodes that wait for more, and whether it is closed. Not thread-safe: the grain
/// guards it.
/// </summary>
/// <remarks>
/// It lends nothing to one who has not just asked, so nothing is lent to the dead. Those whose turn has come are called, and what is free is kept
/// for them meanwhile. Where it may have had a predecessor of which it knows nothing, it lends nothing new for one lease: in that time those who
/// hold something say so.
/// </remarks>
internal sealed class SlotLedger : IAuthorityMachine<BulkheadPolicy, Obedience, BulkheadMemory>
{
    // A hint that others want slots may be lost.
    private static readonly TimeSpan CallBackEvery = LeaseTerm.RenewAfter(LeaseTerm.OfPlace);

    // What a node says of what it has in use; beyond, that may be different by now.
    private static readonly TimeSpan TrueFor = TimeSpan.FromMilliseconds(100);

    private readonly long _epoch;
    private readonly SlotLoans _loans = new();
    private readonly SlotLine _line = new();
    private readonly PendingOrders _orders = new();
    private BulkheadPolicy _policy;
    private Instant _bornAt;
    private Instant _withheldUntil;
    private long _lastNumber;
    private long _version = 1;
    private long _hintedVersion = 1;
    private Instant _callBackAgainAt;
    private bool _mustCallBack; // somebody has begun to wait, or there are fewer slots

    /// <param name="policy">Validated.</param>
    /// <param name="now">The grain's instant.</param>
    /// <param name="heritage">
    /// What it takes over. Where it does not carry on, its epoch is higher than those of its predecessors, and than the numbers of their grants.
    /// </param>
    public SlotLedger(BulkheadPolicy policy, Instant now, in Heritage<BulkheadMemory> heritage)
    {
        (_policy, _bornAt, _epoch, _lastNumber) = (policy, now, heritage.Epoch, heritage.Epoch);
        if (heritage is { Predecessor: Predecessor.Finished, Memory: { } memory })
        {
            Resume(memory, now);
            return;
        }

        IsClosed = heritage.Memory?.IsClosed == true;
        var mayFollowAnother = heritage.Predecessor is Predecessor.Possible or Predecessor.Lost;
        _withheldUntil = mayFollowAnother ? now + policy.Lease + heritage.Fence : now;
        _orders.Resume(heritage.Memory?.Orders ?? [], [], _withheldUntil, now);
    }

    /// <inheritdoc/>
    public Instant MemorableUntil => IsClosed
        ? Instant.Never
        : Instant.Later(Instant.Later(_loans.LastEndAt, _withheldUntil), _orders.MemorableUntil);

    /// <inheritdoc/>
    public Instant WithheldUntil => _withheldUntil;

    public bool IsClosed { get; private set; }

    /// <inheritdoc/>
    public bool HasSuccessor { get; private set; }

    /// <inheritdoc/>
    public long Epoch => _epoch;

    /// <inheritdoc/>
    public bool IsWorthRecording => IsClosed || _loans.Slots > 0;

    /// <inheritdoc/>
    public long Decrees { get; private set; }

    /// <summary>Counts what changes for the nodes.</summary>
    public long Version => _version;

    /// <summary>Slots that are lent, or may be; for whoever checks the books.</summary>
    public long Lent => _loans.Slots;

    /// <summary>The most that were lent at once.</summary>
    public long HighWaterMark { get; private set; }

    /// <summary>Callers who wait, of all nodes.</summary>
    public long Waiting => _line.Callers;

    /// <summary>What one node may hold, as far as is known; likewise.</summary>
    public int LentTo(Borrower borrower) => _loans.Find(borrower)?.Slots ?? 0;

    /// <summary>What a caller without the client library borrows as; no node can be it, for their channels count from 1.</summary>
    public static Borrower Direct(long number) => new(new Guid(0, 0, 0, BitConverter.GetBytes(number)), 0);

    /// <summary>Whether an order was given that some node may not obey yet.</summary>
    public bool IsAwaitingObedience(Instant now) => _orders.Count > 0 && !_orders.AreAllObeyed(now);

    /// <summary>Takes a node's view, and lends it what it is to have.</summary>
    /// <exception cref="ArgumentException">No node has such a view; nothing has changed.</exception>
    public SlotsGrant Renew(in SlotsRequest request, Instant now)
    {
        Check(request);
        Advance(now);
        if (!HearOf(request.Epoch, now))
            return default;
        _loans.ForgetSilent(new Instant(now.Ticks - CallTimeouts.AnswersKeptFor.Ticks));
        var known = _loans.Find(request.Holder);
        if (known is not null && request.Sequence <= known.Sequence)
            return request.Sequence == known.Sequence ? known.Answer : default;
        var heardBefore = known?.HeardAt ?? now;
        var loan = _loans.Hear(request.Holder, now);
        Take(loan, request, now);
        return loan.Answer = Grant(loan, request, heardBefore, now);
    }

    /// <summary>Slots for a caller without the client library, under a number of his own.</summary>
    /// <param name="slots">How many.</param>
    /// <param name="mayWait">If so, and they are not there, he is called when they are: see <see cref="AskAgain"/>.</param>
    /// <param name="now">The grain's instant.</param>
    /// <param name="number">To renew and release by.</param>
    /// <returns>The answer; what it grants is his.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 or more than the capacity; nothing has changed.</exception>
    public SlotsGrant Acquire(int slots, bool mayWait, Instant now, out long number)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(slots, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(slots, _policy.Capacity);
        number = ++_lastNumber;
        var grant = Renew(new SlotsRequest(Direct(number), 1, 0, 0, 0, 0, [new SlotsAsk(slots, 1, mayWait)], mayWait ? 1 : 0, 0), now);
        if (grant is { Slots: 0, Places: 0 } && _loans.Find(Direct(number)) is { } refused)
            _loans.Forget(refused);
        return grant;
    }

    /// <summary>He has been called.</summary>
    public SlotsGrant AskAgain(long number, int slots, Instant now) =>
        _loans.Find(Direct(number)) is { } loan
            ? Renew(new SlotsRequest(loan.Borrower, loan.Sequence + 1, 0, 0, 0, 0, [new SlotsAsk(slots, 1, true)], 1, 0), now)
            : default;

    /// <summary>Extends his permit by a lease from now; false where it is not held any more.</summary>
    public bool Renew(long number, Instant now)
    {
        Advance(now);
        return _loans.Find(Direct(number)) is { Slots: > 0 and var held } loan
            && Renew(new SlotsRequest(loan.Borrower, loan.Sequence + 1, 0, 0, held, held, null, 0, 0), now).Kept > 0;
    }

    /// <summary>Frees his permit, or his place in the line; false where he has neither.</summary>
    public bool Release(long number, Instant now)
    {
        Advance(now);
        if (_loans.Find(Direct(number)) is not { } loan)
            return false;
        var isHeld = loan.Slots > 0;
        _line.Wait(loan, [], 0);
        _loans.Forget(loan);
        return isHeld;
    }

    /// <summary>Closes or reopens, or looks how far it is obeyed.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The command is neither; nothing has changed.</exception>
    public Obedience Obey(in SlotOrder order, Instant now)
    {
        if (order.Command is not (SlotCommand.Close or SlotCommand.Reopen))
            throw new ArgumentOutOfRangeException(nameof(order), order.Command, "The command is Close or Reopen.");
        Advance(now);
        if (HasSuccessor)
            return default; // nobody would obey
        if (_orders.Look(order.Id.Key, now) is { } obedience)
        {
            _hintedVersion = obedience.IsObeyed ? _hintedVersion : 0; // a hint may have been lost
            return obedience;
        }

        _orders.Forget(new Instant(now.Ticks - CallTimeouts.AnswersKeptFor.Ticks));
        var closes = order.Command == SlotCommand.Close;
        if (closes != IsClosed)
        {
            IsClosed = closes;
            _version++;
        }

        Decrees++; // also one that changes nothing must be known to a successor, should a copy of it come late

        // Who holds something could admit by it, and who waits is to be told. That it is open again one hears when one asks.
        var listeners = closes ? _loans.Nodes.Where(static loan => loan.Slots > 0 || loan.Waiting > 0) : [];
        _orders.Give(
            order.Id.Key,
            _version,
            listeners.Select(static loan => ((IListener)loan, loan.EndsAt)),
            closes ? _withheldUntil : now,
            now);
        return _orders.Look(order.Id.Key, now)!.Value;
    }

    /// <inheritdoc/>
    public Obedience Repeat(in Obedience earlier, Instant answeredAt, Instant now) => earlier;

    /// <inheritdoc/>
    public bool IsFinal(in Obedience answer) => answer.IsObeyed;

    /// <summary>
    /// Those for whom it is worth while to ask: what they wait for is free, or others want what they hold, or they do not know that it is closed.
    /// Each once, until it has come.
    /// </summary>
    public IReadOnlyList<SlotLoans.Loan> TakeHints(Instant now)
    {
        var hinted = new List<SlotLoans.Loan>();
        if (_hintedVersion < _version)
        {
            _hintedVersion = _version;
            hinted.AddRange(_loans.Nodes.Where(loan => loan.Knows < _version && (loan.Slots > 0 || loan.Waiting > 0)));
        }

        if (IsClosed)
            return hinted;
        foreach (var node in _line.Due(Free(now), now))
        {
            if (!node.IsCalled)
                hinted.Add(node);
            node.IsCalled = true;
        }

        if ((!_mustCallBack && now < _callBackAgainAt) || Wanted(null, now) == 0)
            return hinted;
        foreach (var loan in _loans.Nodes)
        {
            var isTold = loan.ToldWanted > 0 && (now < _callBackAgainAt || now - loan.HeardAt < CallBackEvery);
            if (loan.Slots == 0 || isTold || Wanted(loan, now) is not (> 0 and var wanted))
                continue;
            loan.ToldWanted = wanted;
            hinted.Add(loan);
        }

        if (now >= _callBackAgainAt)
            _callBackAgainAt = now + CallBackEvery;
        _mustCallBack = false;

        return hinted;
    }

    /// <inheritdoc/>
    public void ChangeTo(BulkheadPolicy policy, Instant now)
    {
        Advance(now);
        _policy = policy;
        _mustCallBack = true;
    }

    public BulkheadStatus Describe(Instant now)
    {
        Advance(now);
        return new BulkheadStatus(
            _policy.Capacity,
            (int)Math.Max(0, _policy.Capacity - _loans.Slots),
            (int)_line.Callers,
            IsClosed,
            (int)HighWaterMark,
            _loans.Alive.Where(static loan => loan.Slots > 0)
                .Select(loan => new BulkheadHolder(loan.NodeName, loan.Slots, loan.InUse, now - loan.Since, loan.EndsAt.After(now)))
                .ToArray());
    }

    /// <inheritdoc/>
    public BulkheadMemory Capture(Instant now, bool isWhole)
    {
        Advance(now);
        return new BulkheadMemory(
            _epoch,
            now - _bornAt,
            _withheldUntil.After(now),
            _lastNumber,
            _version,
            IsClosed,
            HighWaterMark,
            isWhole ? _loans.Capture(now) : [],
            _orders.Capture(now));
    }

    private void Resume(BulkheadMemory memory, Instant now)
    {
        (_bornAt, _withheldUntil) = (new Instant(now.Ticks - memory.Age.Ticks), now + memory.WithheldFor);
        (_lastNumber, _version, _hintedVersion) = (memory.LastNumber, memory.Version, memory.Version);
        (IsClosed, HighWaterMark) = (memory.IsClosed, memory.HighWaterMark);
        foreach (var loan in memory.Loans)
            _line.Resume(_loans.Resume(loan, now), loan);
        _orders.Resume(memory.Orders, [.. _loans.Nodes.Select(static loan => ((IListener)loan, loan.EndsAt))], _withheldUntil, now);
        _mustCallBack = true;
    }

    private static void Check(in SlotsRequest request)
    {
        var isBelowZero = Math.Min(request.InUse, request.Waiting) < 0 || request.Spare < 0 || request.Held < request.InUse;
        if (request.Sequence < 1 || isBelowZero)
            throw new ArgumentException($"No node has such a view: {request}.", nameof(request));
        foreach (var ask in request.Asks ?? [])
        {
            if (ask.Slots < 1 || ask.Callers is < 1 or > SlotsRequest.MostAsked)
                throw new ArgumentException($"Nobody asks like that: {ask}.", nameof(request));
        }

        if (request.Asks?.Length > SlotsRequest.MostAsked)
            throw new ArgumentException($"More than {SlotsRequest.MostAsked} at once.", nameof(request));
    }

    // Below nothing where the capacity was lowered.
    private long Free(Instant now) => Math.Min(_policy.Capacity - _loans.Slots, now < _withheldUntil || IsClosed ? 0 : long.MaxValue);

    // Slots that are lacking for all others, beyond what is free.
    private int Wanted(SlotLoans.Loan? besides, Instant now) =>
        (int)Math.Clamp(_line.WantedBesides(besides, now) - Free(now), 0, int.MaxValue);

    // Whether it may decide at all. Nothing that a predecessor lent outlives it by more than a lease.
    private bool HearOf(long epoch, Instant now)
    {
        HasSuccessor |= epoch > _epoch;
        if (HasSuccessor)
            return false;
        if (epoch > 0 && epoch < _epoch && now < _bornAt + _policy.Lease)
            _withheldUntil = Instant.Later(_withheldUntil, _bornAt + _policy.Lease);
        return true;
    }

    private void Take(SlotLoans.Loan loan, in SlotsRequest request, Instant now)
    {
        (loan.Sequence, loan.Observer, loan.NodeName, loan.IsCalled) = (request.Sequence, request.Observer, request.NodeName, false);
        if (request.Epoch == _epoch)
            loan.Knows = Math.Max(loan.Knows, request.Version);

        // What it holds of a predecessor's it has not exchanged for anything of this one's: else it would name this one.
        var isOfPredecessor = request.Epoch > 0 && request.Epoch < _epoch && now < _withheldUntil;
        var held = isOfPredecessor ? request.Held : Math.Min(request.Held, loan.Slots);
        _loans.Lend(loan, held, Math.Min(request.InUse, held), now);
        loan.SaidInUse = loan.InUse;
        if (held > 0 && loan.Number == 0)
            loan.Number = ++_lastNumber;
    }

    private SlotsGrant Grant(SlotLoans.Loan loan, in SlotsRequest request, Instant heardBefore, Instant now)
    {
        var kept = loan.Slots;
        var free = Math.Max(0, Free(now));
        _line.Welcome(loan, heardBefore, now);
        var asks = request.Asks ?? [];
        var impossible = 0; // the node hears that by the capacity
        foreach (var ask in asks)
            impossible += ask.MayWait && ask.Slots > _policy.Capacity ? ask.Callers : 0;
        var slots = _line.Serve(loan, Legal(asks), free, now, out var served, out var left);
        var idle = request.Asks is null ? default : IdleBesides(loan, now);
        var places = Places(loan, Math.Max(0, request.Waiting - served - impossible), idle.Said);
        _mustCallBack |= _line.Wait(loan, left, places);
        var spare = _line.IsEmpty ? (int)Math.Min(request.Spare, free - slots) : 0;
        if (slots + spare > 0)
            loan.Number = ++_lastNumber;
        _loans.Lend(loan, kept + slots + spare, loan.InUse + slots, now);
        var lease = loan.IsDirect && loan.Answer.Lease > _policy.Lease ? loan.Answer.Lease : _policy.Lease; // he counts on what he was told
        _loans.Extend(loan, lease, now);
        HighWaterMark = Math.Max(HighWaterMark, _loans.Slots);
        loan.ToldWanted = IsClosed ? 0 : Wanted(loan, now);
        return new SlotsGrant(
            request.Sequence,
            _epoch,
            _version,
            kept,
            slots,
            spare,
            lease,
            loan.Number,
            places,
            loan.ToldWanted,
            (int)Math.Min(idle.May, _policy.Capacity),
            IsClosed,
            _policy.Capacity,
            _policy.MaxWait,
            IsShadow: !_policy.Enforce);
    }

    // Who waits for no more than what lies idle elsewhere, and is called back, does not count.
    private int Places(SlotLoans.Loan loan, int waiting, long idle)
    {
        var places = Math.Max(_policy.Places - (_line.Callers - loan.Waiting), idle);
        return IsClosed ? 0 : (int)Math.Clamp(places, 0, waiting);
    }

    // What lay idle on other nodes when they last said so; and what may by now.
    private (long Said, long May) IdleBesides(SlotLoans.Loan loan, Instant now)
    {
        var (said, may) = (0L, 0L);
        foreach (var other in _loans.Nodes)
        {
            if (other == loan)
                continue;
            said += other.Slots - other.InUse;
            may += now - other.HeardAt < TrueFor ? other.Slots - other.SaidInUse : other.Slots;
        }

        return (said, may);
    }

    private SlotsAsk[] Legal(SlotsAsk[] asks) =>
        IsClosed ? [] : Array.TrueForAll(asks, ask => ask.Slots <= _policy.Capacity) ? asks
        : [.. asks.Where(ask => ask.Slots <= _policy.Capacity)];

    // What time alone does: leases end, and with them places in the line.
    private void Advance(Instant now)
    {
        while (_loans.EndNext(now) is { } ended)
        {
            _line.Wait(ended, [], 0);
            if (ended.IsDirect)
                _loans.Forget(ended);
        }
    }
}
