namespace ReliabilityToolkit.Orleans;

/// <summary>The conversation between a node and the breaker's grain. Each request may be repeated and is done once.</summary>
[Alias("rt.ICircuitBreakerProtocol"), GrainInterfaceType("rt.ICircuitBreakerProtocol")]
internal interface ICircuitBreakerProtocol : IGrainWithStringKey
{
    /// <summary>Asks to make a call.</summary>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    [Alias("Enter")]
    ValueTask<CircuitPass> EnterAsync(RequestId id, CancellationToken cancellationToken);

    /// <summary>Tells how a call went; one of an earlier generation counts for nothing.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The outcome is none of the three.</exception>
    [Alias("Report")]
    ValueTask<Acknowledgement> ReportAsync(CircuitReport report, CancellationToken cancellationToken);

    /// <summary>Throws a kill switch. Once it has returned, nothing that is asked later is answered as before.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The command is none of the three.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    [Alias("Command")]
    ValueTask<Acknowledgement> CommandAsync(CircuitOrder order, CancellationToken cancellationToken);

    /// <summary>Reads the state; counts nothing and admits nothing.</summary>
    [Alias("GetStatus")]
    ValueTask<CircuitBreakerStatus> GetStatusAsync(CancellationToken cancellationToken);
}

/// <summary>"The call that you let through with this generation and trial went so."</summary>
[GenerateSerializer, Immutable, Alias("rt.CircuitReport")]
internal readonly record struct CircuitReport(
    [property: Id(0)] RequestId Id,
    [property: Id(1)] long Generation,
    [property: Id(2)] long Trial,
    [property: Id(3)] CircuitOutcome Outcome);

/// <summary>The kill switches.</summary>
[GenerateSerializer, Alias("rt.CircuitCommand")]
internal enum CircuitCommand
{
    None = 0,
    Trip = 1,
    Isolate = 2,
    Reset = 3,
}

/// <summary>"Throw this switch."</summary>
[GenerateSerializer, Immutable, Alias("rt.CircuitOrder")]
internal readonly record struct CircuitOrder(
    [property: Id(0)] RequestId Id,
    [property: Id(1)] CircuitCommand Command);
