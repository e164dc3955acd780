namespace ReliabilityToolkit.Orleans;

/// <summary>Tokens asked for in a second, as an average in which what is 150 ms older counts half. Not thread-safe.</summary>
internal struct Demand(Instant since)
{
    private static readonly TimeSpan HalfLife = TimeSpan.FromMilliseconds(150);

    private Instant _since = since;
    private long _spread;
    private long _come;
    private double _average;

    /// <summary>As of the last look.</summary>
    public readonly double Average => _average;

    /// <summary>Some were asked for at some time since the last look.</summary>
    public void Add(long tokens) => _spread += tokens;

    /// <summary>
    /// Some are asked for at the instant of the last look. They count from the next look on: whoever looks only when somebody comes would always
    /// find one too many.
    /// </summary>
    public void AddNow(int tokens) => _come += tokens;

    /// <summary>Looks. A clock that stood still or stepped back changes nothing.</summary>
    public double PerSecond(Instant now)
    {
        var elapsed = now - _since;
        if (elapsed <= TimeSpan.Zero)
            return _average;
        var kept = Math.Pow(2, -(elapsed / HalfLife));
        _average = ((_average + (_come * Math.Log(2) / HalfLife.TotalSeconds)) * kept) + (_spread / elapsed.TotalSeconds * (1 - kept));
        (_since, _come, _spread) = (now, 0, 0);
        return _average;
    }
}
