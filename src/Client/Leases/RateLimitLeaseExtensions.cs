using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>Helpers for leases.</summary>
public static class RateLimitLeaseExtensions
{
    /// <summary>Turns a refusal into an exception, for callers that compose by exceptions; gives the lease back where it is acquired.</summary>
    /// <param name="lease">A lease of this library or any other.</param>
    /// <exception cref="RateLimitedException">
    /// The lease is not acquired; carries who refused, the reason and the retry-after. The lease is disposed.
    /// </exception>
    public static TLease EnsureAcquired<TLease>(this TLease lease)
        where TLease : RateLimitLease
    {
        ArgumentNullException.ThrowIfNull(lease);
        if (lease.IsAcquired)
            return lease;
        lease.TryGetMetadata(ToolkitMetadata.Reason, out var reason);
        var retryAfter = lease.TryGetMetadata(MetadataName.RetryAfter, out var wait) ? wait : (TimeSpan?)null;
        lease.TryGetMetadata(ToolkitMetadata.Policy, out var policy);
        lease.TryGetMetadata(ToolkitMetadata.Key, out var key);
        lease.Dispose();
        throw new RateLimitedException(reason, retryAfter, policy, key);
    }
}
