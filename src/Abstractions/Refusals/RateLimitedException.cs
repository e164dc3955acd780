namespace ReliabilityToolkit.Orleans;

/// <summary>A limiter or a bulkhead refused, and the caller asked for an exception by <c>EnsureAcquired</c>.</summary>
[GenerateSerializer, Alias("rt.RateLimitedException")]
public sealed class RateLimitedException : ReliabilityException
{
    /// <summary>A refusal for <paramref name="reason"/>.</summary>
    /// <param name="reason">Why it was refused.</param>
    /// <param name="retryAfter">Who comes back after this long, with nobody else asking, is admitted; absent where nobody can tell.</param>
    public RateLimitedException(RefusalReason reason, TimeSpan? retryAfter)
        : base(retryAfter is { } wait ? $"Refused: {reason}. Retry after {wait}." : $"Refused: {reason}.", retryAfter) => Reason = reason;

    /// <summary>Why it was refused.</summary>
    [Id(0)]
    public RefusalReason Reason { get; private set; }
}
