using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans;

/// <summary>Makes what a node has of each limiter, breaker and bulkhead, and keeps it: once per name, for as long as anybody points to it.</summary>
internal sealed partial class NodeToolkit : IReliabilityToolkit
{
    private readonly InstanceCache<RateLimiterNode> _rateLimiters;
    private readonly InstanceCache<CircuitBreakerNode> _circuitBreakers;
    private readonly InstanceCache<BulkheadNode> _bulkheads;
    private readonly IGrainFactory _grains;
    private readonly AuthorityCaller _caller;
    private readonly NodeObserver _observer;
    private readonly Guid _node;
    private int _channels;

    public NodeToolkit(
        IGrainFactory grains,
        NodeClock clock,
        Chance chance,
        Guid node,
        ReliabilityToolkitClientOptions options,
        ILogger<NodeToolkit> logger,
        NodeMeter meter)
    {
        (_grains, _node) = (grains, node);
        _caller = new AuthorityCaller(clock, chance, options.CallTimeout, logger, meter);
        var timer = new RenewalTimer(clock);
        _rateLimiters = new(options.MaxCachedInstances, name => new RateLimiterNode(
            Begin<IRateLimiterProtocol>(name), timer, options.WhenUnavailable.TryGetValue(name.Policy, out var choice) ? choice : default), LetGo);
        _observer = new NodeObserver(Refer, grains.DeleteObjectReference<INodeObserver>);
        _circuitBreakers = new(options.MaxCachedInstances, name => new CircuitBreakerNode(
            Begin<ICircuitBreakerProtocol>(name),
            timer,
            _observer,
            options.IsFailure.TryGetValue(name.Policy, out var isFailure) ? isFailure : null,
            options.CircuitFallback.TryGetValue(name.Policy, out var fallback) ? fallback : default,
            options.NodeName));
        _bulkheads = new(
            options.MaxCachedInstances,
            name => new BulkheadNode(Begin<IBulkheadProtocol>(name), timer, _observer, options.NodeName),
            LetGo);
        OfferLevels(meter);
    }

    public ClusterRateLimiter GetRateLimiter(string policy, string? key = null) => _rateLimiters.Get(policy, key).Limiter;

    public ClusterCircuitBreaker GetCircuitBreaker(string policy, string? key = null) => _circuitBreakers.Get(policy, key).Breaker;

    public ClusterBulkhead GetBulkhead(string policy, string? key = null) => _bulkheads.Get(policy, key).Bulkhead;

    /// <summary>Gives back what the node holds, while it can still be said; what cannot runs out by itself.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        _observer.Release();
        var limiters = _rateLimiters.Alive.Select(static limiter => limiter.LetGoAsync());
        var bulkheads = _bulkheads.Alive.Select(static bulkhead => bulkhead.LetGoAsync());
        try
        {
            await Task.WhenAll([.. limiters, .. bulkheads]).WaitAsync(_caller.Timeout, _caller.Clock.Time, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            LogKept(_caller.Logger, e);
        }
    }

    private void OfferLevels(NodeMeter meter)
    {
        meter.Offer("limiter.waiting", "{caller}", "Callers who wait on this node.", Limiters, static limiter => limiter.Levels.Waiting);
        meter.Offer("limiter.tokens.held", "{token}", "Tokens at hand.", Limiters, static limiter => limiter.Levels.Tokens);
        meter.Offer("limiter.demand", "{token}/s", "What callers here ask for.", Limiters, static limiter => limiter.Levels.Demand);
        meter.Offer(
            "limiter.fair_rate", "{token}/s", "What is this node's due, as it last heard.", Limiters, static limiter => limiter.Levels.FairRate);
        meter.Offer(
            "breaker.open",
            "{breaker}",
            "Breakers that are not closed.",
            Breakers,
            static breaker => breaker.Levels.State == CircuitState.Closed ? 0 : 1);
        meter.Offer("breaker.shed_share", "1", "The largest share of calls that is shed.", Breakers, static breaker => breaker.Levels.Shed, Math.Max);
        meter.Offer("bulkhead.waiting", "{caller}", "Callers who wait on this node.", Bulkheads, static bulkhead => bulkhead.Levels.Waiting);
        meter.Offer("bulkhead.slots.held", "{slot}", "Slots that this node holds.", Bulkheads, static bulkhead => bulkhead.Levels.Held);
        meter.Offer("bulkhead.permits.in_use", "{slot}", "Of these, in the hands of callers.", Bulkheads, static bulkhead => bulkhead.Levels.InUse);

        IEnumerable<(string, RateLimiterNode)> Limiters() => _rateLimiters.Alive.Select(static limiter => (limiter.Policy, limiter));
        IEnumerable<(string, CircuitBreakerNode)> Breakers() => _circuitBreakers.Alive.Select(static breaker => (breaker.Policy, breaker));
        IEnumerable<(string, BulkheadNode)> Bulkheads() => _bulkheads.Alive.Select(static bulkhead => (bulkhead.Resource.Policy, bulkhead));
    }

    // Without it the node hears of changes when it asks.
    private INodeObserver? Refer(INodeObserver observer)
    {
        try
        {
            return _grains.CreateObjectReference<INodeObserver>(observer);
        }
        catch (Exception e)
        {
            LogDeaf(_caller.Logger, e);
            return null;
        }
    }

    // One in which callers wait is in use.
    private static void LetGo(RateLimiterNode limiter)
    {
        if (limiter.IdleFor is not null)
            _ = limiter.LetGoAsync();
    }

    // What is in use, goes on.
    private static void LetGo(BulkheadNode bulkhead) => _ = bulkhead.LetGoAsync();

    // A channel of its own: one that was let go and made anew is told apart from the one before.
    private Conversation<TAuthority> Begin<TAuthority>(ResourceName name)
        where TAuthority : IGrainWithStringKey =>
        new(name, _grains.GetGrain<TAuthority>(name.ToString()), _caller, new RequestChannel(_node, Interlocked.Increment(ref _channels)));

    [LoggerMessage(EventId = 105, Level = LogLevel.Information, Message = "Not all that the node held could be given back before it stopped.")]
    private static partial void LogKept(ILogger logger, Exception exception);

    [LoggerMessage(EventId = 110, Level = LogLevel.Debug, Message = "The authorities cannot reach this node yet.")]
    private static partial void LogDeaf(ILogger logger, Exception exception);
}
