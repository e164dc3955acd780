namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A circuit breaker: closed until <see cref="FailureThreshold"/> consecutive failures open it; open for <see cref="CoolDown"/>; then half open,
/// when at most <see cref="HalfOpenMaxCalls"/> trials are under way in the cluster, that many successes close it, and one failure opens it again.
/// </summary>
public sealed class CircuitBreakerPolicy
{
    /// <summary>Consecutive failures, in the order in which the authority hears of them, that open the circuit. Default 5; 1 to 1,000,000.</summary>
    public int FailureThreshold { get; set; } = 5;

    /// <summary>How long an open circuit rejects before it lets trials through. Default 30 s; 1 ms to 1 day.</summary>
    public TimeSpan CoolDown { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Most trials under way at once in the whole cluster while half open, and the successes that close it. Default 1; 1 to 1,000.</summary>
    public int HalfOpenMaxCalls { get; set; } = 1;

    /// <summary>
    /// How long a trial may take: one that has not been answered by then counts as a failure, so that half open never gets stuck.
    /// Default 30 s; 1 ms to 1 day. Make it longer than the slowest call that may still succeed.
    /// </summary>
    public TimeSpan TrialLease { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Every fault of this policy, one sentence each; empty where there is none.</summary>
    public IReadOnlyList<string> Validate()
    {
        var faults = new PolicyFaults();
        faults.Unless(FailureThreshold is >= 1 and <= 1_000_000, nameof(FailureThreshold), FailureThreshold, "1 to 1,000,000");
        faults.Unless(CoolDown >= TimeSpan.FromMilliseconds(1) && CoolDown <= TimeSpan.FromDays(1), nameof(CoolDown), CoolDown, "1 ms to 1 day");
        faults.Unless(HalfOpenMaxCalls is >= 1 and <= 1_000, nameof(HalfOpenMaxCalls), HalfOpenMaxCalls, "1 to 1,000");
        faults.Unless(
            TrialLease >= TimeSpan.FromMilliseconds(1) && TrialLease <= TimeSpan.FromDays(1), nameof(TrialLease), TrialLease, "1 ms to 1 day");
        return faults.All;
    }
}
