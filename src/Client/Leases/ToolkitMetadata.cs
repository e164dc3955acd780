using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>What the leases of this library tell beside <see cref="MetadataName.RetryAfter"/> and <see cref="MetadataName.ReasonPhrase"/>.</summary>
public static class ToolkitMetadata
{
    /// <summary>Why an acquire was refused. On every lease that is not acquired.</summary>
    public static MetadataName<RefusalReason> Reason { get; } = new("REFUSAL_REASON");
}
