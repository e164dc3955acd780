using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>The lease of a limiter. Tokens are spent, not returned: disposing it does nothing.</summary>
internal sealed class TokenLease : RateLimitLease
{
    public static readonly TokenLease Acquired = new(isAcquired: true, default, null);
    public static readonly TokenLease Unavailable = new(isAcquired: false, RefusalReason.AuthorityUnavailable, null);
    public static readonly TokenLease NoLocalStock = new(isAcquired: false, RefusalReason.NoLocalStock, null);

    private static readonly string[] Names = [MetadataName.RetryAfter.Name, MetadataName.ReasonPhrase.Name, ToolkitMetadata.Reason.Name];

    private readonly RefusalReason _reason;
    private readonly TimeSpan? _retryAfter;

    private TokenLease(bool isAcquired, RefusalReason reason, TimeSpan? retryAfter) =>
        (IsAcquired, _reason, _retryAfter) = (isAcquired, reason, retryAfter);

    public override bool IsAcquired { get; }

    public override IEnumerable<string> MetadataNames => IsAcquired ? [] : _retryAfter is null ? Names[1..] : Names;

    /// <summary>Of one who was refused. When the authority will answer, or the node have a part, nobody can tell.</summary>
    public static TokenLease Refused(TokenCaller caller) => caller.Reason switch
    {
        RefusalReason.AuthorityUnavailable => Unavailable,
        RefusalReason.NoLocalStock => NoLocalStock,
        _ => new TokenLease(isAcquired: false, caller.Reason, caller.RetryAfter),
    };

    public override bool TryGetMetadata(string metadataName, out object? metadata)
    {
        metadata = IsAcquired ? null
            : metadataName == MetadataName.RetryAfter.Name ? _retryAfter
            : metadataName == MetadataName.ReasonPhrase.Name ? _reason.ToString()
            : metadataName == ToolkitMetadata.Reason.Name ? _reason
            : null;
        return metadata is not null;
    }
}
