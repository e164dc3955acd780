using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>What is made of what a toolkit hands out.</summary>
public static class ReliabilityToolkitExtensions
{
    /// <summary>Several limits as one: all or nothing, one lease. A combination among them is taken apart.</summary>
    /// <param name="toolkit">Of the node.</param>
    /// <param name="limiters">Limiters and bulkheads of the toolkit, with or without waiting, and others; one at least, and none twice.</param>
    /// <exception cref="ArgumentException">There are none, one is null, or one is there twice.</exception>
    public static CombinedRateLimiter Combine(this IReliabilityToolkit toolkit, params RateLimiter[] limiters)
    {
        ArgumentNullException.ThrowIfNull(toolkit);
        ArgumentNullException.ThrowIfNull(limiters);
        RateLimiter[] all = [.. limiters.SelectMany(static limiter => limiter is CombinedRateLimiter combined ? combined.Limiters : [limiter])];
        if (all.Length == 0 || all.Contains(null))
            throw new ArgumentException("One limiter at least, and none of them null.", nameof(limiters));
        if (all.DistinctBy(Identity).Count() < all.Length)
            throw new ArgumentException("A limiter is there twice: nobody could tell whose tokens are whose.", nameof(limiters));
        return new CombinedRateLimiter(all);
    }

    private static RateLimiter Identity(RateLimiter limiter) => limiter switch
    {
        LimiterWithoutWaiting tokens => tokens.Limiter,
        BulkheadWithoutWaiting slots => slots.Bulkhead,
        _ => limiter,
    };
}
