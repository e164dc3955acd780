namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The policies of a silo, by name. Filled in code or from configuration, validated as one: a silo with a fault in any of them does not start, and
/// says all faults at once.
/// </summary>
public sealed class ReliabilityToolkitPolicies
{
    /// <summary>Rate limiters by policy name: 1 to 64 of A-Z a-z 0-9 . _ -</summary>
    public IDictionary<string, RateLimiterPolicy> RateLimiters { get; } = new Dictionary<string, RateLimiterPolicy>(StringComparer.Ordinal);

    /// <summary>Circuit breakers by policy name: 1 to 64 of A-Z a-z 0-9 . _ -</summary>
    public IDictionary<string, CircuitBreakerPolicy> CircuitBreakers { get; } = new Dictionary<string, CircuitBreakerPolicy>(StringComparer.Ordinal);

    /// <summary>Bulkheads by policy name: 1 to 64 of A-Z a-z 0-9 . _ -</summary>
    public IDictionary<string, BulkheadPolicy> Bulkheads { get; } = new Dictionary<string, BulkheadPolicy>(StringComparer.Ordinal);

    /// <summary>What could not be read from configuration.</summary>
    internal List<string> UnreadableSettings { get; } = [];

    /// <summary>Every fault of every policy, one sentence each; empty where there is none.</summary>
    public IReadOnlyList<string> Validate() =>
    [
        .. UnreadableSettings,
        .. Validate(nameof(RateLimiters), RateLimiters, policy => policy.Validate()),
        .. Validate(nameof(CircuitBreakers), CircuitBreakers, policy => policy.Validate()),
        .. Validate(nameof(Bulkheads), Bulkheads, policy => policy.Validate()),
    ];

    /// <summary>As the other, for a silo that has a storage for records or not.</summary>
    internal IReadOnlyList<string> Validate(bool hasStorage) => hasStorage
        ? Validate()
        :
        [
            .. Validate(),
            .. FindRecorded(nameof(RateLimiters), RateLimiters),
            .. FindRecorded(nameof(CircuitBreakers), CircuitBreakers),
            .. FindRecorded(nameof(Bulkheads), Bulkheads),
        ];

    private static IEnumerable<string> FindRecorded<TPolicy>(string kind, IDictionary<string, TPolicy> policies)
        where TPolicy : ICommonPolicy =>
        from entry in policies
        orderby entry.Key
        where entry.Value.Durability is not (null or Durability.Volatile)
        select $"{kind}:{entry.Key}: Durability is {entry.Value.Durability}; legal: Volatile, "
            + $"for there is no grain storage named \"{RecordStore.Name}\".";

    private static IEnumerable<string> Validate<TPolicy>(
        string kind, IDictionary<string, TPolicy> policies, Func<TPolicy, IReadOnlyList<string>> validate)
    {
        foreach (var (name, policy) in policies.OrderBy(entry => entry.Key, StringComparer.Ordinal))
        {
            if (!ResourceName.IsPolicy(name))
                yield return $"{kind}:{name}: a policy name is 1 to {ResourceName.MaxPolicyLength} characters of A-Z a-z 0-9 . _ -";
            foreach (var fault in validate(policy))
                yield return $"{kind}:{name}: {fault}";
        }
    }
}
