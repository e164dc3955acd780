using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>The same bulkhead for those who would wait where they must not.</summary>
internal sealed class BulkheadWithoutWaiting(ClusterBulkhead bulkhead) : RateLimiter
{
    public ClusterBulkhead Bulkhead => bulkhead;

    public override TimeSpan? IdleDuration => bulkhead.IdleDuration;

    public override RateLimiterStatistics? GetStatistics() => bulkhead.GetStatistics();

    protected override RateLimitLease AttemptAcquireCore(int permitCount)
    {
        PermitCount.ThrowIfBelowOne(permitCount);
        return bulkhead.AttemptFirst(permitCount);
    }

    protected override async ValueTask<RateLimitLease> AcquireAsyncCore(int permitCount, CancellationToken cancellationToken) =>
        await bulkhead.TryAcquireAsync(permitCount, cancellationToken).ConfigureAwait(false);
}
