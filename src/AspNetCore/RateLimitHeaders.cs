using System.Globalization;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Http;

namespace ReliabilityToolkit.Orleans.AspNetCore;

/// <summary>
/// The header fields RateLimit-Policy ("tenant";q=200;w=2: so much within so many seconds) and RateLimit ("tenant";r=17;t=2: so much is left, and it
/// is all there again after so many seconds), as the IETF draft has them. What is left is what this node has at hand, and so no more than there is;
/// of a limiter from which it has borrowed nothing it tells nothing, for it would have to ask.
/// </summary>
internal static class RateLimitHeaders
{
    private static readonly object Noted = new();

    /// <summary>The limits that the request meets are told with the answer, if they are to be; a refusal tells them in any case.</summary>
    public static void Noting(this HttpContext context, RateLimiter[] limiters, bool isForAll)
    {
        var known = context.Items.TryGetValue(Noted, out var noted) ? (List<ClusterRateLimiter>)noted! : [];
        context.Items[Noted] = known;
        known.AddRange(limiters.SelectMany(Find));
        if (isForAll)
        {
            context.Response.OnStarting(
                static state =>
                {
                    Write((HttpContext)state, null);
                    return Task.CompletedTask;
                },
                context);
        }
    }

    /// <param name="context">Of the request.</param>
    /// <param name="refusal">Where it was refused: by that one of them.</param>
    public static void Write(HttpContext context, RateLimitLease? refusal)
    {
        if (!context.Items.TryGetValue(Noted, out var noted) || context.Response.Headers.ContainsKey("RateLimit-Policy"))
            return;
        var (policies, levels) = (new List<string>(), new List<string>());
        (string? Policy, string? Key) refusedBy = default;
        if (refusal?.TryGetMetadata(MetadataName.RetryAfter, out var retryAfter) != true)
            retryAfter = default; // a bulkhead's refusal has none, and says nothing of limiters
        else if (refusal.TryGetMetadata(ToolkitMetadata.Policy, out refusedBy.Policy))
            refusal.TryGetMetadata(ToolkitMetadata.Key, out refusedBy.Key);

        // Of several keys of one policy, the one that has least.
        foreach (var policy in ((List<ClusterRateLimiter>)noted!).Distinct().Where(static limiter => limiter.Quota is not null)
            .GroupBy(static limiter => limiter.Policy))
        {
            var quota = policy.First().Quota!;
            policies.Add(string.Create(CultureInfo.InvariantCulture, $"\"{policy.Key}\";q={quota.Burst};w={Seconds(quota.FillsWithin)}"));
            var isRefused = policy.Any(limiter => (limiter.Policy, limiter.Key) == refusedBy);
            var left = isRefused ? 0 : policy.Min(static limiter => limiter.GetStatistics()!.CurrentAvailablePermits);
            if (!isRefused && left == 0)
                continue;
            var wait = isRefused ? retryAfter : quota.FillsWithin;
            levels.Add(string.Create(CultureInfo.InvariantCulture, $"\"{policy.Key}\";r={left};t={Seconds(wait)}"));
        }

        if (policies.Count > 0)
            context.Response.Headers["RateLimit-Policy"] = string.Join(", ", policies);
        if (levels.Count > 0)
            context.Response.Headers["RateLimit"] = string.Join(", ", levels);
    }

    /// <summary>Rounded up: who comes a moment too early is refused again.</summary>
    public static long Seconds(TimeSpan time) => Math.Max(1, (long)Math.Ceiling(time.TotalSeconds));

    private static IEnumerable<ClusterRateLimiter> Find(RateLimiter limiter) => limiter switch
    {
        ClusterRateLimiter tokens => [tokens],
        LimiterWithoutWaiting tokens => [tokens.Limiter],
        _ => [],
    };
}
