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

    public bool IsRecent => clock.Now.Ticks < Volatile.Read(ref _recentUntil);

    /// <inheritdoc/>
    public void SiloStatusChangeNotification(SiloAddress updatedSilo, SiloStatus status)
    {
        if (status == SiloStatus.Dead)
            Volatile.Write(ref _recentUntil, (clock.Now + RecentFor).Ticks);
    }
}
