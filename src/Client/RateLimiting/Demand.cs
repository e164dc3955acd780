namespace ReliabilityToolkit.Orleans;

/// <summary>Tokens asked for in a second, as an average in which what is 150 ms older counts half. Not thread-safe.</summary>
internal struct Demand(Instant since)
{
    private static readonly TimeSpan HalfLife = TimeSpan.FromMilliseconds(150);

    private Instant _since = since;
    private long _asked;
    private double _average;

    public void Add(long tokens) => _asked += tokens;

    /// <summary>A clock that stood still or stepped back changes nothing.</summary>
    public double PerSecond(Instant now)
    {
        var elapsed = now - _since;
        if (elapsed <= TimeSpan.Zero)
            return _average;
        var weight = 1 - Math.Pow(2, -(elapsed / HalfLife));
        _average += weight * ((_asked / elapsed.TotalSeconds) - _average);
        (_since, _asked) = (now, 0);
        return _average;
    }
}
