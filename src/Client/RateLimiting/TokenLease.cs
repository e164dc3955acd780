using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>The lease of a limiter. Tokens are spent, not returned: disposing it does nothing.</summary>
internal sealed class TokenLease : RateLimitLease
{
    /// <summary>Tokens were taken.</summary>
    public static readonly TokenLease Acquired = new();

    /// <summary>Admitted, though none were: in shadow mode, or by a node that decides alone. There is nothing to be settled.</summary>
    public static readonly TokenLease Free = new();

    private readonly ResourceName _by;
    private readonly RefusalReason _reason;
    private readonly TimeSpan? _retryAfter;

    /// <summary>A refusal.</summary>
    /// <param name="by">Who refused.</param>
    /// <param name="reason">Why.</param>
    /// <param name="retryAfter">When to come back; null: nobody can tell.</param>
    public TokenLease(ResourceName by, RefusalReason reason, TimeSpan? retryAfter = null) => (_by, _reason, _retryAfter) = (by, reason, retryAfter);

    private TokenLease() => IsAcquired = true;

    public override bool IsAcquired { get; }

    public override IEnumerable<string> MetadataNames => IsAcquired ? [] : RefusalMetadata.Names(_by, _retryAfter is not null);

    public override bool TryGetMetadata(string metadataName, out object? metadata)
    {
        metadata = IsAcquired ? null : RefusalMetadata.Find(metadataName, _by, _reason, _retryAfter);
        return metadata is not null;
    }
}
