namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The authority of one circuit breaker: its state as a function of what it heard and of the time. Not thread-safe: the grain guards it.
/// </summary>
/// <remarks>
/// Every change of state starts a new generation. A call carries the generation in which it was admitted, and its result counts in that one only:
/// five calls are under way when the circuit opens, closes and is well again; their time-outs, thirty seconds later, are not five failures of today.
/// </remarks>
/// <param name="policy">Validated.</param>
/// <param name="epoch">
/// Where generations and trial numbers start: above those of every earlier activation, whose passes may still be under way.
/// </param>
internal sealed class Circuit(CircuitBreakerPolicy policy, long epoch) : IAuthorityMachine<CircuitBreakerPolicy, CircuitPass>
{
    // of all generations: a trial is under way until it is answered or its lease ends, whatever the circuit does meanwhile
    private readonly List<Trial> _trials = [];
    private CircuitBreakerPolicy _policy = policy;
    private CircuitState _state = CircuitState.Closed;
    private long _generation = epoch;
    private int _failures;
    private int _trialSuccesses;
    private long _lastTrial = epoch;
    private Instant _openUntil;
    private Instant _lastFailureAt;

    /// <summary>
    /// How long failures, and an open circuit after its cool-down, are remembered where nobody asks; then a caller finds it closed with nothing
    /// counted. An hour: so that a thousand tenants with a failure each do not stay in memory for long.
    /// </summary>
    public static readonly TimeSpan RememberedFor = TimeSpan.FromHours(1);

    /// <inheritdoc/>
    public Instant MemorableUntil => _state switch
    {
        CircuitState.Closed => _failures == 0 ? default : _lastFailureAt + RememberedFor,
        CircuitState.Isolated => Instant.Never,
        _ => _openUntil + RememberedFor,
    };

    /// <summary>A caller at the door.</summary>
    public CircuitPass Enter(Instant now)
    {
        Advance(now);
        return Admit(now, mayTry: true);
    }

    /// <summary>
    /// What was admitted before the circuit changed is not admitted after: a kill switch was thrown while the answer was under way. Nor is it made a
    /// trial, for a mere copy of the request has nobody behind it who would answer.
    /// </summary>
    public CircuitPass Repeat(in CircuitPass earlier, Instant answeredAt, Instant now)
    {
        Advance(now);
        if (earlier.IsAdmitted && earlier.Generation != _generation)
            return Admit(now, mayTry: false);
        return earlier.RetryAfter is { } wait ? earlier with { RetryAfter = (answeredAt + wait).After(now) } : earlier;
    }

    /// <summary>A call's outcome.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The outcome is none of the three; nothing has changed.</exception>
    public void Report(in CircuitReport report, Instant now)
    {
        if (!Enum.IsDefined(report.Outcome))
            throw new ArgumentOutOfRangeException(nameof(report), report.Outcome, "The outcome is Ignored, Succeeded or Failed.");
        Advance(now);
        var trial = report.Trial;
        var wasUnderWay = trial != 0 && _trials.RemoveAll(one => one.Number == trial) > 0;
        if (report.Generation == _generation && wasUnderWay == (_state == CircuitState.HalfOpen))
            Count(report.Outcome, now);
    }

    /// <summary>Opens for a whole cool-down from now; an isolated circuit stays isolated.</summary>
    public void Trip(Instant now)
    {
        Advance(now);
        if (_state != CircuitState.Isolated)
            Open(now);
    }

    /// <summary>Opens until a reset.</summary>
    public void Isolate(Instant now)
    {
        Advance(now);
        Become(CircuitState.Isolated);
    }

    /// <summary>Closes with nothing counted.</summary>
    public void Reset(Instant now)
    {
        Advance(now);
        Become(CircuitState.Closed);
    }

    /// <summary>Goes on under another policy. A cool-down and the leases of trials under way keep the length they began with.</summary>
    public void ChangeTo(CircuitBreakerPolicy policy, Instant now)
    {
        Advance(now);
        _policy = policy;
        if (_state == CircuitState.Closed && _failures >= policy.FailureThreshold)
            Open(now);
        else if (_state == CircuitState.HalfOpen && _trialSuccesses >= policy.HalfOpenMaxCalls)
            Become(CircuitState.Closed);
    }

    public CircuitBreakerStatus Describe(Instant now)
    {
        Advance(now);
        return new CircuitBreakerStatus(_state, _failures, _trials.Count, RetryAfter(now), _generation);
    }

    // What time alone does: a cool-down ends; a trial that nobody answered counts as a failure at the end of its lease, if the circuit still waits
    // for it.
    private void Advance(Instant now)
    {
        while (true)
        {
            if (_state == CircuitState.Open && _openUntil <= now)
                Become(CircuitState.HalfOpen);
            if (!TryTakeFirstEnded(now, out var ended))
                return;
            if (ended.Generation == _generation)
                Open(ended.Until);
        }
    }

    private bool TryTakeFirstEnded(Instant now, out Trial ended)
    {
        ended = _trials.Count == 0 ? default : _trials.MinBy(trial => trial.Until);
        return _trials.Count > 0 && ended.Until <= now && _trials.Remove(ended);
    }

    private CircuitPass Admit(Instant now, bool mayTry)
    {
        var trial = 0L;
        var isAdmitted = _state == CircuitState.Closed;
        if (mayTry && _state == CircuitState.HalfOpen && _trials.Count < _policy.HalfOpenMaxCalls)
        {
            isAdmitted = true;
            trial = ++_lastTrial;
            _trials.Add(new Trial(trial, _generation, now + _policy.TrialLease));
        }

        return new CircuitPass(isAdmitted, _generation, trial, isAdmitted ? null : RetryAfter(now), _state);
    }

    private void Count(CircuitOutcome outcome, Instant now)
    {
        switch (_state, outcome)
        {
            case (CircuitState.Closed, CircuitOutcome.Succeeded):
                _failures = 0;
                break;
            case (CircuitState.Closed, CircuitOutcome.Failed):
                _lastFailureAt = now;
                if (++_failures >= _policy.FailureThreshold)
                    Open(now);
                break;
            case (CircuitState.HalfOpen, CircuitOutcome.Succeeded):
                if (++_trialSuccesses >= _policy.HalfOpenMaxCalls)
                    Become(CircuitState.Closed);
                break;
            case (CircuitState.HalfOpen, CircuitOutcome.Failed):
                Open(now);
                break;
        }
    }

    private void Open(Instant at)
    {
        Become(CircuitState.Open);
        _openUntil = at + _policy.CoolDown;
    }

    private void Become(CircuitState state)
    {
        _state = state;
        _generation++;
        _failures = 0;
        _trialSuccesses = 0;
    }

    private TimeSpan? RetryAfter(Instant now) => _state == CircuitState.Open ? _openUntil.After(now) : null;

    private readonly record struct Trial(long Number, long Generation, Instant Until);
}
