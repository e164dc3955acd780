using Microsoft.Extensions.DependencyInjection;

namespace ReliabilityToolkit.Orleans.Http;

/// <summary>Breakers of the cluster for clients of HttpClientFactory.</summary>
public static class HttpClientBuilderExtensions
{
    /// <summary>
    /// Puts a breaker of the cluster in front of each host that the client calls: that of the policy, with host and port as key. A call that is not
    /// made throws <see cref="CircuitOpenException"/>; after a 429 or 503 with Retry-After, this node leaves the host in peace for as long.
    /// </summary>
    /// <param name="builder">Of the client.</param>
    /// <param name="policy">Of the silos.</param>
    /// <param name="configure">Sets what differs from the defaults.</param>
    /// <exception cref="ArgumentException">An option is out of its range.</exception>
    public static IHttpClientBuilder AddClusterCircuitBreaker(
        this IHttpClientBuilder builder, string policy, Action<ClusterCircuitBreakerHandlerOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(policy);
        var options = new ClusterCircuitBreakerHandlerOptions();
        configure?.Invoke(options);
        options.Check();
        HeldBackHosts? heldBack = null;
        return builder.AddHttpMessageHandler(services => new ClusterCircuitBreakerHandler(
            services.GetRequiredService<IReliabilityToolkit>(),
            policy,
            options,
            LazyInitializer.EnsureInitialized(ref heldBack, () => new HeldBackHosts(services.GetService<TimeProvider>() ?? TimeProvider.System))));
    }
}
