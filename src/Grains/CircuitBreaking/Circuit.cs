namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The authority of one circuit breaker: the state for all nodes, the verdicts that they were lent, and the kill switches. Not thread-safe: the grain
/// guards it.
/// </summary>
/// <remarks>
/// Where the policy wants a quorum, each node has a circuit of its own, whose state holds for it while that for all is closed; when enough of them
/// are not closed, the one for all opens. All share the places for trials.
/// </remarks>
internal sealed class Circuit : IAuthorityMachine<CircuitBreakerPolicy, Obedience, BreakerMemory>
{
    /// <summary>Half open with all places taken, a node asks again after so long: until then it rejects without a call.</summary>
    public static readonly TimeSpan ComeBackAfter = TimeSpan.FromMilliseconds(50);

    /// <summary>
    /// That something fails again where nothing did is hinted so often at most: a service that fails one call in a hundred must not keep every node
    /// asking. Who is not told counts successes late, and the circuit may open early for it.
    /// </summary>
    public static readonly TimeSpan FailingHintEvery = TimeSpan.FromMilliseconds(250);

    private readonly long _epoch;
    private readonly Trials _trials;
    private readonly CircuitStates _forAll;
    private readonly VerdictHolders _holders = new();
    private readonly PendingOrders _switches = new();
    private CircuitBreakerPolicy _policy;
    private Instant _admittedUntil; // until then there may be nodes, of which it knows nothing, that a predecessor lent a verdict
    private long _decreed; // the generation that was the newest then
    private Instant _ownMemorableUntil;
    private long _version = 1;
    private long _hint; // who knows less is to be told
    private long _hinted;
    private Instant _failingHintedAt = new(long.MinValue / 2);
    private (long Generation, bool IsFailing) _shown;

    /// <param name="policy">Validated.</param>
    /// <param name="now">The grain's instant.</param>
    /// <param name="heritage">
    /// What it takes over. Where it does not carry on, its epoch is higher than those of its predecessors, so that their passes, which may still be
    /// under way, are none of its own.
    /// </param>
    public Circuit(CircuitBreakerPolicy policy, Instant now, in Heritage<BreakerMemory> heritage)
    {
        (_policy, _epoch, _trials) = (policy, heritage.Epoch, new Trials(heritage.Epoch));
        _forAll = new CircuitStates(policy, _trials, heritage.Epoch);
        _admittedUntil = now + LeaseTerm.OfVerdict + heritage.Fence;
        var then = new Instant(now.Ticks - heritage.Elapsed.Ticks);
        if (heritage is { Predecessor: Predecessor.Finished, Memory: { } all })
            Resume(all, then, now);
        else if (heritage is { Predecessor: Predecessor.Lost, Memory: { } last })
            Succeed(last, then, now, heritage.Fence);
        _shown = (_forAll.Generation, _forAll.Failures > 0);
        _decreed = _forAll.Generation;
    }

    /// <inheritdoc/>
    public Instant MemorableUntil =>
        Instant.Later(Instant.Later(_forAll.MemorableUntil, _ownMemorableUntil), _switches.MemorableUntil);

    /// <inheritdoc/>
    /// <remarks>It answers from the first moment on.</remarks>
    public Instant WithheldUntil => default;

    /// <summary>The state for all nodes, and why.</summary>
    public (long Generation, CircuitState State, CircuitCause Cause, string? Reason) Face =>
        (_forAll.Generation, _forAll.State, _forAll.Cause, _forAll.Reason);

    /// <summary>Trials that are over.</summary>
    public TrialCounts TrialsOver => _trials.Over;

    /// <inheritdoc/>
    public long Epoch => _epoch;

    /// <inheritdoc/>
    public bool HasSuccessor { get; private set; }

    /// <inheritdoc/>
    public bool IsWorthRecording => Decrees > 0 || _forAll.State != CircuitState.Closed;

    /// <inheritdoc/>
    /// <remarks>That a cool-down is over, a successor finds out by itself.</remarks>
    public long Decrees { get; private set; }

    /// <summary>Whether a switch was thrown that some node may not obey yet.</summary>
    public bool IsAwaitingObedience(Instant now) => _switches.Count > 0 && !_switches.AreAllObeyed(now);

    /// <summary>Takes what a node has to tell, and lends it a verdict.</summary>
    /// <exception cref="ArgumentException">No node has such a view; nothing has changed.</exception>
    public VerdictGrant Renew(in VerdictRequest request, Instant now)
    {
        Check(request);
        Advance(now);
        HasSuccessor |= request.Epoch > _epoch;
        if (HasSuccessor)
            return default;
        _holders.ForgetSilent(new Instant(now.Ticks - CallTimeouts.AnswersKeptFor.Ticks), now);
        var holder = _holders.Hear(request.Holder, now);
        if (request.Sequence < holder.Sequence)
            return default;
        if (request.Sequence > holder.Sequence)
            Take(holder, request, now);
        Show(now);
        return Grant(holder, now);
    }

    /// <summary>A caller without the client library, at the door.</summary>
    public CircuitPass Enter(Instant now)
    {
        Advance(now);
        var circuit = For(_policy.QuorumNodes > 1 ? _holders.Hear(default, now) : null);
        var trial = circuit.TryBegin(default, now);
        var isAdmitted = circuit.State == CircuitState.Closed || trial != 0;
        return new CircuitPass(isAdmitted, circuit.Generation, trial, isAdmitted ? null : circuit.RetryAfter(now), circuit.State);
    }

    /// <summary>How his call went.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The outcome is none of the three; nothing has changed.</exception>
    public void Report(in CircuitNews news, Instant now)
    {
        Check(news);
        Advance(now);
        Hear(_policy.QuorumNodes > 1 ? _holders.Hear(default, now) : null, news, now);
        Show(now);
    }

    /// <summary>Throws a switch, or looks how far it is obeyed.</summary>
    /// <exception cref="ArgumentException">There is no such command, or the reason is too long; nothing has changed.</exception>
    public Obedience Obey(in CircuitOrder order, Instant now)
    {
        if (order.Command is not (CircuitCommand.Trip or CircuitCommand.Isolate or CircuitCommand.Reset))
            throw new ArgumentOutOfRangeException(nameof(order), order.Command, "The command is Trip, Isolate or Reset.");
        CircuitOrder.Check(order.Reason);
        Advance(now);
        if (HasSuccessor)
            return default; // nobody would obey
        if (_switches.Look(order.Id.Key, now) is { } obedience)
            return obedience;
        _switches.Forget(new Instant(now.Ticks - CallTimeouts.AnswersKeptFor.Ticks));
        switch (order.Command)
        {
            case CircuitCommand.Reset:
                _forAll.Reset(order.Reason);
                break;
            case CircuitCommand.Isolate:
                _forAll.Isolate(order.Reason);
                break;
            default:
                _forAll.Trip(CircuitCause.Tripped, order.Reason, now);
                break;
        }

        Show(now);
        Decrees++; // also one that changes nothing must be known to a successor, should a copy of it come late

        // A predecessor may have lent verdicts shortly before this activation was born. A reset is only waited for by those who listen.
        if (order.Command == CircuitCommand.Reset)
            _switches.Give(
                order.Id.Key,
                _version,
                _holders.Known.Select(static holder => ((IListener)holder, holder.HeardAt + LeaseTerm.OfVerdict)),
                now,
                now);
        else
            _switches.Give(
                order.Id.Key,
                _version,
                _holders.Known.Select(static holder => ((IListener)holder, holder.AdmitsUntil)),
                _admittedUntil,
                now);
        return _switches.Look(order.Id.Key, now)!.Value;
    }

    /// <inheritdoc/>
    public Obedience Repeat(in Obedience earlier, Instant answeredAt, Instant now) => earlier;

    /// <inheritdoc/>
    public bool IsFinal(in Obedience answer) => answer.IsObeyed;

    /// <summary>Those who are to be told that something has changed, each once per change.</summary>
    public IReadOnlyList<VerdictHolders.Holder> TakeHints(Instant now)
    {
        if (_hinted >= _hint)
            return [];
        _hinted = _hint;
        return [.. _holders.Known.Where(holder => holder.Observer is not null && holder.Knows < _hint && IsListening(holder, now))];
    }

    /// <summary>What a hint says.</summary>
    public (long Epoch, long Version) Shown => (_epoch, _version);

    /// <inheritdoc/>
    public void ChangeTo(CircuitBreakerPolicy policy, Instant now)
    {
        Advance(now);
        _policy = policy;
        _forAll.ChangeTo(policy, now);
        foreach (var holder in _holders.Known)
        {
            if (policy.QuorumNodes == 1)
                holder.Own = null;
            holder.Own?.ChangeTo(policy, now);
        }

        OpenByQuorum(now);
        Show(now);
    }

    public CircuitBreakerStatus Describe(Instant now)
    {
        Advance(now);
        return new CircuitBreakerStatus(
            _forAll.State,
            _forAll.Failures,
            _trials.Count,
            _forAll.RetryAfter(now),
            _forAll.Generation,
            _forAll.Cause,
            _forAll.Reason,
            _forAll.Share(now),
            _holders.Known.Count(holder => holder.AdmitsUntil > now));
    }

    /// <inheritdoc/>
    public BreakerMemory Capture(Instant now, bool isWhole)
    {
        Advance(now);
        return new BreakerMemory(
            _epoch,
            _admittedUntil.After(now),
            _version,
            _trials.LastNumber,
            _forAll.Capture(now),
            isWhole ? _trials.Capture(now, circuit => circuit == _forAll) : [],
            isWhole ? _holders.Capture(now) : [],
            _switches.Capture(now));
    }

    private void Succeed(BreakerMemory memory, Instant then, Instant now, TimeSpan fence)
    {
        var goneAt = now + fence;
        _forAll.Succeed(memory.ForAll, then, goneAt + (2 * LeaseTerm.ClocksApart), goneAt + _policy.TrialLease);
        _switches.Resume(memory.Orders, [], _admittedUntil, now);
    }

    private void Resume(BreakerMemory memory, Instant then, Instant now)
    {
        (_version, _hint, _hinted) = (memory.Version, memory.Version, memory.Version);
        _admittedUntil = now + memory.UnknownFor;
        _trials.LastNumber = memory.LastNumber;
        _forAll.Resume(memory.ForAll, then);
        foreach (var holder in memory.Holders)
        {
            var own = holder.Own is null || _policy.QuorumNodes == 1 ? null : new CircuitStates(_policy, _trials, holder.Own.Generation);
            own?.Resume(holder.Own!, then);
            _holders.Resume(holder, own, now);
            _ownMemorableUntil = Instant.Later(_ownMemorableUntil, own?.MemorableUntil ?? default);
        }

        _switches.Resume(
            memory.Orders, [.. _holders.Known.Select(static holder => ((IListener)holder, holder.AdmitsUntil))], _admittedUntil, now);
        foreach (var trial in memory.Trials)
            _trials.Resume(trial, trial.IsForAll ? _forAll : _holders.Find(trial.Borrower)?.Own ?? _forAll, now);
    }

    private static void Check(in VerdictRequest request)
    {
        if (request.Sequence < 1 || request.AtTheDoor < 0 || request.Shed < 0)
            throw new ArgumentException($"No node has such a view: {request}.", nameof(request));
        foreach (var news in request.Outcomes ?? [])
            Check(news);
    }

    private static void Check(in CircuitNews news)
    {
        if (!Enum.IsDefined(news.Outcome))
            throw new ArgumentOutOfRangeException(nameof(news), news.Outcome, "The outcome is Ignored, Succeeded or Failed.");
        if (news.Calls < 1)
            throw new ArgumentOutOfRangeException(nameof(news), news.Calls, "At least one call.");
    }

    // What is told comes first: a trial that is answered here is not in hand any more, and no longer under way.
    private void Take(VerdictHolders.Holder holder, in VerdictRequest request, Instant now)
    {
        (holder.Sequence, holder.Observer) = (request.Sequence, request.Observer);
        if (request.Epoch == _epoch)
            holder.Knows = Math.Max(holder.Knows, request.Version);
        foreach (var news in request.Outcomes ?? [])
            Hear(holder, news, now);
        _trials.KeepOnly(request.Holder, request.Trials);
        For(holder).NoteShed(request.Shed, now);
        holder.Trials = default;
        for (var i = 0; i < request.AtTheDoor && For(holder).TryBegin(request.Holder, now) is var trial && trial != 0; i++)
            holder.Trials = (trial - i, i + 1, For(holder).Generation);
    }

    private void Hear(VerdictHolders.Holder? holder, in CircuitNews news, Instant now)
    {
        var circuit = For(holder);
        circuit.Report(news.Generation, news.Trial, news.Outcome, news.Calls, now);
        if (holder?.Own != circuit)
            return;
        _ownMemorableUntil = Instant.Later(_ownMemorableUntil, circuit.MemorableUntil);
        if (circuit.State == CircuitState.Open)
            OpenByQuorum(now);
    }

    private void OpenByQuorum(Instant now)
    {
        if (_policy.QuorumNodes == 1 || _forAll.State != CircuitState.Closed)
            return;
        if (_holders.Known.Count(holder => IsOwnOfToday(holder) && holder.Own!.State != CircuitState.Closed) >= _policy.QuorumNodes)
            _forAll.Trip(CircuitCause.Quorum, null, now);
    }

    // The state that holds for a node. Its own begins with each generation of that for all, and ends with it, whatever its trials come to later.
    private CircuitStates For(VerdictHolders.Holder? holder)
    {
        if (holder is null || _policy.QuorumNodes == 1 || _forAll.State != CircuitState.Closed)
            return _forAll;
        if (!IsOwnOfToday(holder))
            (holder.Own, holder.OwnBeganIn) = (new CircuitStates(_policy, _trials, _trials.NextNumber()), _forAll.Generation);
        return holder.Own!;
    }

    private bool IsOwnOfToday(VerdictHolders.Holder holder) => holder.Own is not null && holder.OwnBeganIn == _forAll.Generation;

    private VerdictGrant Grant(VerdictHolders.Holder holder, Instant now)
    {
        var circuit = For(holder);
        if (circuit.State == CircuitState.Closed || holder.Trials.Count > 0)
            holder.AdmitsUntil = LeaseTerm.LentUntil(now, LeaseTerm.OfVerdict);
        return new VerdictGrant(
            holder.Sequence,
            _epoch,
            _version,
            circuit.Generation,
            circuit.State,
            LeaseTerm.OfVerdict,
            circuit.State == CircuitState.Closed && circuit.Failures > 0 && _policy.FailureRatio == 0 && _policy.SheddingFactor is null,
            circuit.RetryAfter(now),
            circuit.State == CircuitState.HalfOpen && !circuit.MayTry ? ComeBackAfter : default,
            circuit.Share(now),
            holder.Trials.First,
            holder.Trials.Count,
            circuit.Cause,
            circuit.Reason,
            _policy,
            holder.Trials.Generation);
    }

    // What is different for the nodes. That a cool-down is over, they know; that nothing fails any more, they hear with the next answer.
    private void Show(Instant now)
    {
        if (_forAll.Generation != _decreed)
            (_decreed, Decrees) = (_forAll.Generation, Decrees + (_forAll.State == CircuitState.HalfOpen ? 0 : 1));
        var shown = (_forAll.Generation, _forAll.Failures > 0);
        if (shown == _shown)
            return;
        var isOther = shown.Generation != _shown.Generation && _forAll.Cause != CircuitCause.CoolDownOver;
        var failsNow = shown.Item2 && !_shown.IsFailing && now - _failingHintedAt >= FailingHintEvery;
        _shown = shown;
        _version++;
        if (failsNow)
            _failingHintedAt = now;
        if (isOther || failsNow)
            _hint = _version;
    }

    // It may still go by what it was told.
    private static bool IsListening(VerdictHolders.Holder holder, Instant now) => holder.HeardAt + LeaseTerm.OfVerdict > now;

    private void Advance(Instant now)
    {
        _forAll.Advance(now);
        if (_policy.QuorumNodes > 1)
        {
            foreach (var holder in _holders.Known)
                holder.Own?.Advance(now);
        }

        _trials.EndUnanswered(now);
        _forAll.Advance(now);
        Show(now);
    }
}
