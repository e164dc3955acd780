namespace ReliabilityToolkit.Orleans;

/// <summary>
/// When an activation must not be collected for being idle: for as long as its machine has something to remember, and no longer. A pure rule; the
/// grain asks Orleans for what it says.
/// </summary>
internal struct Retention
{
    /// <summary>An activation is kept for so much longer than needed, so that not every call has to ask.</summary>
    public static readonly TimeSpan Slack = TimeSpan.FromSeconds(10);

    private Instant _keptUntil;

    /// <summary>
    /// What to ask Orleans for by <c>DelayDeactivation</c>: a time from now, <see cref="Timeout.InfiniteTimeSpan"/>, or zero for no longer than any
    /// other activation. Null where what was asked before still fits.
    /// </summary>
    /// <param name="memorableUntil">Until when the machine has something to remember.</param>
    /// <param name="now">The grain's instant.</param>
    public TimeSpan? Follow(Instant memorableUntil, Instant now)
    {
        if (memorableUntil == Instant.Never)
            return Keep(Instant.Never, Timeout.InfiniteTimeSpan);
        var isKeptTooLong = _keptUntil > Instant.Later(memorableUntil, now) + (2 * Slack);
        if (memorableUntil <= now)
            return isKeptTooLong ? Keep(default, TimeSpan.Zero) : null;
        if (memorableUntil <= _keptUntil && !isKeptTooLong)
            return null;
        return Keep(memorableUntil + Slack, memorableUntil + Slack - now);
    }

    private TimeSpan? Keep(Instant until, TimeSpan duration)
    {
        if (_keptUntil == until)
            return null;
        _keptUntil = until;
        return duration;
    }
}
