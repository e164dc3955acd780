namespace ReliabilityToolkit.Orleans;

/// <summary>The circuit is open (or half open with all its trials under way): the call was not made.</summary>
[GenerateSerializer, Alias("rt.CircuitOpenException")]
public sealed class CircuitOpenException : ReliabilityException
{
    /// <summary>A rejection by the breaker <paramref name="name"/>.</summary>
    /// <param name="name">The breaker's policy, with its key where it has one.</param>
    /// <param name="retryAfter">What is left of the cool-down; absent for an isolated breaker and for one whose trials are under way.</param>
    public CircuitOpenException(string name, TimeSpan? retryAfter)
        : base($"Circuit \"{name}\" is open{(retryAfter is { } wait ? $" for another {wait}" : "")}.", retryAfter) => Name = name;

    /// <summary>The breaker's policy, with its key where it has one.</summary>
    [Id(0)]
    public string Name { get; private set; }
}
