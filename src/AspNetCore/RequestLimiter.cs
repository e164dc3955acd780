using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans.AspNetCore;

/// <summary>
/// What a partition of requests meets: its limit, whose errors are refusals here, for a stranger may have chosen what led to them. The limit itself
/// is the toolkit's, and is not disposed.
/// </summary>
/// <param name="limit">Null: there is none of that name.</param>
/// <param name="options">Of the policy.</param>
/// <param name="isBadKey">Why there is none.</param>
internal sealed class RequestLimiter(RateLimiter? limit, ClusterLimitOptions options, bool isBadKey) : RateLimiter
{
    private readonly ErrorLease _nameless = isBadKey
        ? new ErrorLease(options.BadKeyStatusCode, "What identifies the request is no key: 1 to 256 characters, none of them a control character.")
        : new ErrorLease(options.UnknownPolicyStatusCode, "There is no such limit.");

    public override TimeSpan? IdleDuration => limit is null ? TimeSpan.MaxValue : limit.IdleDuration;

    public override RateLimiterStatistics? GetStatistics() => limit?.GetStatistics();

    protected override RateLimitLease AttemptAcquireCore(int permitCount)
    {
        try
        {
            // The middleware asks again at once where it is refused.
            return limit switch
            {
                null => _nameless,
                ClusterRateLimiter tokens => tokens.AttemptFirst(permitCount),
                ClusterBulkhead slots => slots.AttemptFirst(permitCount),
                CombinedRateLimiter several => several.Attempt(permitCount, comesBack: true),
                _ => limit.AttemptAcquire(permitCount),
            };
        }
        catch (BulkheadClosedException)
        {
            return ErrorLease.Closed;
        }
    }

    protected override async ValueTask<RateLimitLease> AcquireAsyncCore(int permitCount, CancellationToken cancellationToken)
    {
        try
        {
            return limit is null ? _nameless : await limit.AcquireAsync(permitCount, cancellationToken).ConfigureAwait(false);
        }
        catch (UnknownPolicyException)
        {
            return _nameless;
        }
        catch (BulkheadClosedException)
        {
            return ErrorLease.Closed;
        }
    }
}

/// <summary>A refusal that is no limit's.</summary>
internal sealed class ErrorLease(int statusCode, string detail) : RateLimitLease
{
    public static readonly ErrorLease Closed = new(503, "The service is closed for now.");

    public int StatusCode => statusCode;

    public string Detail => detail;

    public override bool IsAcquired => false;

    public override IEnumerable<string> MetadataNames => [MetadataName.ReasonPhrase.Name];

    public override bool TryGetMetadata(string metadataName, out object? metadata)
    {
        metadata = metadataName == MetadataName.ReasonPhrase.Name ? detail : null;
        return metadata is not null;
    }
}
