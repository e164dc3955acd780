using Microsoft.AspNetCore.Http;

namespace ReliabilityToolkit.Orleans.AspNetCore;

/// <summary>How requests meet their limits.</summary>
public sealed class ClusterLimitOptions
{
    /// <summary>Whether a request waits where its limit has nothing for it, in the cluster's line. Default false: it is refused.</summary>
    public bool Wait { get; set; }

    /// <summary>
    /// Whether answers to admitted requests carry <c>RateLimit</c> and <c>RateLimit-Policy</c> too. Default false: only refusals do.
    /// </summary>
    public bool HeadersOnSuccess { get; set; }

    /// <summary>
    /// The status for a key that is none: empty, longer than 256 characters, with control characters or broken UTF-16; a stranger may have chosen it.
    /// Default 400; 404 for those who would rather not tell. 400 to 499.
    /// </summary>
    public int BadKeyStatusCode { get; set; } = StatusCodes.Status400BadRequest;

    /// <summary>
    /// The status for a policy that the silos do not know; a stranger may have chosen it, where it is a route value. Default 404; 400 to 599.
    /// </summary>
    public int UnknownPolicyStatusCode { get; set; } = StatusCodes.Status404NotFound;

    internal void Check()
    {
        if (BadKeyStatusCode is < 400 or > 499)
            throw new ArgumentOutOfRangeException(nameof(BadKeyStatusCode), BadKeyStatusCode, "A client's error is 400 to 499.");
        if (UnknownPolicyStatusCode is < 400 or > 599)
            throw new ArgumentOutOfRangeException(nameof(UnknownPolicyStatusCode), UnknownPolicyStatusCode, "An error is 400 to 599.");
    }
}
