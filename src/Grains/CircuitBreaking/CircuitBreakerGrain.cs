using Microsoft.Extensions.Logging;
using Orleans.Concurrency;

namespace ReliabilityToolkit.Orleans;

/// <summary>The shell around <see cref="Circuit"/>. Reentrant: the machine is synchronous, and only obedience is awaited.</summary>
[GrainType("rt.breaker"), Reentrant]
internal sealed class CircuitBreakerGrain(
    NodeClock clock, PolicySource source, Chance chance, RecordStore records, ILogger<CircuitBreakerGrain> logger)
    : AuthorityGrain<CircuitBreakerPolicy, Circuit, Obedience, BreakerMemory>(clock, source, chance, records, logger),
        ICircuitBreakerGrain, ICircuitBreakerProtocol
{
    private readonly HeldOrders _orders = new(clock);

    public ValueTask<CircuitPass> EnterAsync() => Do(0, static (circuit, _, now) => circuit.Enter(now));

    public async ValueTask ReportAsync(CircuitPass pass, CircuitOutcome outcome) => await Do(
        new CircuitNews(pass.Generation, pass.Trial, outcome, 1), static (circuit, news, now) => circuit.Report(news, now), outlivesPolicy: true);

    public ValueTask<KillSwitchResult> TripAsync(string? reason) => ThrowAsync(CircuitCommand.Trip, reason);

    public ValueTask<KillSwitchResult> IsolateAsync(string? reason) => ThrowAsync(CircuitCommand.Isolate, reason);

    public async ValueTask ResetAsync(string? reason) => await ThrowAsync(CircuitCommand.Reset, reason);

    public ValueTask<CircuitBreakerStatus> GetStatusAsync() => Do(0, static (circuit, _, now) => circuit.Describe(now));

    ValueTask<VerdictGrant> ICircuitBreakerProtocol.RenewAsync(VerdictRequest request) =>
        Do(request, static (circuit, request, now) => circuit.Renew(request, now), outlivesPolicy: true);

    ValueTask<Obedience> ICircuitBreakerProtocol.CommandAsync(CircuitOrder order) =>
        ObeyAsync(order);

    ValueTask<CircuitBreakerStatus> ICircuitBreakerProtocol.GetStatusAsync() => GetStatusAsync();

    protected override CircuitBreakerPolicy Find(PolicySet policies, string policyName) => policies.CircuitBreaker(policyName);

    protected override Circuit Create(CircuitBreakerPolicy policy, Instant now, in Heritage<BreakerMemory> heritage) => new(policy, now, heritage);

    /// <inheritdoc/>
    protected override bool MayFollowAnother(CircuitBreakerPolicy policy) => false; // it is careful in any case

    /// <inheritdoc/>
    protected override void Conclude(Circuit machine, Instant now)
    {
        base.Conclude(machine, now);
        var (epoch, version) = machine.Shown;
        foreach (var holder in machine.TakeHints(now))
            Hint(holder.Observer!, holder.Borrower.Channel, epoch, version);
        if (!machine.IsAwaitingObedience(now))
            _orders.Release();
    }

    private async ValueTask<KillSwitchResult> ThrowAsync(CircuitCommand command, string? reason)
    {
        var obedience = await ObeyAsync(new CircuitOrder(NewAnonymousId(), command, reason, LeaseTerm.OfVerdict * 2));
        return new KillSwitchResult(obedience.Acknowledged, obedience.RanOut);
    }

    private ValueTask<Obedience> ObeyAsync(CircuitOrder order) => _orders.HoldAsync(
        () => DoOnce(order.Id, order, static (circuit, order, now) => circuit.Obey(order, now)), order.Hold);
}
