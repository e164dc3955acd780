using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>What the leases of this library tell beside <see cref="MetadataName.RetryAfter"/> and <see cref="MetadataName.ReasonPhrase"/>.</summary>
public static class ToolkitMetadata
{
    /// <summary>Why an acquire was refused. On every lease that is not acquired.</summary>
    public static MetadataName<RefusalReason> Reason { get; } = new("REFUSAL_REASON");

    /// <summary>The policy of the limiter or bulkhead that refused. On every lease that is not acquired.</summary>
    public static MetadataName<string> Policy { get; } = new("POLICY");

    /// <summary>Its key. On a lease that is not acquired, where it has one.</summary>
    public static MetadataName<string> Key { get; } = new("KEY");
}
