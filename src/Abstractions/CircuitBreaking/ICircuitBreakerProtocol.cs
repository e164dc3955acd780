namespace ReliabilityToolkit.Orleans;

/// <summary>The conversation between a node and the breaker's grain. Each request may be repeated and is done once.</summary>
[Alias("rt.ICircuitBreakerProtocol"), GrainInterfaceType("rt.ICircuitBreakerProtocol")]
internal interface ICircuitBreakerProtocol : IGrainWithStringKey
{
    /// <summary>
    /// Takes what a node has to tell, and lends it a verdict. Safe to repeat by itself: a repeated request counts nothing twice, and one that is out
    /// of date gets the void answer.
    /// </summary>
    /// <exception cref="ArgumentException">No node has such a view; nothing has changed.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    [Alias("Renew")]
    ValueTask<VerdictGrant> RenewAsync(VerdictRequest request);

    /// <summary>
    /// Throws a kill switch. Answered when it is obeyed everywhere, or after the time that the node is ready to wait; the same is then asked again.
    /// </summary>
    /// <exception cref="ArgumentException">The command is none of the three, or the reason too long; nothing has changed.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    [Alias("Command")]
    ValueTask<Obedience> CommandAsync(CircuitOrder order);

    /// <summary>
    /// Gives the name a policy of its own, or the configured one again. Safe to repeat: see <see cref="ICircuitBreakerGrain.SetPolicyAsync"/>.
    /// </summary>
    [Alias("SetPolicy")]
    ValueTask<bool> SetPolicyAsync(PolicyOverride<CircuitBreakerPolicy> order);

    /// <summary>Reads the state; counts nothing and admits nothing.</summary>
    [Alias("GetStatus")]
    ValueTask<CircuitBreakerStatus> GetStatusAsync();
}

/// <summary>The kill switches.</summary>
[GenerateSerializer, Alias("rt.CircuitCommand")]
internal enum CircuitCommand
{
    None = 0,
    Trip = 1,
    Isolate = 2,
    Reset = 3,
}

/// <summary>"Throw this switch." Asked again under its number it is only looked at how far it is obeyed.</summary>
/// <param name="Id">The order's number.</param>
/// <param name="Command">Which switch.</param>
/// <param name="Reason">For whoever looks at the state.</param>
/// <param name="Hold">How long the answer may wait for nodes to obey.</param>
/// <param name="By">The node, for whoever reads the log; null: a caller without the client library.</param>
[GenerateSerializer, Immutable, Alias("rt.CircuitOrder")]
internal readonly record struct CircuitOrder(
    [property: Id(0)] RequestId Id,
    [property: Id(1)] CircuitCommand Command,
    [property: Id(2)] string? Reason,
    [property: Id(3)] TimeSpan Hold,
    [property: Id(4)] string? By = null)
{
    /// <summary>The most characters of a reason.</summary>
    public const int LongestReason = 1_000;

    /// <exception cref="ArgumentException">The reason is too long.</exception>
    public static void Check(string? reason)
    {
        if (reason?.Length > LongestReason)
            throw new ArgumentException($"The reason is longer than {LongestReason} characters.", nameof(reason));
    }
}
