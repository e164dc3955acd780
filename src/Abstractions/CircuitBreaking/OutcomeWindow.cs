namespace ReliabilityToolkit.Orleans;

/// <summary>
/// How the calls of the last while went: a window that slides in steps of a tenth of its length, so that it looks back over nine to ten tenths of it.
/// Not thread-safe.
/// </summary>
/// <param name="length">How far back it looks.</param>
internal sealed class OutcomeWindow(TimeSpan length)
{
    private const int Slices = 10;

    private readonly Outcomes[] _slices = new Outcomes[Slices];
    private readonly long _sliceTicks = Math.Max(1, length.Ticks / Slices);
    private long _slice;
    private Outcomes _total;

    public TimeSpan Length { get; } = length;

    /// <summary>When nothing of what it holds today counts any more.</summary>
    public Instant EmptyAt => _total == default ? default : new Instant((_slice + Slices) * _sliceTicks);

    public void Add(in Outcomes outcomes, Instant now)
    {
        Slide(now);
        _slices[_slice % Slices] += outcomes;
        _total += outcomes;
    }

    public Outcomes Total(Instant now)
    {
        Slide(now);
        return _total;
    }

    /// <summary>What it holds, slice by slice, the oldest first.</summary>
    public Outcomes[] Capture(Instant now)
    {
        Slide(now);
        return [.. Enumerable.Range(1, Slices).Select(i => _slices[(_slice + i) % Slices])];
    }

    /// <summary>Holds what another one held.</summary>
    /// <param name="slices">As captured.</param>
    /// <param name="now">When that was, by the clock of today.</param>
    public void Resume(Outcomes[] slices, Instant now)
    {
        Clear();
        Slide(now);
        for (var i = 0; i < Math.Min(slices.Length, Slices); i++)
        {
            _slices[(_slice + 1 + i) % Slices] = slices[i];
            _total += slices[i];
        }
    }

    public void Clear()
    {
        Array.Clear(_slices);
        _total = default;
    }

    // A clock that stands still or steps back adds to the slice that it was in.
    private void Slide(Instant now)
    {
        var slice = Math.Max(0, now.Ticks / _sliceTicks);
        if (slice - _slice >= Slices)
            Clear();
        else
        {
            for (var next = _slice + 1; next <= slice; next++)
            {
                _total -= _slices[next % Slices];
                _slices[next % Slices] = default;
            }
        }

        _slice = Math.Max(_slice, slice);
    }
}

/// <summary>How some calls went.</summary>
/// <param name="Succeeded">So many succeeded.</param>
/// <param name="Failed">So many failed.</param>
/// <param name="Shed">So many were not made.</param>
[GenerateSerializer, Immutable, Alias("rt.Outcomes")]
internal readonly record struct Outcomes([property: Id(0)] long Succeeded, [property: Id(1)] long Failed, [property: Id(2)] long Shed)
{
    public static Outcomes operator +(Outcomes left, Outcomes right) =>
        new(left.Succeeded + right.Succeeded, left.Failed + right.Failed, left.Shed + right.Shed);

    public static Outcomes operator -(Outcomes left, Outcomes right) =>
        new(left.Succeeded - right.Succeeded, left.Failed - right.Failed, left.Shed - right.Shed);
}
