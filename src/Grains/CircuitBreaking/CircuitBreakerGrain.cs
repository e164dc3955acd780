using Orleans.Concurrency;

namespace ReliabilityToolkit.Orleans;

/// <summary>The shell around <see cref="Circuit"/>. Reentrant: the machine is synchronous.</summary>
[GrainType("rt.breaker"), Reentrant]
internal sealed class CircuitBreakerGrain(NodeClock clock, PolicySource source, Random random)
    : AuthorityGrain<CircuitBreakerPolicy, Circuit>(clock, source, random), ICircuitBreakerGrain, ICircuitBreakerProtocol
{
    public ValueTask<CircuitPass> EnterAsync() => Enter(default);

    public ValueTask ReportAsync(CircuitPass pass, CircuitOutcome outcome)
    {
        Report(new CircuitReport(default, pass.Generation, pass.Trial, outcome));
        return default;
    }

    public ValueTask TripAsync() => Throw(CircuitCommand.Trip);

    public ValueTask IsolateAsync() => Throw(CircuitCommand.Isolate);

    public ValueTask ResetAsync() => Throw(CircuitCommand.Reset);

    public ValueTask<CircuitBreakerStatus> GetStatusAsync()
    {
        var now = Clock.Now;
        return new(Authority(now).Describe(now));
    }

    ValueTask<CircuitPass> ICircuitBreakerProtocol.EnterAsync(RequestId id, CancellationToken cancellationToken) => Enter(id);

    ValueTask<CircuitPass> ICircuitBreakerProtocol.ReportAsync(CircuitReport report, CancellationToken cancellationToken) => new(Report(report));

    ValueTask<CircuitPass> ICircuitBreakerProtocol.CommandAsync(CircuitOrder order, CancellationToken cancellationToken) => new(Obey(order));

    ValueTask<CircuitBreakerStatus> ICircuitBreakerProtocol.GetStatusAsync(CancellationToken cancellationToken) => GetStatusAsync();

    protected override CircuitBreakerPolicy Find(PolicySet policies, string policyName) => policies.CircuitBreaker(policyName);

    protected override Circuit Create(CircuitBreakerPolicy policy, Instant now, long epoch) => new(policy, epoch);

    private ValueTask<CircuitPass> Enter(in RequestId id)
    {
        var now = Clock.Now;
        var pass = Authority(now).Enter(id, now);
        KeepWhileMemorable(now);
        return new(pass);
    }

    private CircuitPass Report(in CircuitReport report)
    {
        var now = Clock.Now;
        var answer = AuthorityAsItIs(now).Report(report, now);
        KeepWhileMemorable(now);
        return answer;
    }

    private ValueTask Throw(CircuitCommand command)
    {
        Obey(new CircuitOrder(default, command));
        return default;
    }

    private CircuitPass Obey(in CircuitOrder order)
    {
        var now = Clock.Now;
        var circuit = Authority(now);
        var answer = order.Command switch
        {
            CircuitCommand.Trip => circuit.Trip(order.Id, now),
            CircuitCommand.Isolate => circuit.Isolate(order.Id, now),
            CircuitCommand.Reset => circuit.Reset(order.Id, now),
            _ => throw new ArgumentOutOfRangeException(nameof(order), order.Command, "The command is Trip, Isolate or Reset."),
        };
        KeepWhileMemorable(now);
        return answer;
    }
}
