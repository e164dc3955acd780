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
        string? refusedBy = null;
        refusal?.TryGetMetadata(ToolkitMetadata.Policy, out refusedBy);
        foreach (var limiter in ((List<ClusterRateLimiter>)noted!).Distinct())
        {
            if (limiter.Quota is not { } quota)
                continue;
            policies.Add(string.Create(CultureInfo.InvariantCulture, $"\"{limiter.Policy}\";q={quota.Burst};w={Seconds(quota.FillsWithin)}"));
            var left = limiter.GetStatistics()!.CurrentAvailablePermits;
            var isRefused = limiter.Policy == refusedBy;
            if (!isRefused && left == 0)
                continue;
            var wait = isRefused && refusal!.TryGetMetadata(MetadataName.RetryAfter, out var retryAfter) ? retryAfter : quota.FillsWithin;
            levels.Add(string.Create(CultureInfo.InvariantCulture, $"\"{limiter.Policy}\";r={(isRefused ? 0 : left)};t={Seconds(wait)}"));
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
