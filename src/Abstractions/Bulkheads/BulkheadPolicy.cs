namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A bulkhead: at most <see cref="Capacity"/> slots are in use in the whole cluster; who finds none free waits, first come first served.
/// </summary>
[GenerateSerializer, Immutable, Alias("rt.BulkheadPolicy")]
public sealed class BulkheadPolicy : ICommonPolicy
{
    // A hundredth of it is what timers may be late; and two renewals may be lost.
    private static readonly TimeSpan ShortestLease = TimeSpan.FromSeconds(2);

    /// <summary>Slots in the whole cluster. Default 10; 1 to 1,000,000.</summary>
    [Id(0)]
    public int Capacity { get; set; } = 10;

    /// <summary>How many acquires may wait at once in the whole cluster; one more is refused. Default 1,000; 0 (nobody waits) to 100,000.</summary>
    [Id(1)]
    public int QueueLimit { get; set; } = 1_000;

    /// <summary>
    /// How long a permit is valid without being renewed. The client renews at a third of it, so a live holder keeps its permit for as long as it
    /// likes, and a crashed holder's slot is back within this time. Default 15 s; 2 s to 1 hour.
    /// </summary>
    [Id(2)]
    public TimeSpan Lease { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>How long an acquire waits before it is refused; null: for as long as its caller likes. Default null; 1 ms to 1 day.</summary>
    [Id(3)]
    public TimeSpan? MaxWait { get; set; }

    /// <summary>
    /// What of it outlives a silo. Default absent: <see cref="ReliabilityToolkit.Orleans.Durability.Durable"/> where the silo has a grain storage
    /// named "ReliabilityToolkit", else <see cref="ReliabilityToolkit.Orleans.Durability.Volatile"/>. A change holds from the next activation on.
    /// </summary>
    [Id(4)]
    public Durability? Durability { get; set; }

    /// <summary>
    /// Makes a name's record only when it first lends a slot, so that names that are hardly used cost no write. Default
    /// false: with the first request. Nothing is lost by it.
    /// </summary>
    [Id(5)]
    public bool RecordLate { get; set; }

    /// <summary>
    /// Shadow mode, where false: everything is decided and counted, and nobody is refused or made to wait, also where it is closed. To try a limit
    /// out on live traffic (Envoy calls it shadow mode). Default true.
    /// </summary>
    [Id(6)]
    public bool Enforce { get; set; } = true;

    /// <summary>In shadow mode nobody waits.</summary>
    internal int Places => Enforce ? QueueLimit : 0;

    /// <summary>Every fault of this policy, one sentence each; empty where there is none.</summary>
    public IReadOnlyList<string> Validate()
    {
        var faults = new PolicyFaults();
        faults.Unless(Capacity is >= 1 and <= 1_000_000, nameof(Capacity), Capacity, "1 to 1,000,000");
        faults.Unless(QueueLimit is >= 0 and <= 100_000, nameof(QueueLimit), QueueLimit, "0 to 100,000");
        faults.OfRecords(this);
        faults.Unless(Lease >= ShortestLease && Lease <= TimeSpan.FromHours(1), nameof(Lease), Lease, "2 s to 1 hour");
        if (MaxWait is { } wait)
            faults.Unless(wait >= TimeSpan.FromMilliseconds(1) && wait <= TimeSpan.FromDays(1), nameof(MaxWait), wait, "1 ms to 1 day, or null");
        return faults.All;
    }
}
