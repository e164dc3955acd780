using Microsoft.Extensions.Logging;
using Orleans.Concurrency;

namespace ReliabilityToolkit.Orleans;

/// <summary>The shell around <see cref="Circuit"/>. Reentrant: the machine is synchronous.</summary>
[GrainType("rt.breaker"), Reentrant]
internal sealed class CircuitBreakerGrain(NodeClock clock, PolicySource source, Chance chance, ILogger<CircuitBreakerGrain> logger)
    : AuthorityGrain<CircuitBreakerPolicy, Circuit, CircuitPass>(clock, source, chance, logger), ICircuitBreakerGrain, ICircuitBreakerProtocol
{
    public ValueTask<CircuitPass> EnterAsync() => new(Enter(default));

    public ValueTask ReportAsync(CircuitPass pass, CircuitOutcome outcome)
    {
        Report(new CircuitReport(default, pass.Generation, pass.Trial, outcome));
        return default;
    }

    public ValueTask TripAsync() => Switch(CircuitCommand.Trip);

    public ValueTask IsolateAsync() => Switch(CircuitCommand.Isolate);

    public ValueTask ResetAsync() => Switch(CircuitCommand.Reset);

    public ValueTask<CircuitBreakerStatus> GetStatusAsync() => new(Do(0, static (circuit, _, now) => circuit.Describe(now)));

    ValueTask<CircuitPass> ICircuitBreakerProtocol.EnterAsync(RequestId id, CancellationToken cancellationToken) => new(Enter(id));

    ValueTask<Acknowledgement> ICircuitBreakerProtocol.ReportAsync(CircuitReport report, CancellationToken cancellationToken) => new(Report(report));

    ValueTask<Acknowledgement> ICircuitBreakerProtocol.CommandAsync(CircuitOrder order, CancellationToken cancellationToken) => new(Obey(order));

    ValueTask<CircuitBreakerStatus> ICircuitBreakerProtocol.GetStatusAsync(CancellationToken cancellationToken) => GetStatusAsync();

    protected override CircuitBreakerPolicy Find(PolicySet policies, string policyName) => policies.CircuitBreaker(policyName);

    protected override Circuit Create(CircuitBreakerPolicy policy, Instant now, long epoch) => new(policy, epoch);

    private CircuitPass Enter(in RequestId id) => DoOnce(id, 0, static (circuit, _, now) => circuit.Enter(now));

    private Acknowledgement Report(in CircuitReport report) =>
        DoOnce(report.Id, report, static (circuit, report, now) => circuit.Report(report, now), outlivesPolicy: true);

    private ValueTask Switch(CircuitCommand command)
    {
        Obey(new CircuitOrder(default, command));
        return default;
    }

    private Acknowledgement Obey(in CircuitOrder order) => DoOnce(order.Id, order.Command, order.Command switch
    {
        CircuitCommand.Trip => static (circuit, _, now) => circuit.Trip(now),
        CircuitCommand.Isolate => static (circuit, _, now) => circuit.Isolate(now),
        CircuitCommand.Reset => static (circuit, _, now) => circuit.Reset(now),
        _ => throw new ArgumentOutOfRangeException(nameof(order), order.Command, "The command is Trip, Isolate or Reset."),
    });
}
