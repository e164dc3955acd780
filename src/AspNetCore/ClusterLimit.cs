using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans.AspNetCore;

/// <summary>One limit that a request falls under.</summary>
/// <param name="Policy">Of a limiter, or of a bulkhead.</param>
/// <param name="Key">Under the policy: a tenant, a user, an address. Null: the policy's one for all.</param>
public readonly record struct ClusterLimit(string Policy, string? Key = null)
{
    /// <summary>Whether it is a bulkhead's: so many requests at once, and not so many in a time.</summary>
    public bool IsBulkhead { get; init; }

    /// <summary>A bulkhead.</summary>
    /// <inheritdoc cref="ClusterLimit(string, string?)"/>
    public static ClusterLimit Bulkhead(string policy, string? key = null) => new(policy, key) { IsBulkhead = true };

    internal RateLimiter Of(IReliabilityToolkit toolkit, bool waits)
    {
        if (!IsBulkhead)
        {
            var limiter = toolkit.GetRateLimiter(Policy, Key);
            return waits ? limiter : limiter.WithoutWaiting();
        }

        var bulkhead = toolkit.GetBulkhead(Policy, Key);
        return waits ? bulkhead : bulkhead.WithoutWaiting();
    }
}
