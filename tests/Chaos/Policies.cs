namespace ReliabilityToolkit.Orleans.Chaos;

/// <summary>What is put to the test: silos and checker go by the same.</summary>
internal static class Policies
{
    public const string Hot = "hot";
    public const string Pool = "pool";
    public const string Payments = "payments";

    /// <summary>In memory alone, and slow: what it has forgotten shows.</summary>
    public const string Remembered = "remembered";

    public const int Burst = 200;
    public const int PerSecond = 400;
    public const int Capacity = 6;
    public const int Trials = 2;

    public static readonly TimeSpan Lease = TimeSpan.FromSeconds(3);
    public static readonly TimeSpan CoolDown = TimeSpan.FromSeconds(8);

    public static void Add(ReliabilityToolkitBuilder toolkit) => toolkit
        .AddRateLimiter(Remembered, policy => (policy.Burst, policy.TokensPerPeriod, policy.Period, policy.Durability) =
            (100, 1, TimeSpan.FromHours(1), Durability.Volatile))
        .AddRateLimiter(Hot, policy => (policy.Burst, policy.TokensPerPeriod, policy.Durability) = (Burst, PerSecond, Durability.Fenced))
        .AddBulkhead(Pool, policy => (policy.Capacity, policy.Lease, policy.Durability) = (Capacity, Lease, Durability.Fenced))
        .AddCircuitBreaker(Payments, policy => (policy.CoolDown, policy.HalfOpenMaxCalls, policy.TrialLease, policy.Durability) =
            (CoolDown, Trials, TimeSpan.FromSeconds(5), Durability.Fenced));
}
