namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The authority of one circuit breaker: its state as a function of what it heard and of the time. Not thread-safe: the grain guards it.
/// </summary>
/// <remarks>
/// Every change of state starts a new generation. A call carries the generation in which it was admitted, and its result counts in that one only: five calls
/// are under way when the circuit opens, closes and is well again; their time-outs, thirty seconds later, are not five failures of today.
/// </remarks>
internal sealed class Circuit(CircuitBreakerPolicy policy) : IAuthority<CircuitBreakerPolicy>
{
    private readonly AnswerLog<CircuitPass> _answers = new();
    private readonly List<Trial> _trials = []; // in order of their leases' ends, where the policy stays the same
    private CircuitBreakerPolicy _policy = policy;
    private CircuitState _state = CircuitState.Closed;
    private long _generation = 1;
    private int _failures;
    private int _trialSuccesses;
    private long _lastTrial;
    private Instant _openUntil;

    /// <summary>How long an open circuit that nobody asks is remembered after its cool-down; then a caller finds it closed.</summary>
    public static readonly TimeSpan RememberedFor = TimeSpan.FromDays(1);

    /// <inheritdoc/>
    public Instant MemorableUntil => _state switch
    {
        CircuitState.Closed => default,
        CircuitState.Isolated => Instant.Never,
        _ => _openUntil + RememberedFor,
    };

    /// <summary>A caller at the door.</summary>
    public CircuitPass Enter(in RequestId id, Instant now)
    {
        if (_answers.TryRecall(id, now, out var pass))
            return pass;
        Advance(now);
        pass = Admit(now);
        _answers.Remember(id, pass);
        return pass;
    }

    /// <summary>A call's outcome.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The outcome is none of the three; nothing has changed.</exception>
    public CircuitPass Report(in CircuitReport report, Instant now)
    {
        if (!Enum.IsDefined(report.Outcome))
            throw new ArgumentOutOfRangeException(nameof(report), report.Outcome, "The outcome is Ignored, Succeeded or Failed.");
        if (_answers.TryRecall(report.Id, now, out var answer))
            return answer;
        Advance(now);
        if (report.Generation == _generation)
            Count(report, now);
        return Acknowledge(report.Id, now);
    }

    /// <summary>Opens for a whole cool-down from now; an isolated circuit stays isolated.</summary>
    public CircuitPass Trip(in RequestId id, Instant now)
    {
        if (_answers.TryRecall(id, now, out var answer))
            return answer;
        Advance(now);
        if (_state != CircuitState.Isolated)
            Open(now);
        return Acknowledge(id, now);
    }

    /// <summary>Opens until a reset.</summary>
    public CircuitPass Isolate(in RequestId id, Instant now)
    {
        if (_answers.TryRecall(id, now, out var answer))
            return answer;
        Advance(now);
        Become(CircuitState.Isolated);
        return Acknowledge(id, now);
    }

    /// <summary>Closes with nothing counted.</summary>
    public CircuitPass Reset(in RequestId id, Instant now)
    {
        if (_answers.TryRecall(id, now, out var answer))
            return answer;
        Advance(now);
        Become(CircuitState.Closed);
        return Acknowledge(id, now);
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

    // What time alone does: a cool-down ends; a trial that nobody answered counts as a failure at the end of its lease.
    private void Advance(Instant now)
    {
        if (_state == CircuitState.HalfOpen && _trials.Count > 0)
        {
            var firstEnd = _trials.Min(trial => trial.Until);
            if (firstEnd <= now)
                Open(firstEnd);
        }

        if (_state == CircuitState.Open && _openUntil <= now)
            Become(CircuitState.HalfOpen);
    }

    private CircuitPass Admit(Instant now)
    {
        var trial = 0L;
        var isAdmitted = _state == CircuitState.Closed;
        if (_state == CircuitState.HalfOpen && _trials.Count < _policy.HalfOpenMaxCalls)
        {
            isAdmitted = true;
            trial = ++_lastTrial;
            _trials.Add(new Trial(trial, now + _policy.TrialLease));
        }

        return new CircuitPass(isAdmitted, _generation, trial, isAdmitted ? null : RetryAfter(now), _state);
    }

    private void Count(in CircuitReport report, Instant now)
    {
        if (_state == CircuitState.HalfOpen)
            CountTrial(report, now);
        else if (report.Outcome == CircuitOutcome.Succeeded)
            _failures = 0;
        else if (report.Outcome == CircuitOutcome.Failed && _state == CircuitState.Closed && ++_failures >= _policy.FailureThreshold)
            Open(now);
    }

    private void CountTrial(in CircuitReport report, Instant now)
    {
        var number = report.Trial;
        if (_trials.RemoveAll(trial => trial.Number == number) == 0)
            return;
        if (report.Outcome == CircuitOutcome.Failed)
            Open(now);
        else if (report.Outcome == CircuitOutcome.Succeeded && ++_trialSuccesses >= _policy.HalfOpenMaxCalls)
            Become(CircuitState.Closed);
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
        _trials.Clear();
    }

    private CircuitPass Acknowledge(in RequestId id, Instant now)
    {
        var answer = new CircuitPass(false, _generation, 0, RetryAfter(now), _state);
        _answers.Remember(id, answer);
        return answer;
    }

    private TimeSpan? RetryAfter(Instant now) => _state == CircuitState.Open ? _openUntil.After(now) : null;

    private readonly record struct Trial(long Number, Instant Until);
}
