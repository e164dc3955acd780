using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>The same limiter for those who would wait where they must not.</summary>
internal sealed class LimiterWithoutWaiting(ClusterRateLimiter limiter) : RateLimiter
{
    public ClusterRateLimiter Limiter => limiter;

    public override TimeSpan? IdleDuration => limiter.IdleDuration;

    public override RateLimiterStatistics? GetStatistics() => limiter.GetStatistics();

    protected override RateLimitLease AttemptAcquireCore(int permitCount)
    {
        PermitCount.ThrowIfBelowOne(permitCount);
        return limiter.AttemptFirst(permitCount);
    }

    protected override ValueTask<RateLimitLease> AcquireAsyncCore(int permitCount, CancellationToken cancellationToken) =>
        limiter.TryAcquireAsync(permitCount, cancellationToken);
}
