using ReliabilityToolkit.Orleans;

namespace SiloHost;

/// <summary>An order's way to the downstream, past everything that protects it.</summary>
internal sealed class OrderPipeline(IReliabilityToolkit toolkit, SimulatedDownstream downstream)
{
    // Only what the downstream did wrong is worth another attempt here: a refusal goes back to the caller, who is told when to come again.
    private readonly Retry _retry = new(new RetryOptions { MaxAttempts = 3, RetryIf = e => e is DownstreamException });

    public ValueTask<Receipt> PlaceAsync(string tenant, CancellationToken cancellationToken)
    {
        var limiter = toolkit.GetRateLimiter("tenant", tenant);
        var bulkhead = toolkit.GetBulkhead("database");
        var breaker = toolkit.GetCircuitBreaker("payments");
        var attempts = 0;

        return _retry.RunAsync(
            async ct =>
            {
                attempts++;
                using var admitted = (await limiter.TryAcquireAsync(cancellationToken: ct)).EnsureAcquired();
                using var permit = (await bulkhead.TryAcquireAsync(cancellationToken: ct)).EnsureAcquired();
                using var held = CancellationTokenSource.CreateLinkedTokenSource(ct, permit.Lost); // a lost slot may be somebody else's
                var took = await breaker.CallAsync(downstream.CallAsync, held.Token);
                return new Receipt(tenant, attempts, took.TotalMilliseconds);
            },
            cancellationToken);
    }
}

/// <summary>What the caller gets for an order that went through.</summary>
/// <param name="Tenant">Who ordered.</param>
/// <param name="Attempts">How many it took, the last included.</param>
/// <param name="DownstreamMs">How long the last one was at the downstream.</param>
internal sealed record Receipt(string Tenant, int Attempts, double DownstreamMs);
