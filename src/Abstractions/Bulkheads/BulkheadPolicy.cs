namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A bulkhead: at most <see cref="Capacity"/> slots are in use in the whole cluster; who finds none free waits, first come first served.
/// </summary>
public sealed class BulkheadPolicy
{
    /// <summary>Slots in the whole cluster. Default 10; 1 to 1,000,000.</summary>
    public int Capacity { get; set; } = 10;

    /// <summary>How many acquires may wait at once in the whole cluster; one more is refused. Default 1,000; 0 (nobody waits) to 100,000.</summary>
    public int QueueLimit { get; set; } = 1_000;

    /// <summary>
    /// How long a permit is valid without being renewed. The client renews at a third of it, so a live holder keeps its permit for as long as it
    /// likes, and a crashed holder's slot is back within this time. Default 15 s; 100 ms to 1 hour.
    /// </summary>
    public TimeSpan Lease { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>Every fault of this policy, one sentence each; empty where there is none.</summary>
    public IReadOnlyList<string> Validate()
    {
        var faults = new PolicyFaults();
        faults.Unless(Capacity is >= 1 and <= 1_000_000, nameof(Capacity), Capacity, "1 to 1,000,000");
        faults.Unless(QueueLimit is >= 0 and <= 100_000, nameof(QueueLimit), QueueLimit, "0 to 100,000");
        faults.Unless(Lease >= TimeSpan.FromMilliseconds(100) && Lease <= TimeSpan.FromHours(1), nameof(Lease), Lease, "100 ms to 1 hour");
        return faults.All;
    }
}
