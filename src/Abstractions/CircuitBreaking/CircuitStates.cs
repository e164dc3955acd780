namespace ReliabilityToolkit.Orleans;

/// <summary>
/// What a circuit breaker is: its state as a function of what it heard and of the time. The authority has one for all nodes (and where a quorum is
/// wanted one for each), and a node makes one for itself while its authority does not answer. Not thread-safe.
/// </summary>
/// <remarks>
/// Every change of state starts a new generation. A call carries the generation in which it was admitted, and its result counts in that one only:
/// five calls are under way when the circuit opens, closes and is well again; their time-outs, thirty seconds later, are not five failures of today.
/// </remarks>
internal sealed class CircuitStates
{
    private readonly Trials _trials;
    private CircuitBreakerPolicy _policy;
    private OutcomeWindow? _window;
    private int _trialSuccesses;
    private int _failedTrials; // since it was closed
    private Instant _openUntil;
    private Instant _lastFailureAt;

    /// <param name="policy">Validated.</param>
    /// <param name="trials">The places for trials; shared by all circuits for which the policy's bound holds.</param>
    /// <param name="generation">Its first.</param>
    public CircuitStates(CircuitBreakerPolicy policy, Trials trials, long generation)
    {
        (_policy, _trials, Generation) = (policy, trials, generation);
        _window = NewWindow();
    }

    /// <summary>
    /// How long failures, and an open circuit after its cool-down, are remembered where nobody asks; then a caller finds it closed with nothing
    /// counted. An hour: so that a thousand tenants with a failure each do not stay in memory for long.
    /// </summary>
    public static readonly TimeSpan RememberedFor = TimeSpan.FromHours(1);

    /// <summary>
    /// However badly it goes, one call in a hundred is admitted: or else it would take a busy service minutes to be found well again.
    /// </summary>
    public const double LeastShare = 0.01;

    public CircuitState State { get; private set; }

    public long Generation { get; private set; }

    /// <summary>Why it is in this state.</summary>
    public CircuitCause Cause { get; private set; }

    /// <summary>What was said with a kill switch.</summary>
    public string? Reason { get; private set; }

    /// <summary>Consecutive failures, while closed.</summary>
    public int Failures { get; private set; }

    /// <summary>Whether a trial may begin.</summary>
    public bool MayTry => State == CircuitState.HalfOpen && _trials.Count < _policy.HalfOpenMaxCalls;

    /// <summary>Until when it answers otherwise than a new one.</summary>
    public Instant MemorableUntil => State switch
    {
        CircuitState.Closed => Instant.Later(Failures == 0 ? default : _lastFailureAt + RememberedFor, _window?.EmptyAt ?? default),
        CircuitState.Isolated => Instant.Never,
        _ => _openUntil + RememberedFor,
    };

    /// <summary>What is left of the cool-down; absent where nobody can tell.</summary>
    public TimeSpan? RetryAfter(Instant now) => State == CircuitState.Open ? _openUntil.After(now) : null;

    /// <summary>The share of calls to be admitted, while closed: 1, or less where calls are shed.</summary>
    public double Share(Instant now)
    {
        if (_policy.SheddingFactor is not { } factor || State != CircuitState.Closed)
            return 1;
        var (succeeded, failed, shed) = _window!.Total(now);
        return Math.Clamp(((factor * succeeded) + 1) / (succeeded + failed + shed + 1), LeastShare, 1);
    }

    /// <summary>What time alone does: a cool-down ends.</summary>
    public void Advance(Instant now)
    {
        if (State == CircuitState.Open && _openUntil <= now)
            Become(CircuitState.HalfOpen, CircuitCause.CoolDownOver);
    }

    /// <summary>Begins a trial, if it may.</summary>
    /// <returns>Its number; 0: it may not.</returns>
    public long TryBegin(Borrower borrower, Instant now) => MayTry ? _trials.Begin(this, borrower, now + _policy.TrialLease) : 0;

    /// <summary>How some calls of one generation went; those of an earlier one change nothing, but for the place of a trial.</summary>
    public void Report(long generation, long trial, CircuitOutcome outcome, int calls, Instant now)
    {
        var wasUnderWay = _trials.End(trial, outcome);
        if (generation != Generation || wasUnderWay != (State == CircuitState.HalfOpen) || outcome == CircuitOutcome.Ignored || calls < 1)
            return;
        if (State == CircuitState.HalfOpen)
            CountTrial(outcome, now);
        else if (State == CircuitState.Closed)
            Count(outcome, calls, now);
    }

    /// <summary>So many calls were not made, because only a share is admitted.</summary>
    public void NoteShed(long calls, Instant now)
    {
        if (State == CircuitState.Closed)
            _window?.Add(new Outcomes(0, 0, calls), now);
    }

    /// <summary>Nobody answered a trial within its lease.</summary>
    public void Miss(long generation, Instant at)
    {
        if (generation == Generation)
            OpenAgain(CircuitCause.TrialUnanswered, at);
    }

    /// <summary>Opens for a cool-down from <paramref name="at"/>; an isolated circuit stays isolated.</summary>
    public void Trip(CircuitCause cause, string? reason, Instant at)
    {
        if (State != CircuitState.Isolated)
            Open(cause, at, reason);
    }

    /// <summary>Opens until a reset.</summary>
    public void Isolate(string? reason) => Become(CircuitState.Isolated, CircuitCause.Isolated, reason);

    /// <summary>Closes with nothing counted.</summary>
    public void Reset(string? reason) => Become(CircuitState.Closed, CircuitCause.Reset, reason);

    /// <summary>What it knows, for one that carries on.</summary>
    public StatesMemory Capture(Instant now) => new(
        State,
        Generation,
        Cause,
        Reason,
        Failures,
        _trialSuccesses,
        _failedTrials,
        _openUntil - now,
        now - _lastFailureAt,
        _window?.Length ?? default,
        _window?.Capture(now));

    /// <summary>Carries on.</summary>
    /// <param name="memory">As captured.</param>
    /// <param name="then">When that was, by the clock of today.</param>
    public void Resume(StatesMemory memory, Instant then)
    {
        (State, Generation, Cause, Reason, Failures) = (memory.State, memory.Generation, memory.Cause, memory.Reason, memory.Failures);
        (_trialSuccesses, _failedTrials) = (memory.TrialSuccesses, memory.FailedTrials);
        (_openUntil, _lastFailureAt) = (then + memory.OpenFor, new Instant(then.Ticks - memory.LastFailureAgo.Ticks));
        if (_window?.Length == memory.WindowLength && memory.Window is not null)
            _window.Resume(memory.Window, then);
    }

    /// <summary>
    /// Carries on for one that was lost, of which this is the last that was recorded. It may have let trials through since: none begins before they
    /// are over.
    /// </summary>
    /// <param name="memory">As captured; half open was never recorded.</param>
    /// <param name="then">When that was, by the clock of today, or somewhat earlier.</param>
    /// <param name="latestEnd">A cool-down that seems to last longer has not ended for the lost one.</param>
    /// <param name="trialsOverAt">When its last trial will be over.</param>
    public void Succeed(StatesMemory memory, Instant then, Instant latestEnd, Instant trialsOverAt)
    {
        var generation = Generation;
        Resume(memory, then);
        Generation = generation;
        Failures = 0; // what was counted may have been forgiven since
        _window?.Clear();
        if (State == CircuitState.HalfOpen)
            State = CircuitState.Open;
        if (State == CircuitState.Open && _openUntil <= latestEnd)
            _openUntil = Instant.Later(_openUntil, trialsOverAt);
    }

    /// <summary>Takes over what somebody else knew of it; counts go on from there.</summary>
    public void TakeOver(CircuitState state, int failures, TimeSpan? openFor, Instant now)
    {
        (State, Failures, _openUntil) = (state, failures, now + (openFor ?? default));
        _lastFailureAt = now;
    }

    /// <summary>Goes on under another policy. A cool-down and the leases of trials under way keep the length they began with.</summary>
    public void ChangeTo(CircuitBreakerPolicy policy, Instant now)
    {
        _policy = policy;
        if (_window?.Length != NewWindow()?.Length)
            _window = NewWindow();
        if (State == CircuitState.Closed && IsTooMuch(now))
            Open(CircuitCause.PolicyChanged, now);
        else if (State == CircuitState.HalfOpen && _trialSuccesses >= policy.HalfOpenMaxCalls)
            Become(CircuitState.Closed, CircuitCause.PolicyChanged);
    }

    private void Count(CircuitOutcome outcome, int calls, Instant now)
    {
        var hasFailed = outcome == CircuitOutcome.Failed;
        _window?.Add(hasFailed ? new Outcomes(0, calls, 0) : new Outcomes(calls, 0, 0), now);
        Failures = hasFailed ? (int)Math.Min((long)Failures + calls, int.MaxValue) : 0;
        if (!hasFailed)
            return;
        _lastFailureAt = now;
        if (IsTooMuch(now))
            Open(_policy.FailureRatio > 0 ? CircuitCause.FailureRatio : CircuitCause.Failures, now);
    }

    private void CountTrial(CircuitOutcome outcome, Instant now)
    {
        if (outcome == CircuitOutcome.Failed)
            OpenAgain(CircuitCause.TrialFailed, now);
        else if (++_trialSuccesses >= _policy.HalfOpenMaxCalls)
            Become(CircuitState.Closed, CircuitCause.TrialsSucceeded);
    }

    private bool IsTooMuch(Instant now)
    {
        if (_policy.SheddingFactor is not null)
            return false;
        if (_policy.FailureRatio <= 0)
            return Failures >= _policy.FailureThreshold;
        var (succeeded, failed, _) = _window!.Total(now);
        return succeeded + failed >= _policy.MinimumThroughput && failed >= _policy.FailureRatio * (succeeded + failed) && failed > 0;
    }

    private void OpenAgain(CircuitCause cause, Instant at)
    {
        _failedTrials++;
        Open(cause, at);
    }

    private void Open(CircuitCause cause, Instant at, string? reason = null)
    {
        var growth = cause == CircuitCause.Tripped ? 1 : Math.Pow(_policy.CoolDownGrowth, _failedTrials);
        Become(CircuitState.Open, cause, reason);
        var coolDown = growth > 1 ? Math.Min(_policy.CoolDown.Ticks * growth, _policy.MaxCoolDown.Ticks) : _policy.CoolDown.Ticks;
        _openUntil = at + new TimeSpan((long)(coolDown * (1 + (_policy.CoolDownJitter * ChanceOf(Generation)))));
    }

    private void Become(CircuitState state, CircuitCause cause, string? reason = null)
    {
        (State, Cause, Reason) = (state, cause, reason);
        Generation = _trials.NextNumber();
        Failures = 0;
        _trialSuccesses = 0;
        if (state != CircuitState.Closed)
            return;
        _failedTrials = 0;
        _window?.Clear();
    }

    private OutcomeWindow? NewWindow() =>
        _policy.FailureRatio > 0 || _policy.SheddingFactor is not null ? new OutcomeWindow(_policy.SamplingWindow) : null;

    // 0 to 1. Generations begin at a number with chance in it, so that two circuits have other ones (SplitMix64's finalizer: Steele, Lea, Flood
    // 2014).
    private static double ChanceOf(long generation)
    {
        var z = (ulong)generation * 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return ((z ^ (z >> 31)) >> 11) * (1.0 / (1UL << 53));
    }
}

/// <summary>What a circuit knows; see <see cref="CircuitStates"/>.</summary>
[GenerateSerializer, Immutable, Alias("rt.StatesMemory")]
internal sealed record StatesMemory(
    [property: Id(0)] CircuitState State,
    [property: Id(1)] long Generation,
    [property: Id(2)] CircuitCause Cause,
    [property: Id(3)] string? Reason,
    [property: Id(4)] int Failures,
    [property: Id(5)] int TrialSuccesses,
    [property: Id(6)] int FailedTrials,
    [property: Id(7)] TimeSpan OpenFor,
    [property: Id(8)] TimeSpan LastFailureAgo,
    [property: Id(9)] TimeSpan WindowLength,
    [property: Id(10)] Outcomes[]? Window);
