namespace ReliabilityToolkit.Orleans;

/// <summary>A limiter or a bulkhead refused, and the caller asked for an exception by <c>EnsureAcquired</c>.</summary>
[GenerateSerializer, Alias("rt.RateLimitedException")]
public sealed class RateLimitedException : ReliabilityException
{
    /// <summary>A refusal for <paramref name="reason"/>.</summary>
    /// <param name="reason">Why it was refused.</param>
    /// <param name="retryAfter">Who comes back after this long, with nobody else asking, is admitted; absent where nobody can tell.</param>
    /// <param name="policy">Of the limiter or bulkhead that refused; absent for a lease of another library.</param>
    /// <param name="key">Its key, where it has one.</param>
    public RateLimitedException(RefusalReason reason, TimeSpan? retryAfter, string? policy = null, string? key = null)
        : base(Describe(reason, retryAfter, policy, key), retryAfter) => (Reason, Policy, Key) = (reason, policy, key);

    /// <summary>Why it was refused.</summary>
    [Id(0)]
    public RefusalReason Reason { get; private set; }

    /// <summary>The policy of the limiter or bulkhead that refused; absent for a lease of another library.</summary>
    [Id(1)]
    public string? Policy { get; private set; }

    /// <summary>Its key, where it has one.</summary>
    [Id(2)]
    public string? Key { get; private set; }

    private static string Describe(RefusalReason reason, TimeSpan? retryAfter, string? policy, string? key)
    {
        var who = policy is null ? "" : $" by \"{new ResourceName(policy, key)}\"";
        return retryAfter is { } wait ? $"Refused{who}: {reason}. Retry after {wait}." : $"Refused{who}: {reason}.";
    }
}
