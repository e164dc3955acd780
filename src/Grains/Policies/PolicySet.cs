using System.Collections.Frozen;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The policies that are in force, read together and replaced together. A policy that a reload left as it was stays the same object.
/// </summary>
internal sealed class PolicySet
{
    private readonly FrozenDictionary<string, RateLimiterPolicy> _rateLimiters;
    private readonly FrozenDictionary<string, CircuitBreakerPolicy> _circuitBreakers;
    private readonly FrozenDictionary<string, BulkheadPolicy> _bulkheads;

    public PolicySet(ReliabilityToolkitPolicies policies, PolicySet? before = null)
    {
        _rateLimiters = Take(policies.RateLimiters, before?._rateLimiters);
        _circuitBreakers = Take(policies.CircuitBreakers, before?._circuitBreakers);
        _bulkheads = Take(policies.Bulkheads, before?._bulkheads);
    }

    public RateLimiterPolicy RateLimiter(string name) => Find(_rateLimiters, name, "rate limiter");

    public CircuitBreakerPolicy CircuitBreaker(string name) => Find(_circuitBreakers, name, "circuit breaker");

    public BulkheadPolicy Bulkhead(string name) => Find(_bulkheads, name, "bulkhead");

    private static TPolicy Find<TPolicy>(FrozenDictionary<string, TPolicy> policies, string name, string kind) =>
        policies.TryGetValue(name, out var policy)
            ? policy
            : throw new UnknownPolicyException(kind, name, [.. policies.Keys.Order(StringComparer.Ordinal)]);

    private static FrozenDictionary<string, TPolicy> Take<TPolicy>(
        IDictionary<string, TPolicy> policies, FrozenDictionary<string, TPolicy>? before)
        where TPolicy : class =>
        policies.ToFrozenDictionary(
            entry => entry.Key,
            entry => before is not null && before.TryGetValue(entry.Key, out var old) && AreAlike(old, entry.Value) ? old : entry.Value,
            StringComparer.Ordinal);

    /// <summary>Whether they say the same.</summary>
    public static bool AreAlike<TPolicy>(TPolicy? left, TPolicy? right)
        where TPolicy : class =>
        left is null || right is null ? left == right
        : typeof(TPolicy).GetProperties().All(property => Equals(property.GetValue(left), property.GetValue(right)));
}
