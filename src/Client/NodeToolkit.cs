namespace ReliabilityToolkit.Orleans;

/// <summary>Makes the client objects and keeps them: each has its own numbering of requests, so one that was let go and made anew is told apart from the one before.</summary>
internal sealed class NodeToolkit : IReliabilityToolkit
{
    private readonly InstanceCache<ClusterRateLimiter> _rateLimiters;
    private readonly InstanceCache<ClusterCircuitBreaker> _circuitBreakers;
    private readonly InstanceCache<ClusterBulkhead> _bulkheads;
    private readonly Guid _node;
    private int _channels;

    public NodeToolkit(IGrainFactory grains, NodeClock clock, Random random, Guid node, ReliabilityToolkitClientOptions options)
    {
        _node = node;
        var caller = new AuthorityCaller(clock, random, options.CallTimeout);
        _rateLimiters = new(options.MaxCachedInstances, name =>
            new ClusterRateLimiter(name.ToString(), grains.GetGrain<IRateLimiterProtocol>(name.ToString()), caller, NewChannel(), clock));
        _circuitBreakers = new(options.MaxCachedInstances, name =>
            new ClusterCircuitBreaker(name.ToString(), grains.GetGrain<ICircuitBreakerProtocol>(name.ToString()), caller, NewChannel(), options.IsFailure.TryGetValue(name.Policy, out var isFailure) ? isFailure : null));
        _bulkheads = new(options.MaxCachedInstances, name =>
            new ClusterBulkhead(name.ToString(), grains.GetGrain<IBulkheadProtocol>(name.ToString()), caller, NewChannel(), clock));
    }

    public ClusterRateLimiter GetRateLimiter(string policy, string? key = null) => _rateLimiters.Get(policy, key);

    public ClusterCircuitBreaker GetCircuitBreaker(string policy, string? key = null) => _circuitBreakers.Get(policy, key);

    public ClusterBulkhead GetBulkhead(string policy, string? key = null) => _bulkheads.Get(policy, key);

    private RequestChannel NewChannel() => new(_node, Interlocked.Increment(ref _channels));
}
