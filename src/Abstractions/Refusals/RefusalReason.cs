namespace ReliabilityToolkit.Orleans;

/// <summary>Why an acquire was refused. Read it from a lease with <c>ToolkitMetadata.Reason</c>.</summary>
[GenerateSerializer, Alias("rt.RefusalReason")]
public enum RefusalReason
{
    /// <summary>The answer gave no reason; what a newer authority says to an older client.</summary>
    Unspecified = 0,

    /// <summary>The limiter has too few tokens now.</summary>
    RateLimited = 1,

    /// <summary>As many callers wait already as the policy's queue limit allows.</summary>
    QueueFull = 2,

    /// <summary>The bulkhead has too few free slots now, or others wait for them.</summary>
    NoFreeSlot = 3,

    /// <summary>The authority did not answer in time.</summary>
    AuthorityUnavailable = 4,

    /// <summary>The node holds nothing that it could hand out without asking; await an acquire instead.</summary>
    NoLocalStock = 5,

    /// <summary>The wait was given up before its turn came.</summary>
    WaitExpired = 6,
}
