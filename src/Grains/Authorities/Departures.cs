namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Whether a silo was lost lately, and with it activations of which their successors know nothing. A silo that only leaves, and an activation that
/// is only moved, first let what they lent run out. Thread-safe.
/// </summary>
internal sealed class Departures(NodeClock clock) : ISiloStatusListener
{
    // What the lost one lent has ended long before. A successor costs little for being careful.
    private static readonly TimeSpan RecentFor = LeaseTerm.OfPart * 8;

    private long _recentUntil = long.MinValue;
    private long _lastAt = long.MinValue;

    public bool IsRecent => clock.Now.Ticks < Volatile.Read(ref _recentUntil);

    /// <summary>
    /// Whether a silo was lost, or began to leave, within that time: what its activations lent for longer than that may still be lent.
    /// </summary>
    public bool WasThereOneWithin(TimeSpan time)
    {
        var last = Volatile.Read(ref _lastAt);
        return last != long.MinValue && clock.Now.Ticks - last < time.Ticks;
    }

    /// <inheritdoc/>
    public void SiloStatusChangeNotification(SiloAddress updatedSilo, SiloStatus status)
    {
        if (status is SiloStatus.Dead or SiloStatus.ShuttingDown or SiloStatus.Stopping)
            Volatile.Write(ref _lastAt, clock.Now.Ticks);
        if (status == SiloStatus.Dead)
            Volatile.Write(ref _recentUntil, (clock.Now + RecentFor).Ticks);
    }
}
