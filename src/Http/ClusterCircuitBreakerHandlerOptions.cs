using System.Net;

namespace ReliabilityToolkit.Orleans.Http;

/// <summary>How a breaker per host watches over calls.</summary>
public sealed class ClusterCircuitBreakerHandlerOptions
{
    /// <summary>
    /// Which responses are failures of the host. Default: 5xx and 408 (request time-out), but for 501 and 505, which say something of the request.
    /// </summary>
    public Func<HttpResponseMessage, bool> IsFailure { get; set; } = static response =>
        response.StatusCode is HttpStatusCode.RequestTimeout or >= HttpStatusCode.InternalServerError
        and not (HttpStatusCode.NotImplemented or HttpStatusCode.HttpVersionNotSupported);

    /// <summary>
    /// Which exceptions are failures of the host. Default: all. A call that its caller cancelled is neither success nor failure, and is not asked
    /// about; one that took longer than <see cref="Timeout"/> is.
    /// </summary>
    public Func<Exception, bool> IsFailureException { get; set; } = static _ => true;

    /// <summary>
    /// How long a call may take until its headers are there; then it ends with a <see cref="TimeoutException"/>, and is a failure. Default 30 s;
    /// 1 ms to 1 day. <c>HttpClient.Timeout</c> should be longer: what that ends looks as if the caller had cancelled it, and does not count.
    /// </summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// After a 429 or 503 with Retry-After this node sends nothing to the host for as long as that says, and for so long at most. Default 1 minute;
    /// 0 (Retry-After is not honoured) to 1 day.
    /// </summary>
    public TimeSpan MaxRetryAfter { get; set; } = TimeSpan.FromMinutes(1);

    internal void Check()
    {
        ArgumentNullException.ThrowIfNull(IsFailure);
        ArgumentNullException.ThrowIfNull(IsFailureException);
        if (Timeout < TimeSpan.FromMilliseconds(1) || Timeout > TimeSpan.FromDays(1))
            throw new ArgumentOutOfRangeException(nameof(Timeout), Timeout, "1 ms to 1 day.");
        if (MaxRetryAfter < TimeSpan.Zero || MaxRetryAfter > TimeSpan.FromDays(1))
            throw new ArgumentOutOfRangeException(nameof(MaxRetryAfter), MaxRetryAfter, "0 to 1 day.");
    }
}
