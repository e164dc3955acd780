namespace ReliabilityToolkit.Orleans;

/// <summary>How a node talks to the authorities.</summary>
public sealed class ReliabilityToolkitClientOptions
{
    /// <summary>
    /// How long a call waits for the authority's answer, repeats included, before it counts as unavailable. Default 1 s; 10 ms to 1 minute.
    /// The wait for tokens or slots is not part of it.
    /// </summary>
    public TimeSpan CallTimeout { get; set; } = CallTimeouts.Default;

    /// <summary>
    /// What the node is called in a bulkhead's status, for whoever wants to know who holds its slots. Default: the machine's name and the process's
    /// id; at most 200 characters.
    /// </summary>
    public string NodeName { get; set; } = $"{Environment.MachineName}/{Environment.ProcessId}";

    /// <summary>
    /// How many limiters, breakers and bulkheads (of each kind) the node keeps at hand; beyond that, those not used for longest are let go and made
    /// anew when asked for. One that the application kept goes on working. Default 10,000; 1 to 10,000,000.
    /// </summary>
    public int MaxCachedInstances { get; set; } = 10_000;

    /// <summary>
    /// What a limiter decides while its authority is known not to answer, by policy. Default, for a policy that is not in here:
    /// <see cref="ReliabilityToolkit.Orleans.WhenUnavailable.Reject"/>. While the limiter is used the authority is asked again once a second, in
    /// the background.
    /// </summary>
    public IDictionary<string, WhenUnavailable> WhenUnavailable { get; } = new Dictionary<string, WhenUnavailable>(StringComparer.Ordinal);

    /// <summary>
    /// What a breaker does while its authority is known not to answer, by policy. Default, for a policy that is not in here:
    /// <see cref="ReliabilityToolkit.Orleans.CircuitFallback.LocalBreaker"/>. While the breaker is used the authority is asked again once a second,
    /// in the background.
    /// </summary>
    public IDictionary<string, CircuitFallback> CircuitFallback { get; } = new Dictionary<string, CircuitFallback>(StringComparer.Ordinal);

    /// <summary>
    /// Which exceptions a breaker's calls count as failures, by policy; one that does not count is a success. Default, for a policy that is not in
    /// here: every exception. A call ended by its own caller's cancellation is neither, and is not asked about.
    /// </summary>
    public IDictionary<string, Func<Exception, bool>> IsFailure { get; } = new Dictionary<string, Func<Exception, bool>>(StringComparer.Ordinal);

    /// <summary>Every fault of these options, one sentence each; empty where there is none.</summary>
    public IReadOnlyList<string> Validate()
    {
        var faults = new PolicyFaults();
        faults.Unless(
            CallTimeout >= CallTimeouts.Shortest && CallTimeout <= CallTimeouts.Longest, nameof(CallTimeout), CallTimeout, "10 ms to 1 minute");
        faults.Unless(MaxCachedInstances is >= 1 and <= 10_000_000, nameof(MaxCachedInstances), MaxCachedInstances, "1 to 10,000,000");
        faults.Unless(NodeName is { Length: <= 200 }, nameof(NodeName), NodeName ?? "null", "at most 200 characters");
        foreach (var (policy, choice) in WhenUnavailable)
        {
            faults.Unless(
                Enum.IsDefined(choice), $"{nameof(WhenUnavailable)}[\"{policy}\"]", choice, string.Join(", ", Enum.GetNames<WhenUnavailable>()));
        }

        foreach (var (policy, choice) in CircuitFallback)
        {
            faults.Unless(
                Enum.IsDefined(choice), $"{nameof(CircuitFallback)}[\"{policy}\"]", choice, string.Join(", ", Enum.GetNames<CircuitFallback>()));
        }

        return faults.All;
    }
}
