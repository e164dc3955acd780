namespace ReliabilityToolkit.Orleans;

/// <summary>The circuit did not let the call through: it was not made.</summary>
[GenerateSerializer, Alias("rt.CircuitOpenException")]
public sealed class CircuitOpenException : ReliabilityException
{
    /// <summary>A rejection by the breaker <paramref name="name"/>.</summary>
    /// <param name="name">The breaker's policy, with its key where it has one.</param>
    /// <param name="state">In which it rejected: open, isolated, half open with its trials under way, or closed and shedding.</param>
    /// <param name="retryAfter">What is left of the cool-down; absent where nobody can tell, and that is in all states but open.</param>
    public CircuitOpenException(string name, CircuitState state, TimeSpan? retryAfter)
        : base($"Circuit \"{name}\" {Describe(state, retryAfter)}.", retryAfter) => (Name, State) = (name, state);

    /// <summary>The breaker's policy, with its key where it has one.</summary>
    [Id(0)]
    public string Name { get; private set; }

    /// <summary>In which it rejected.</summary>
    [Id(1)]
    public CircuitState State { get; private set; }

    private static string Describe(CircuitState state, TimeSpan? retryAfter) => state switch
    {
        CircuitState.Isolated => "is isolated until it is reset",
        CircuitState.HalfOpen => "is half open, and its trials are under way",
        CircuitState.Closed => "sheds calls, and this one is among them",
        _ => $"is open{(retryAfter is { } wait ? $" for another {wait}" : "")}",
    };
}
