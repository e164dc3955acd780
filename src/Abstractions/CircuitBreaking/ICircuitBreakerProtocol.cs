namespace ReliabilityToolkit.Orleans;

/// <summary>The conversation between a node and the breaker's grain. Each request may be repeated and is done once.</summary>
[Alias("rt.ICircuitBreakerProtocol"), GrainInterfaceType("rt.ICircuitBreakerProtocol")]
internal interface ICircuitBreakerProtocol : IGrainWithStringKey
{
    [Alias("Enter")]
    ValueTask<CircuitPass> EnterAsync(RequestId id, CancellationToken cancellationToken);

    [Alias("Report")]
    ValueTask<CircuitPass> ReportAsync(CircuitReport report, CancellationToken cancellationToken);

    [Alias("Command")]
    ValueTask<CircuitPass> CommandAsync(CircuitOrder order, CancellationToken cancellationToken);

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
