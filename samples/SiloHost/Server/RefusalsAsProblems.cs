using System.Globalization;
using ReliabilityToolkit.Orleans;

namespace SiloHost;

/// <summary>
/// Turns what the toolkit and the downstream throw into problem details (RFC 9457), and what they know of a good time to come back into Retry-After.
/// </summary>
internal sealed class RefusalsAsProblems : IEndpointFilter
{
    public async ValueTask<object?> InvokeAsync(EndpointFilterInvocationContext context, EndpointFilterDelegate next)
    {
        try
        {
            return await next(context);
        }
        catch (Exception e) when (StatusCode(e, context.HttpContext.RequestAborted) is { } statusCode)
        {
            if (e is ReliabilityException { RetryAfter: { } wait })
                context.HttpContext.Response.Headers.RetryAfter = WholeSeconds(wait); // none where nobody can tell: an isolated breaker stays so
            return Results.Problem(e.Message, statusCode: statusCode, extensions: Extensions(e));
        }
    }

    private static int? StatusCode(Exception e, CancellationToken aborted) => e switch
    {
        RateLimitedException { Reason: RefusalReason.RateLimited } => StatusCodes.Status429TooManyRequests,
        UnknownPolicyException => StatusCodes.Status404NotFound,
        ReliabilityException => StatusCodes.Status503ServiceUnavailable,
        DownstreamException => StatusCodes.Status502BadGateway,
        ArgumentException => StatusCodes.Status400BadRequest,
        OperationCanceledException when !aborted.IsCancellationRequested => StatusCodes.Status503ServiceUnavailable, // the bulkhead's slot was lost
        _ => null,
    };

    private static Dictionary<string, object?>? Extensions(Exception e) => e switch
    {
        RateLimitedException refusal => new() { ["reason"] = refusal.Reason.ToString() },
        UnknownPolicyException unknown => new() { ["known"] = unknown.KnownPolicies },
        _ => null,
    };

    // Rounded up: who comes a moment too early is refused again.
    private static string WholeSeconds(TimeSpan wait) => Math.Max(1, (long)Math.Ceiling(wait.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
}
