namespace ReliabilityToolkit.Orleans;

/// <summary>A change of a breaker's state, as a node heard of it.</summary>
/// <param name="Previous">What the node knew before.</param>
/// <param name="State">What it knows now.</param>
/// <param name="Cause">Why.</param>
/// <param name="Reason">What was said with a kill switch.</param>
/// <param name="IsLocal">The node's own breaker changed, while the authority did not answer.</param>
public readonly record struct CircuitStateChange(CircuitState Previous, CircuitState State, CircuitCause Cause, string? Reason, bool IsLocal);
