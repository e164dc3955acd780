using Microsoft.Extensions.Logging;
using Orleans.Concurrency;

namespace ReliabilityToolkit.Orleans;

/// <summary>The shell around <see cref="Circuit"/>. Reentrant: the machine is synchronous, and only obedience is awaited.</summary>
[GrainType("rt.breaker"), Reentrant]
internal sealed partial class CircuitBreakerGrain(AuthoritySurroundings around, ILogger<CircuitBreakerGrain> logger)
    : AuthorityGrain<CircuitBreakerPolicy, Circuit, Obedience, BreakerMemory>(Kind, around, logger), ICircuitBreakerGrain, ICircuitBreakerProtocol
{
    private const string Kind = "breaker";

    private readonly HeldOrders _orders = new(around.Clock);
    private (long Generation, CircuitState State) _seen;
    private TrialCounts _countedTrials;
    private string? _orderedBy;

    public async ValueTask<CircuitPass> EnterAsync()
    {
        var pass = await Do(0, static (circuit, _, now) => circuit.Enter(now));
        Around.Meter.Decided(Kind, PolicyName, pass.IsAdmitted);
        return IsShadow && !pass.IsAdmitted ? CircuitPass.Shadow(pass.State) : pass;
    }

    public async ValueTask ReportAsync(CircuitPass pass, CircuitOutcome outcome) => await Do(
        new CircuitNews(pass.Generation, pass.Trial, outcome, 1), static (circuit, news, now) => circuit.Report(news, now), outlivesPolicy: true);

    public ValueTask<KillSwitchResult> TripAsync(string? reason) => ThrowAsync(CircuitCommand.Trip, reason);

    public ValueTask<KillSwitchResult> IsolateAsync(string? reason) => ThrowAsync(CircuitCommand.Isolate, reason);

    public async ValueTask ResetAsync(string? reason) => await ThrowAsync(CircuitCommand.Reset, reason);

    public async ValueTask<CircuitBreakerStatus> GetStatusAsync() =>
        await Do(0, static (circuit, _, now) => circuit.Describe(now)) with { PolicyVersion = PolicyVersion };

    ValueTask<VerdictGrant> ICircuitBreakerProtocol.RenewAsync(VerdictRequest request) =>
        Do(request, static (circuit, request, now) => circuit.Renew(request, now), outlivesPolicy: true);

    ValueTask<Obedience> ICircuitBreakerProtocol.CommandAsync(CircuitOrder order) =>
        ObeyAsync(order);

    ValueTask<CircuitBreakerStatus> ICircuitBreakerProtocol.GetStatusAsync() => GetStatusAsync();

    protected override CircuitBreakerPolicy Find(PolicySet policies, string policyName) => policies.CircuitBreaker(policyName);

    protected override Circuit Create(CircuitBreakerPolicy policy, Instant now, in Heritage<BreakerMemory> heritage)
    {
        var circuit = new Circuit(policy, now, heritage);
        _seen = (circuit.Face.Generation, circuit.Face.State);
        return circuit;
    }

    /// <inheritdoc/>
    protected override bool MayFollowAnother(CircuitBreakerPolicy policy) => false; // it is careful in any case

    /// <inheritdoc/>
    protected override void Conclude(Circuit machine, Instant now)
    {
        base.Conclude(machine, now);
        Tell(machine);
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
        () => DoOnce(
            order.Id,
            (Grain: this, Order: order),
            static (circuit, call, now) =>
            {
                call.Grain._orderedBy = call.Order.By; // whoever was the last to be obeyed is told with the change
                return circuit.Obey(call.Order, now);
            }),
        order.Hold);

    // What an operator must see, and an auditor: where a verb changed the state twice, where it led to.
    private void Tell(Circuit circuit)
    {
        if (circuit.TrialsOver != _countedTrials)
        {
            Around.Meter.Tried(PolicyName, circuit.TrialsOver - _countedTrials);
            _countedTrials = circuit.TrialsOver;
        }

        var (generation, state, cause, reason) = circuit.Face;
        if (generation == _seen.Generation)
            return;
        var previous = _seen.State;
        _seen = (generation, state);
        Around.Meter.Changed(PolicyName, state, cause);
        var isOrdered = cause is CircuitCause.Tripped or CircuitCause.Isolated or CircuitCause.Reset;
        var by = isOrdered ? _orderedBy : null;
        var (who, why) = (isOrdered ? by ?? "a caller without a name" : "itself", reason ?? "none given");
        if (state == CircuitState.Closed)
            LogClosed(Logger, Name, previous, cause, who, why);
        else if (state == CircuitState.HalfOpen)
            LogHalfOpen(Logger, Name);
        else
            LogOpened(Logger, Name, state, previous, cause, who, why);
        if (state != CircuitState.HalfOpen)
        {
            Around.Audit.Tell(new CircuitEvent(
                PolicyName, ResourceName.Parse(Name).Key, Clock.Time.GetUtcNow(), previous, state, cause, reason, by));
        }
    }

    [LoggerMessage(
        EventId = 7, Level = LogLevel.Warning, Message = "Circuit {Name} is {State}, and was {Previous}: {Cause}. By: {By}; reason: {Reason}.")]
    private static partial void LogOpened(
        ILogger logger, string name, CircuitState state, CircuitState previous, CircuitCause cause, string by, string reason);

    [LoggerMessage(
        EventId = 8, Level = LogLevel.Information, Message = "Circuit {Name} is closed, and was {Previous}: {Cause}. By: {By}; reason: {Reason}.")]
    private static partial void LogClosed(
        ILogger logger, string name, CircuitState previous, CircuitCause cause, string by, string reason);

    [LoggerMessage(EventId = 9, Level = LogLevel.Information, Message = "Circuit {Name} is half open: its cool-down is over.")]
    private static partial void LogHalfOpen(ILogger logger, string name);
}
