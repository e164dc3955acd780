using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.RateLimiting;
using Microsoft.Extensions.DependencyInjection;

namespace ReliabilityToolkit.Orleans.AspNetCore;

/// <summary>Limits of the cluster in <c>AddRateLimiter</c>.</summary>
public static class RateLimiterOptionsExtensions
{
    /// <summary>
    /// Adds a policy for <c>RequireRateLimiting</c> by which each request falls under one limiter of the cluster: that of a policy of the silos, and
    /// of a key of the request.
    /// </summary>
    /// <param name="options">Of <c>AddRateLimiter</c>.</param>
    /// <param name="policyName">By which endpoints ask for it.</param>
    /// <param name="policy">Of the silos.</param>
    /// <param name="key">Of the request: a tenant, a user, an address. Null: the policy's one limiter for all.</param>
    /// <param name="configure">Sets what differs from the defaults.</param>
    public static RateLimiterOptions AddClusterPolicy(
        this RateLimiterOptions options,
        string policyName,
        string policy,
        Func<HttpContext, string?>? key = null,
        Action<ClusterLimitOptions>? configure = null) =>
        options.AddClusterPolicy(policyName, context => [new ClusterLimit(policy, key?.Invoke(context))], configure);

    /// <summary>
    /// As the other, for requests that fall under several limits at once: a user's, his tenant's, and that for all. All or nothing: a request that
    /// one of them refuses takes nothing of the others. None: the request is not limited.
    /// </summary>
    /// <param name="options">Of <c>AddRateLimiter</c>.</param>
    /// <param name="policyName">By which endpoints ask for it.</param>
    /// <param name="limits">Of the request.</param>
    /// <param name="configure">Sets what differs from the defaults.</param>
    public static RateLimiterOptions AddClusterPolicy(
        this RateLimiterOptions options,
        string policyName,
        Func<HttpContext, IReadOnlyList<ClusterLimit>> limits,
        Action<ClusterLimitOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(limits);
        return options.AddPolicy(policyName, Partition(limits, configure));
    }

    /// <summary>
    /// Limits of the cluster for all requests, ahead of those of their endpoints: <c>options.GlobalLimiter</c>.
    /// </summary>
    /// <param name="options">Of <c>AddRateLimiter</c>.</param>
    /// <param name="limits">Of the request; none: it is not limited.</param>
    /// <param name="configure">Sets what differs from the defaults.</param>
    public static RateLimiterOptions UseClusterGlobalLimiter(
        this RateLimiterOptions options, Func<HttpContext, IReadOnlyList<ClusterLimit>> limits, Action<ClusterLimitOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(limits);
        options.GlobalLimiter = PartitionedRateLimiter.Create(Partition(limits, configure));
        return options;
    }

    /// <summary>
    /// Answers refused requests with problem details (RFC 9457): 429 for a limit and 503 for an authority that does not answer or a bulkhead that is
    /// full or closed, with Retry-After where it is known, and the header fields RateLimit and RateLimit-Policy of the IETF draft "RateLimit header
    /// fields for HTTP" (draft-ietf-httpapi-ratelimit-headers). Of refusals of other limiters: 429, and what their leases tell.
    /// </summary>
    /// <param name="options">Of <c>AddRateLimiter</c>.</param>
    public static RateLimiterOptions UseClusterRejections(this RateLimiterOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.OnRejected = static (rejected, cancellationToken) =>
            new ValueTask(Rejection.WriteAsync(rejected.HttpContext, rejected.Lease, cancellationToken));
        return options;
    }

    private static Func<HttpContext, RateLimitPartition<string>> Partition(
        Func<HttpContext, IReadOnlyList<ClusterLimit>> limitsOf, Action<ClusterLimitOptions>? configure)
    {
        var options = new ClusterLimitOptions();
        configure?.Invoke(options);
        options.Check();
        return context =>
        {
            ClusterLimit[] limits = [.. limitsOf(context).Distinct()]; // a stranger may have chosen two keys that are one
            if (limits.Length == 0)
                return RateLimitPartition.GetNoLimiter("");
            var toolkit = context.RequestServices.GetRequiredService<IReliabilityToolkit>();
            RateLimiter[] limiters;
            try
            {
                limiters = [.. limits.Select(limit => limit.Of(toolkit, options.Wait))];
            }
            catch (ArgumentException e)
            {
                // All of them are one partition, of one limiter that refuses: they cost no memory, whatever a stranger thinks of.
                return RateLimitPartition.Get($"\n{e.ParamName}", _ => new RequestLimiter(null, options, e.ParamName == "key"));
            }

            context.Noting(limiters, options.HeadersOnSuccess);
            var name = string.Join('\n', limits.Select(static limit => $"{(limit.IsBulkhead ? "b" : "l")}{limit.Policy}/{limit.Key}"));
            return RateLimitPartition.Get(
                name,
                _ => new RequestLimiter(limiters.Length == 1 ? limiters[0] : toolkit.Combine(limiters), options, isBadKey: false));
        };
    }
}
