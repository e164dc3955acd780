namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>
/// A node of a bulkhead: the machine, and around it what the shell does. Its clock began at some other time, and runs a little faster or slower.
/// </summary>
internal sealed class BulkheadActor : INodeObserver, IActor
{
    private static readonly TimeSpan RepeatAfter = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan GiveUpAfter = TimeSpan.FromSeconds(1);

    private readonly BulkheadWorld _world;
    private readonly Chances _chances;
    private readonly DriftingClock _clock;
    private readonly double _behind;
    private readonly List<(SlotCaller Caller, Instant Since)> _waiting = [];
    private readonly HashSet<SlotCaller> _told = [];
    private readonly List<Permit> _permits = [];
    private Instant _timerAt = Instant.Never;
    private Instant _pausedUntil;

    public BulkheadActor(BulkheadWorld world, int number, int incarnation, Chances chances)
    {
        (_world, Number, _chances) = (world, number, chances);
        _clock = new DriftingClock(world.Scenario.Drift, chances);
        _behind = chances.Next() * world.Scenario.Behind * TimeSpan.TicksPerMillisecond;
        Holder = new Borrower(new Guid(number + 1, (short)incarnation, 0, new byte[8]), 1);
        Orders = new RequestChannel(Holder.Node, 2);
        Stock = new SlotStock(Holder);
    }

    public int Number { get; }

    public Borrower Holder { get; }

    public RequestChannel Orders { get; }

    public SlotStock Stock { get; }

    public bool IsGone { get; private set; }

    /// <summary>Of those who were served.</summary>
    public TimeSpan LongestWait { get; private set; }

    /// <summary>Callers who have heard that they wait for their turn.</summary>
    public IEnumerable<SlotCaller> KnownToWait => _waiting.Select(static waiting => waiting.Caller).Where(_told.Contains);

    /// <summary>Since when the one has waited who has done so for longest, for one slot.</summary>
    public Instant LongestSince => _waiting.Count == 0 ? Instant.Never : _waiting[0].Since;

    private Instant Clock => _clock.At(_world.Now);

    private Instant Glance => new(Clock.Ticks - (long)_behind);

    public void PauseUntil(Instant until) => _pausedUntil = Instant.Later(_pausedUntil, until);

    public bool IsPaused(out Instant until)
    {
        until = _pausedUntil;
        return until > _world.Now;
    }

    public void Crash()
    {
        IsGone = true;
        _permits.Clear();
    }

    /// <summary>Slots in the hands of its callers that are valid by its clock.</summary>
    public int Valid()
    {
        var slots = 0;
        foreach (var permit in _permits)
            slots += !permit.Lot.IsOver && Clock < permit.Lot.ValidUntil ? permit.Slots : 0;
        return slots;
    }

    public void OnArrival()
    {
        var slots = _chances.Is(_world.Scenario.Large) ? _chances.Next(1, _world.Scenario.Capacity + 1) : 1;
        Arrive(slots, _chances.Is(_world.Scenario.Tries), _chances.Is(_world.Scenario.Attempts));
    }

    public SlotCaller? Arrive(int slots, bool isTry, bool isAttempt)
    {
        var lot = Stock.Lot;
        if (lot.TryTake(slots, Glance))
        {
            if (_waiting.Any(static one => one.Caller.Fate == SlotFate.InLine))
                throw new BrokenPromiseException("K3", $"a newcomer on node {Number} overtakes {_waiting.Count} who wait");
            Admit(lot, slots);
            return null;
        }

        if (isAttempt)
        {
            if (Stock.Attempt(slots, Clock) is { } attempted)
                Admit(attempted, slots);
            Follow();
            return null;
        }

        var caller = Stock.Acquire(slots, !isTry, Clock);
        if (caller.Fate == SlotFate.InLine)
        {
            _waiting.Add((caller, _world.Now));
            if (_world.AreThereFaults && _chances.Is(_world.Scenario.Cancels))
                _world.Plan(this, TimeSpan.FromMilliseconds(500 * _chances.Next()), () => OnCancel(caller));
        }
        else if (caller.Fate == SlotFate.Admitted)
        {
            if (_waiting.Any(static one => one.Caller.Fate == SlotFate.InLine))
                throw new BrokenPromiseException("K3", $"a newcomer on node {Number} overtakes {_waiting.Count} who wait");
            Admit(caller.Lot, slots);
        }

        Follow();
        return caller;
    }

    public void OnTimer()
    {
        if (_timerAt > _world.Now)
            return; // it has been set anew
        _timerAt = Instant.Never;
        Stock.Advance(Clock);
        Follow();
    }

    public void OnAnswer(in SlotsGrant grant)
    {
        var isAwaited = grant.Sequence == Stock.Awaited; // a late copy tells nobody anything
        if (grant.Sequence == 0)
            Stock.Fail(Stock.Awaited, isSilent: true, _chances.Next(), Clock);
        else
            Stock.Take(grant, Clock);
        foreach (var (caller, _) in _waiting)
        {
            if (isAwaited && caller is { Fate: SlotFate.InLine, AskedIn: > 0 })
                _told.Add(caller);
        }

        Follow();
    }

    public void OnHint(long epoch, long version, int wanted)
    {
        Stock.Hint(epoch, version, wanted, Clock);
        Follow();
    }

    public void OnPatience(SlotsRequest request, Instant askedAt)
    {
        if (Stock.Awaited != request.Sequence)
            return;
        if (_world.Now - askedAt >= GiveUpAfter)
        {
            Stock.Fail(request.Sequence, isSilent: true, _chances.Next(), Clock);
            Follow();
            return;
        }

        _world.Send(this, request);
        _world.Plan(this, RepeatAfter, () => OnPatience(request, askedAt));
    }

    /// <summary>Nobody is left waiting, and nothing is held.</summary>
    public void CheckAtEnd()
    {
        if (_waiting.Count > 0)
            throw new BrokenPromiseException("K3", $"{_waiting.Count} are left waiting on node {Number}, the first {_world.Now - _waiting[0].Since}");
    }

    void INodeObserver.Changed(int channel, long epoch, long version, int wanted) => OnHint(epoch, version, wanted);

    /// <summary>All but the first few lose their patience.</summary>
    public void Thin(int most)
    {
        foreach (var (caller, _) in _waiting.Skip(most).ToArray())
            OnCancel(caller);
    }

    private void OnCancel(SlotCaller caller)
    {
        Stock.Leave(caller, Clock);
        Follow();
    }

    private void Admit(SlotLot lot, int slots)
    {
        if (Clock >= lot.ValidUntil)
            throw new BrokenPromiseException("K1", $"a caller of node {Number} is admitted by a loan that has ended");
        var permit = new Permit(lot, slots);
        _permits.Add(permit);
        _world.CheckCap(this);
        var callTime = _world.AreThereFaults ? _world.Scenario.CallTime : Math.Min(_world.Scenario.CallTime, 20);
        var time = _chances.NextGap(1_000 / callTime);
        var longest = TimeSpan.FromMilliseconds(callTime * 5); // the last are over when the world looks whether all slots are to be had
        _world.Plan(this, time < longest ? time : longest, () => OnEnd(permit));
    }

    private void OnEnd(Permit permit)
    {
        _permits.Remove(permit);
        if (!permit.Lot.TryGiveBack(permit.Slots))
        {
            Stock.Release(permit.Lot, permit.Slots, Clock);
            Follow();
        }

        var isMine = permit.Lot == Stock.Lot && Clock < permit.Lot.ValidUntil;
        if (isMine && Stock is { InLine: 0, Wanted: 0, IsClosed: false } && Stock.Awaited == 0 && Stock.Idle < permit.Slots)
            throw new BrokenPromiseException("K5", $"what was freed on node {Number} is not free, and nobody waits");
    }

    // What the shell does after every verb.
    private void Follow()
    {
        if (Stock.TryAsk(Clock, this, out var request))
        {
            _world.Send(this, request);
            var askedAt = _world.Now;
            _world.Plan(this, RepeatAfter, () => OnPatience(request, askedAt));
        }

        foreach (var caller in Stock.TakeDecided())
            Decided(caller);
        foreach (var ended in Stock.TakeEnded())
        {
            ended.End();
            if (_world.Scenario.IsCalm && !_world.Scenario.LivesOn)
                throw new BrokenPromiseException("K2", $"node {Number} lost what it held, though nothing has happened to it");
        }

        SetTimer();
    }

    private void Decided(SlotCaller caller)
    {
        var place = _waiting.FindIndex(waiting => waiting.Caller == caller);
        var since = _waiting[place].Since;
        _waiting.RemoveAt(place);
        _told.Remove(caller);
        if (caller.Fate == SlotFate.Admitted)
        {
            LongestWait = _world.Now - since > LongestWait ? _world.Now - since : LongestWait;
            if (_waiting.Take(place).Any(static earlier => earlier.Caller is { MayWait: true, Fate: SlotFate.InLine }))
                throw new BrokenPromiseException("K3", $"a caller on node {Number} is served before one who came earlier");
            Admit(caller.Lot, caller.Slots);
        }

        if (Stock.IsClosed && caller is { Fate: SlotFate.Refused, Reason: RefusalReason.QueueFull })
            throw new BrokenPromiseException("K4", $"a caller on node {Number} hears that the line is full, and it is closed");

        // One request that is under way, and the next, each with its time.
        if (!caller.MayWait && _world.Scenario.Pauses == 0 && _world.Now - since > ((GiveUpAfter + RepeatAfter) * 2) + SlotStock.CallBackFor)
            throw new BrokenPromiseException("R1 of bulkheads", $"a caller of node {Number} who does not wait waited {_world.Now - since}");
        if (caller is { Fate: SlotFate.Refused, Reason: RefusalReason.AuthorityUnavailable } && _world.Scenario.IsCalm && !_world.Scenario.LivesOn)
            throw new BrokenPromiseException("R1 of bulkheads", $"a caller of node {Number} hears that nobody answers, and nothing has happened");
    }

    private void SetTimer()
    {
        var due = Stock.NextDueAt;
        if (due == Instant.Never)
            return;
        var at = Instant.Later(_clock.TrueAt(due), _world.Now);
        if (_world.Scenario.Late > 0)
            at += TimeSpan.FromMilliseconds(_world.Scenario.Late * _chances.Next());
        if (at >= _timerAt)
            return;
        _timerAt = at;
        _world.Plan(this, at - _world.Now, OnTimer);
    }

    private sealed record Permit(SlotLot Lot, int Slots)
    {
        public bool Equals(Permit? other) => ReferenceEquals(this, other);

        public override int GetHashCode() => System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(this);
    }
}
