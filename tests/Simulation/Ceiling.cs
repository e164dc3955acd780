namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>
/// The most that may be admitted: one ideal bucket that is fed with all admissions. Its level must never be below zero. One that is dated back, by a
/// thread that slept after it had read the clock, is put where it belongs.
/// </summary>
/// <param name="promise">Whose checker it is.</param>
/// <param name="policy">Legal.</param>
/// <param name="remembers">Whether all is kept for a replay, and admissions may come that are dated back.</param>
internal sealed class Ceiling(string promise, RateLimiterPolicy policy, bool remembers = true)
{
    private readonly List<Event> _events = [];
    private bool _hasReturned;
    private IdealBucket _ideal = new(policy);

    public Int128 LevelAt(Instant now) => _ideal.LevelAt(now);

    public double TokensAt(Instant now) => _ideal.TokensAt(now);

    public void Take(int tokens, Instant at) => Add(new Event(at, tokens, null, 0));

    /// <summary>Something has come back, in units of the ideal bucket.</summary>
    public void Return(Int128 units, Instant at)
    {
        _hasReturned = true;
        Add(new Event(at, 0, null, 0, units));
    }

    /// <summary>Another policy of the same period, with the tokens that are there.</summary>
    public void ChangeTo(RateLimiterPolicy policy, Instant at) => Add(new Event(at, 0, policy, 0));

    /// <summary>So many tokens more, until the policy changes, or is told again.</summary>
    public void Raise(int tokens, Instant at) => Add(new Event(at, 0, null, tokens));

    /// <summary>All of it again, in unbounded integers; for one that was never raised, and where nothing has come back.</summary>
    public void Replay()
    {
        if (_hasReturned)
            return;
        var policies = _events.Where(each => each.Policy is not null).Select(each => (each.At, each.Policy!)).Prepend((default, policy)).ToList();
        if (IdealBucket.FirstExcess(policies, _events.Where(each => each.Policy is null).Select(each => (each.At, each.Tokens))) is { } excess)
            throw new BrokenPromiseException(promise, $"by replay one too many at {TimeSpan.FromTicks(excess.At.Ticks)}");
    }

    private void Add(in Event happened)
    {
        if (!remembers)
        {
            Do(happened);
            return;
        }

        var place = _events.Count;
        while (place > 0 && _events[place - 1].At > happened.At)
            place--;
        _events.Insert(place, happened);
        if (place == _events.Count - 1)
        {
            Do(happened);
            return;
        }

        _ideal = new IdealBucket(policy);
        foreach (var each in _events)
            Do(each);
    }

    private void Do(in Event happened)
    {
        if (happened.Policy is not null)
            _ideal.ChangeTo(happened.Policy, happened.At);
        else if (happened.Raised > 0)
            _ideal.Raise(happened.Raised, happened.At);
        else if (happened.Returned > 0)
            _ideal.Return(happened.Returned, happened.At);
        else
            _ideal.Take(happened.Tokens, happened.At);
        if (_ideal.LevelAt(happened.At) < 0)
            throw new BrokenPromiseException(promise, $"one too many at {TimeSpan.FromTicks(happened.At.Ticks)}");
    }

    private readonly record struct Event(Instant At, int Tokens, RateLimiterPolicy? Policy, int Raised, Int128 Returned = default);
}
