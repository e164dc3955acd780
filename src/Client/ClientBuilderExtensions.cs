using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace ReliabilityToolkit.Orleans;

/// <summary>Adds the toolkit to a process outside the cluster.</summary>
public static class ClientBuilderExtensions
{
    /// <summary>Registers <see cref="IReliabilityToolkit"/>. In a silo it is there already, by the silo's <c>AddReliabilityToolkit</c>.</summary>
    /// <param name="client">The Orleans client to talk through.</param>
    /// <param name="configure">Sets what differs from the defaults.</param>
    public static IClientBuilder AddReliabilityToolkit(this IClientBuilder client, Action<ReliabilityToolkitClientOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(client);
        if (configure is not null)
            client.Services.Configure(configure);
        client.Services.AddReliabilityToolkitClient<IClusterClientLifecycle>();
        return client;
    }

    internal static IServiceCollection AddReliabilityToolkitClient<TLifecycle>(this IServiceCollection services)
        where TLifecycle : ILifecycleObservable
    {
        services.AddLogging();
        services.AddOptions<ReliabilityToolkitClientOptions>().ValidateOnStart();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<ReliabilityToolkitClientOptions>, ClientOptionsCheck>());
        services.TryAddEnumerable(ServiceDescriptor.Singleton<ILifecycleParticipant<TLifecycle>, NodeEnding<TLifecycle>>());
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton(new Chance(Random.Shared));
        services.TryAddSingleton<NodeClock>();
        services.TryAddSingleton(static provider => new NodeMeter(provider.GetService<IMeterFactory>()));
        services.TryAddSingleton<IReliabilityToolkit>(static provider => provider.GetRequiredService<NodeToolkit>());
        services.TryAddSingleton(static provider => new NodeToolkit(
            provider.GetRequiredService<IGrainFactory>(),
            provider.GetRequiredService<NodeClock>(),
            provider.GetRequiredService<Chance>(),
            Guid.NewGuid(),
            provider.GetRequiredService<IOptions<ReliabilityToolkitClientOptions>>().Value,
            provider.GetRequiredService<ILogger<NodeToolkit>>(),
            provider.GetRequiredService<NodeMeter>()));
        return services;
    }

    private sealed class ClientOptionsCheck : IValidateOptions<ReliabilityToolkitClientOptions>
    {
        public ValidateOptionsResult Validate(string? name, ReliabilityToolkitClientOptions options) =>
            options.Validate() is { Count: > 0 } faults ? ValidateOptionsResult.Fail(faults) : ValidateOptionsResult.Success;
    }
}
