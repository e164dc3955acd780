namespace ReliabilityToolkit.Orleans;

/// <summary>A circuit has opened, or recovered: once in the cluster, as its authority decided it. For an audit.</summary>
/// <param name="Policy">Of the breaker.</param>
/// <param name="Key">Where it has one.</param>
/// <param name="At">By the silo's wall clock.</param>
/// <param name="Previous">The state before.</param>
/// <param name="State">Open, isolated or closed.</param>
/// <param name="Cause">Why.</param>
/// <param name="Reason">What was said with a kill switch.</param>
/// <param name="By">
/// The node that threw it (<c>ReliabilityToolkitClientOptions.NodeName</c>); absent where nobody did, or a caller without the client library.
/// </param>
public sealed record CircuitEvent(
    string Policy,
    string? Key,
    DateTimeOffset At,
    CircuitState Previous,
    CircuitState State,
    CircuitCause Cause,
    string? Reason,
    string? By);
