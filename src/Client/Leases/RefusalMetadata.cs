using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>What a refusal tells, of whatever it was refused.</summary>
internal static class RefusalMetadata
{
    public static IEnumerable<string> Names(ResourceName by, bool hasRetryAfter)
    {
        if (hasRetryAfter)
            yield return MetadataName.RetryAfter.Name;
        yield return MetadataName.ReasonPhrase.Name;
        yield return ToolkitMetadata.Reason.Name;
        yield return ToolkitMetadata.Policy.Name;
        if (by.Key is not null)
            yield return ToolkitMetadata.Key.Name;
    }

    public static object? Find(string name, ResourceName by, RefusalReason reason, TimeSpan? retryAfter) =>
        name == MetadataName.RetryAfter.Name ? retryAfter
        : name == MetadataName.ReasonPhrase.Name ? reason.ToString()
        : name == ToolkitMetadata.Reason.Name ? reason
        : name == ToolkitMetadata.Policy.Name ? by.Policy
        : name == ToolkitMetadata.Key.Name ? by.Key
        : null;
}
