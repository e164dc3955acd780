using System.Globalization;
using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Mvc;
using Microsoft.Extensions.DependencyInjection;

namespace ReliabilityToolkit.Orleans.AspNetCore;

/// <summary>The answer to a request that was refused.</summary>
internal static class Rejection
{
    // Silent authorities are asked again so often.
    private const int ProbeSeconds = 1;

    public static async Task WriteAsync(HttpContext context, RateLimitLease lease, CancellationToken cancellationToken)
    {
        if (context.Response.HasStarted)
            return;
        lease.TryGetMetadata(ToolkitMetadata.Reason, out var reason);
        var status = lease is ErrorLease error ? error.StatusCode : StatusOf(reason);
        var problem = new ProblemDetails { Status = status, Detail = Describe(lease, reason) };
        if (reason != RefusalReason.Unspecified)
            problem.Extensions["reason"] = reason.ToString();
        if (lease.TryGetMetadata(ToolkitMetadata.Policy, out var policy))
            problem.Extensions["policy"] = policy;

        context.Response.StatusCode = status;
        if (lease.TryGetMetadata(MetadataName.RetryAfter, out var wait))
            context.Response.Headers.RetryAfter = RateLimitHeaders.Seconds(wait).ToString(CultureInfo.InvariantCulture);
        else if (reason == RefusalReason.AuthorityUnavailable)
            context.Response.Headers.RetryAfter = ProbeSeconds.ToString(CultureInfo.InvariantCulture);
        if (lease is not ErrorLease)
            RateLimitHeaders.Write(context, lease);
        var service = context.RequestServices.GetService<IProblemDetailsService>();
        var asWritten = new ProblemDetailsContext { HttpContext = context, ProblemDetails = problem };
        if (service is null || !await service.TryWriteAsync(asWritten).ConfigureAwait(false))
            await context.Response.WriteAsJsonAsync(problem, options: null, "application/problem+json", cancellationToken).ConfigureAwait(false);
    }

    private static int StatusOf(RefusalReason reason) => reason switch
    {
        RefusalReason.AuthorityUnavailable or RefusalReason.NoFreeSlot or RefusalReason.WaitExpired => StatusCodes.Status503ServiceUnavailable,
        _ => StatusCodes.Status429TooManyRequests,
    };

    private static string Describe(RateLimitLease lease, RefusalReason reason) => lease is ErrorLease error ? error.Detail : reason switch
    {
        RefusalReason.AuthorityUnavailable => "Whether the limit allows the request cannot be found out at present.",
        RefusalReason.NoFreeSlot or RefusalReason.WaitExpired => "As many requests as may be are under way.",
        RefusalReason.QueueFull => "As many requests as may wait are waiting.",
        _ => "The limit of requests is reached.",
    };
}
