namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A token bucket: <see cref="TokensPerPeriod"/> tokens accrue in each <see cref="Period"/>, evenly, up to <see cref="Burst"/>; it starts full.
/// In every interval of w seconds the cluster admits at most <c>Burst + TokensPerPeriod / Period · w</c>.
/// </summary>
[GenerateSerializer, Immutable, Alias("rt.RateLimiterPolicy")]
public sealed class RateLimiterPolicy : ICommonPolicy
{
    // 2^60 keeps every product and every sum of two of them inside a long, with a factor of 8 to spare.
    private const long MaxBucket = 1L << 60;

    // Far inside the year ahead for which the authority promises tokens.
    private static readonly TimeSpan MaxTimeToFill = TimeSpan.FromDays(30);

    /// <summary>Tokens that accrue in each <see cref="Period"/>. Default 100; 1 to 1,000,000,000.</summary>
    [Id(0)]
    public int TokensPerPeriod { get; set; } = 100;

    /// <summary>The time in which <see cref="TokensPerPeriod"/> accrue. Default 1 s; 1 ms to 1 day.</summary>
    [Id(1)]
    public TimeSpan Period { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// The most tokens that the bucket holds, and so the most that one acquire may ask for. Default 100; 1 to 1,000,000,000.
    /// Filling an empty bucket may take 30 days at most, and <c>Burst · Period</c> may be at most 2^60 ticks of 100 ns (a burst of 10^9 with a period
    /// of 100 s).
    /// </summary>
    [Id(2)]
    public int Burst { get; set; } = 100;

    /// <summary>
    /// How many acquires may wait for tokens at once in the whole cluster; one more is refused. Default 1,000; 0 (nobody waits) to 100,000.
    /// </summary>
    [Id(3)]
    public int QueueLimit { get; set; } = 1_000;

    /// <summary>
    /// What of it outlives a silo. Default absent: <see cref="ReliabilityToolkit.Orleans.Durability.Durable"/> where the silo has a grain storage
    /// named "ReliabilityToolkit", else <see cref="ReliabilityToolkit.Orleans.Durability.Volatile"/>. A change holds from the next activation on.
    /// </summary>
    [Id(4)]
    public Durability? Durability { get; set; }

    /// <summary>
    /// Makes a name's record only when it first lends a part, or half of the burst is spent, so that names that are hardly used cost no write.
    /// Default false: with the first request. Where true, the loss of a silo costs a name without a record up to half a burst.
    /// </summary>
    [Id(5)]
    public bool RecordLate { get; set; }

    /// <summary>
    /// Shadow mode, where false: everything is decided and counted, and nobody is refused or made to wait, also above the limit. To try a limit out
    /// on live traffic (Envoy calls it shadow mode). Default true.
    /// </summary>
    [Id(6)]
    public bool Enforce { get; set; } = true;

    /// <summary>The time in which an empty bucket fills.</summary>
    internal TimeSpan FillsWithin => TimeSpan.FromTicks((long)((Int128)Burst * Period.Ticks / TokensPerPeriod));

    /// <summary>In shadow mode nobody waits.</summary>
    internal int Places => Enforce ? QueueLimit : 0;

    /// <summary>Every fault of this policy, one sentence each; empty where there is none.</summary>
    public IReadOnlyList<string> Validate()
    {
        var faults = new PolicyFaults();
        faults.Unless(TokensPerPeriod is >= 1 and <= 1_000_000_000, nameof(TokensPerPeriod), TokensPerPeriod, "1 to 1,000,000,000");
        faults.Unless(Period >= TimeSpan.FromMilliseconds(1) && Period <= TimeSpan.FromDays(1), nameof(Period), Period, "1 ms to 1 day");
        faults.Unless(Burst is >= 1 and <= 1_000_000_000, nameof(Burst), Burst, "1 to 1,000,000,000");
        faults.Unless(QueueLimit is >= 0 and <= 100_000, nameof(QueueLimit), QueueLimit, "0 to 100,000");
        faults.OfRecords(this);
        if (faults.All.Count > 0)
            return faults.All;

        var bucket = (Int128)Burst * Period.Ticks;
        faults.Unless(bucket <= MaxBucket, "Burst · Period", $"{bucket} ticks", "at most 2^60 ticks of 100 ns");
        faults.Unless(
            bucket / TokensPerPeriod <= MaxTimeToFill.Ticks,
            "Burst · Period / TokensPerPeriod",
            TimeSpan.FromTicks((long)Int128.Min(bucket / TokensPerPeriod, long.MaxValue)),
            "at most 30 days");
        return faults.All;
    }
}
