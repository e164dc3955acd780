namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>
/// The oracle: the plainest breaker there is. It does not look back when asked; each thing that time does is an event, done in its order. Calls are
/// objects, and a call knows in which round it began.
/// </summary>
internal sealed class ReferenceBreaker(int threshold, long coolDown, int halfOpenMaxCalls, long trialLease)
{
    private readonly List<Call> _trials = [];
    private long _coolsAt;

    public string State { get; private set; } = "closed";

    public int Failures { get; private set; }

    public int TrialCount => _trials.Count;

    public int Round { get; private set; }

    private int Successes { get; set; }

    public void PassTime(long now)
    {
        while (true)
        {
            var nextTrialEnd = _trials.Select(trial => trial.EndsAt).DefaultIfEmpty(long.MaxValue).Min();
            if (State == "open" && _coolsAt <= now)
                Turn("half open");
            else if (nextTrialEnd <= now)
                Expire(_trials.First(trial => trial.EndsAt == nextTrialEnd));
            else
                return;
        }
    }

    public Call? Begin(long now)
    {
        if (State == "closed")
            return new Call(Round, long.MaxValue);
        if (State != "half open" || _trials.Count >= halfOpenMaxCalls)
            return null;
        var trial = new Call(Round, now + trialLease);
        _trials.Add(trial);
        return trial;
    }

    public void End(Call call, CircuitOutcome outcome, long now)
    {
        var isTrial = call.EndsAt != long.MaxValue;
        if (isTrial && !_trials.Remove(call))
            return;
        if (call.Round != Round)
            return;
        switch (State, outcome)
        {
            case ("closed", CircuitOutcome.Succeeded):
                Failures = 0;
                break;
            case ("closed", CircuitOutcome.Failed):
                Failures++;
                if (Failures == threshold)
                    Open(now);
                break;
            case ("half open", CircuitOutcome.Succeeded):
                Successes++;
                if (Successes == halfOpenMaxCalls)
                    Turn("closed");
                break;
            case ("half open", CircuitOutcome.Failed):
                Open(now);
                break;
        }
    }

    public void Trip(long now)
    {
        if (State != "isolated")
            Open(now);
    }

    public void Isolate() => Turn("isolated");

    public void Reset() => Turn("closed");

    private void Expire(Call trial)
    {
        _trials.Remove(trial);
        if (trial.Round == Round)
            Open(trial.EndsAt);
    }

    private void Open(long at)
    {
        Turn("open");
        _coolsAt = at + coolDown;
    }

    private void Turn(string state)
    {
        State = state;
        Round++;
        Failures = 0;
        Successes = 0;
    }

    internal sealed class Call(int round, long endsAt)
    {
        public int Round { get; } = round;

        public long EndsAt { get; } = endsAt;
    }
}
