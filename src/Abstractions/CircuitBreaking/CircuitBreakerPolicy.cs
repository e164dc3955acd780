namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A circuit breaker: closed until <see cref="FailureThreshold"/> consecutive failures open it; open for <see cref="CoolDown"/>; then half open,
/// when at most <see cref="HalfOpenMaxCalls"/> trials are under way in the cluster, that many successes close it, and one failure opens it again.
/// </summary>
[GenerateSerializer, Immutable, Alias("rt.CircuitBreakerPolicy")]
public sealed class CircuitBreakerPolicy : ICommonPolicy
{
    private static readonly TimeSpan Day = TimeSpan.FromDays(1);
    private static readonly TimeSpan Millisecond = TimeSpan.FromMilliseconds(1);

    /// <summary>Consecutive failures, in the order in which the authority hears of them, that open the circuit. Default 5; 1 to 1,000,000.</summary>
    [Id(0)]
    public int FailureThreshold { get; set; } = 5;

    /// <summary>How long an open circuit rejects before it lets trials through. Default 30 s; 1 ms to 1 day.</summary>
    [Id(1)]
    public TimeSpan CoolDown { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Most trials under way at once in the whole cluster while half open, and the successes that close it. Default 1; 1 to 1,000.</summary>
    [Id(2)]
    public int HalfOpenMaxCalls { get; set; } = 1;

    /// <summary>
    /// How long a trial may take: one that has not been answered by then counts as a failure, so that half open never gets stuck.
    /// Default 30 s; 1 ms to 1 day. Make it longer than the slowest call that may still succeed.
    /// </summary>
    [Id(3)]
    public TimeSpan TrialLease { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// The share of failed calls, of all nodes and within <see cref="SamplingWindow"/>, that opens the circuit, in place of consecutive failures.
    /// Default 0: off; 0 to 1. As in Polly and resilience4j.
    /// </summary>
    [Id(4)]
    public double FailureRatio { get; set; }

    /// <summary>
    /// How far back <see cref="FailureRatio"/> and <see cref="SheddingFactor"/> look, in ten slices. Default 10 s; 100 ms to 1 hour.
    /// </summary>
    [Id(5)]
    public TimeSpan SamplingWindow { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Calls within <see cref="SamplingWindow"/> below which <see cref="FailureRatio"/> opens nothing. Default 100; 1 to 1,000,000.
    /// </summary>
    [Id(6)]
    public int MinimumThroughput { get; set; } = 100;

    /// <summary>
    /// How many distinct nodes must see the failures that open the circuit for all. A node that sees them alone is rejected alone, with a cool-down
    /// and trials of its own, so that one bad node does not take the service from the others. Default 1: any; 1 to 1,000.
    /// </summary>
    [Id(7)]
    public int QuorumNodes { get; set; } = 1;

    /// <summary>By how much the cool-down grows each time that a trial fails, until the circuit has closed. Default 1: not at all; 1 to 10.</summary>
    [Id(8)]
    public double CoolDownGrowth { get; set; } = 1;

    /// <summary>What a cool-down that grows ends at. Default 10 minutes; 1 ms to 1 day, and at least <see cref="CoolDown"/> where it grows.</summary>
    [Id(9)]
    public TimeSpan MaxCoolDown { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>
    /// The share by which a cool-down is made longer at most, by chance, so that many circuits that opened together do not try together.
    /// Default 0; 0 to 1.
    /// </summary>
    [Id(10)]
    public double CoolDownJitter { get; set; }

    /// <summary>A call that succeeds but takes at least so long counts as a failure. Default absent: no call does; 1 ms to 1 day.</summary>
    [Id(11)]
    public TimeSpan? SlowCallDuration { get; set; }

    /// <summary>
    /// Sheds calls instead of opening: of all calls so many are admitted that there are at most this many times as many as succeed. Default absent:
    /// the circuit opens; 1.01 to 100, and 2 is usual. A service that fails a share f of its calls whatever its load needs more than 1 / (1 - f);
    /// the smaller, the less load beyond what it can serve. The client-side throttling of Google's SRE book, chapter "Handling Overload".
    /// </summary>
    [Id(12)]
    public double? SheddingFactor { get; set; }

    /// <summary>
    /// What of it outlives a silo. Default absent: <see cref="ReliabilityToolkit.Orleans.Durability.Durable"/> where the silo has a grain storage
    /// named "ReliabilityToolkit", else <see cref="ReliabilityToolkit.Orleans.Durability.Volatile"/>. A change holds from the next activation on.
    /// </summary>
    [Id(13)]
    public Durability? Durability { get; set; }

    /// <summary>
    /// Makes a name's record only when it first opens, so that names that are hardly used cost no write. Default
    /// false: with the first request. Nothing is lost by it.
    /// </summary>
    [Id(14)]
    public bool RecordLate { get; set; }

    /// <summary>
    /// Shadow mode, where false: everything is decided and counted, and nobody is refused or made to wait, also by a kill switch. To try a limit out
    /// on live traffic (Envoy calls it shadow mode). Default true.
    /// </summary>
    [Id(15)]
    public bool Enforce { get; set; } = true;

    /// <summary>Every fault of this policy, one sentence each; empty where there is none.</summary>
    public IReadOnlyList<string> Validate()
    {
        var faults = new PolicyFaults();
        faults.Unless(FailureThreshold is >= 1 and <= 1_000_000, nameof(FailureThreshold), FailureThreshold, "1 to 1,000,000");
        faults.Unless(IsWithin(CoolDown, Millisecond, Day), nameof(CoolDown), CoolDown, "1 ms to 1 day");
        faults.Unless(HalfOpenMaxCalls is >= 1 and <= 1_000, nameof(HalfOpenMaxCalls), HalfOpenMaxCalls, "1 to 1,000");
        faults.Unless(IsWithin(TrialLease, Millisecond, Day), nameof(TrialLease), TrialLease, "1 ms to 1 day");
        faults.Unless(FailureRatio is >= 0 and <= 1, nameof(FailureRatio), FailureRatio, "0 to 1");
        faults.Unless(
            IsWithin(SamplingWindow, Millisecond * 100, TimeSpan.FromHours(1)), nameof(SamplingWindow), SamplingWindow, "100 ms to 1 hour");
        faults.Unless(MinimumThroughput is >= 1 and <= 1_000_000, nameof(MinimumThroughput), MinimumThroughput, "1 to 1,000,000");
        faults.Unless(QuorumNodes is >= 1 and <= 1_000, nameof(QuorumNodes), QuorumNodes, "1 to 1,000");
        faults.Unless(CoolDownGrowth is >= 1 and <= 10, nameof(CoolDownGrowth), CoolDownGrowth, "1 to 10");
        faults.Unless(
            IsWithin(MaxCoolDown, CoolDownGrowth > 1 && CoolDown <= Day ? CoolDown : Millisecond, Day),
            nameof(MaxCoolDown),
            MaxCoolDown,
            "1 ms to 1 day, and at least CoolDown where that grows");
        faults.Unless(CoolDownJitter is >= 0 and <= 1, nameof(CoolDownJitter), CoolDownJitter, "0 to 1");
        faults.Unless(
            IsWithin(SlowCallDuration ?? Day, Millisecond, Day), nameof(SlowCallDuration), SlowCallDuration ?? default, "1 ms to 1 day");
        faults.Unless(SheddingFactor is null or (>= 1.01 and <= 100), nameof(SheddingFactor), SheddingFactor ?? default, "1.01 to 100");
        faults.OfRecords(this);
        faults.Unless(
            SheddingFactor is null || QuorumNodes == 1, nameof(QuorumNodes), QuorumNodes, "1 where calls are shed: no failure opens it then");
        return faults.All;
    }

    private static bool IsWithin(TimeSpan value, TimeSpan least, TimeSpan most) => value >= least && value <= most;
}
