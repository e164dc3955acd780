namespace ReliabilityToolkit.Orleans;

/// <summary>The bulkhead is closed: pending and later acquires fail until it is reopened.</summary>
[GenerateSerializer, Alias("rt.BulkheadClosedException")]
public sealed class BulkheadClosedException : ReliabilityException
{
    /// <summary>A refusal by the closed bulkhead <paramref name="name"/>.</summary>
    /// <param name="name">The bulkhead's policy, with its key where it has one.</param>
    public BulkheadClosedException(string name) : base($"Bulkhead \"{name}\" is closed.") => Name = name;

    /// <summary>The bulkhead's policy, with its key where it has one.</summary>
    [Id(0)]
    public string Name { get; private set; }
}
