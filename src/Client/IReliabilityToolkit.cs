namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The node's access to the cluster's limiters, breakers and bulkheads: a singleton from the container. What it hands out is shared, thread-safe
/// and may be kept or asked for again each time; asking costs nanoseconds.
/// </summary>
/// <remarks>
/// A policy that no silo knows shows at the first call, as <see cref="UnknownPolicyException"/>: policies live on the silos.
/// </remarks>
public interface IReliabilityToolkit
{
    /// <summary>The limiter of a policy, or of one key under it.</summary>
    /// <param name="policy">1 to 64 of A-Z a-z 0-9 . _ -</param>
    /// <param name="key">
    /// A tenant, a user, an endpoint: 1 to 256 characters of well-formed UTF-16, no control characters. Absent: the policy has one limiter for all.
    /// </param>
    /// <exception cref="ArgumentException">A name is not legal.</exception>
    ClusterRateLimiter GetRateLimiter(string policy, string? key = null);

    /// <summary>The circuit breaker of a policy, or of one key under it.</summary>
    /// <inheritdoc cref="GetRateLimiter"/>
    ClusterCircuitBreaker GetCircuitBreaker(string policy, string? key = null);

    /// <summary>The bulkhead of a policy, or of one key under it.</summary>
    /// <inheritdoc cref="GetRateLimiter"/>
    ClusterBulkhead GetBulkhead(string policy, string? key = null);
}
