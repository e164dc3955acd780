using Microsoft.Extensions.Logging;
using Orleans.Concurrency;

namespace ReliabilityToolkit.Orleans;

/// <summary>The shell around <see cref="Circuit"/>. Reentrant: the machine is synchronous, and only obedience is awaited.</summary>
[GrainType("rt.breaker"), Reentrant]
internal sealed partial class CircuitBreakerGrain(NodeClock clock, PolicySource source, Chance chance, ILogger<CircuitBreakerGrain> logger)
    : AuthorityGrain<CircuitBreakerPolicy, Circuit, Obedience>(clock, source, chance, logger), ICircuitBreakerGrain, ICircuitBreakerProtocol
{
    private readonly ILogger _logger = logger;
    private TaskCompletionSource? _isObeyed;

    public ValueTask<CircuitPass> EnterAsync() => new(Do(0, static (circuit, _, now) => circuit.Enter(now)));

    public ValueTask ReportAsync(CircuitPass pass, CircuitOutcome outcome)
    {
        Do(
            new CircuitNews(pass.Generation, pass.Trial, outcome, 1),
            static (circuit, news, now) => circuit.Report(news, now),
            outlivesPolicy: true);
        return default;
    }

    public ValueTask<KillSwitchResult> TripAsync(string? reason) => ThrowAsync(CircuitCommand.Trip, reason);

    public ValueTask<KillSwitchResult> IsolateAsync(string? reason) => ThrowAsync(CircuitCommand.Isolate, reason);

    public async ValueTask ResetAsync(string? reason) => await ThrowAsync(CircuitCommand.Reset, reason);

    public ValueTask<CircuitBreakerStatus> GetStatusAsync() => new(Do(0, static (circuit, _, now) => circuit.Describe(now)));

    ValueTask<VerdictGrant> ICircuitBreakerProtocol.RenewAsync(VerdictRequest request, CancellationToken cancellationToken) =>
        new(Do(request, static (circuit, request, now) => circuit.Renew(request, now), outlivesPolicy: true));

    ValueTask<Obedience> ICircuitBreakerProtocol.CommandAsync(CircuitOrder order, CancellationToken cancellationToken) =>
        ObeyAsync(order, cancellationToken);

    ValueTask<CircuitBreakerStatus> ICircuitBreakerProtocol.GetStatusAsync(CancellationToken cancellationToken) => GetStatusAsync();

    protected override CircuitBreakerPolicy Find(PolicySet policies, string policyName) => policies.CircuitBreaker(policyName);

    protected override Circuit Create(CircuitBreakerPolicy policy, Instant now, long epoch) => new(policy, now, epoch);

    /// <inheritdoc/>
    protected override void Conclude(Circuit machine, Instant now)
    {
        base.Conclude(machine, now);
        if (machine.HasSuccessor)
            DeactivateOnIdle(); // where it was the clock of another silo that was ahead, a new one has a higher epoch by and by
        var (epoch, version) = machine.Shown;
        foreach (var holder in machine.TakeHints(now))
            Hint(holder, epoch, version);
        if (_isObeyed is { } waiting && !machine.IsAwaitingObedience(now))
        {
            _isObeyed = null;
            waiting.SetResult();
        }
    }

    private async ValueTask<KillSwitchResult> ThrowAsync(CircuitCommand command, string? reason)
    {
        var obedience = await ObeyAsync(new CircuitOrder(NewAnonymousId(), command, reason, LeaseTerm.OfVerdict * 2), default);
        return new KillSwitchResult(obedience.Acknowledged, obedience.RanOut);
    }

    // Until all nodes obey, or the asker would rather ask again. Each node's word wakes it.
    private async ValueTask<Obedience> ObeyAsync(CircuitOrder order, CancellationToken cancellationToken)
    {
        var holdUntil = Clock.Now + order.Hold;
        while (true)
        {
            var obedience = DoOnce(order.Id, order, static (circuit, order, now) => circuit.Obey(order, now));
            var left = holdUntil.After(Clock.Now);
            if (!obedience.IsGiven || obedience.IsObeyed || left == TimeSpan.Zero)
                return obedience;
            var isObeyed = (_isObeyed ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            await Task.WhenAny(isObeyed, Clock.WaitAsync(obedience.ObeyedAfter < left ? obedience.ObeyedAfter : left, over.Token));
            await over.CancelAsync();
            cancellationToken.ThrowIfCancellationRequested();
        }
    }

    // A hint that gets lost costs time, and nothing else.
    private void Hint(VerdictHolders.Holder holder, long epoch, long version)
    {
        try
        {
            holder.Observer!.Changed(holder.Borrower.Channel, epoch, version, 0);
        }
        catch (Exception e)
        {
            LogNoHint(_logger, Name, e);
        }
    }

    [LoggerMessage(EventId = 2, Level = LogLevel.Debug, Message = "A node could not be told at once that {Name} has changed.")]
    private static partial void LogNoHint(ILogger logger, string name, Exception exception);
}
