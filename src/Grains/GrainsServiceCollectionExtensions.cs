using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Orleans.Serialization;
using Orleans.Storage;

namespace ReliabilityToolkit.Orleans;

/// <summary>What the authority grains need of a silo.</summary>
internal static class GrainsServiceCollectionExtensions
{
    public static IServiceCollection AddReliabilityToolkitGrains(this IServiceCollection services)
    {
        services.AddOptions();
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton(new Chance(Random.Shared));
        services.TryAddSingleton<NodeClock>();
        services.TryAddSingleton(static services => new PolicySource(
            services.GetRequiredService<IOptionsMonitor<ReliabilityToolkitPolicies>>(),
            services.GetRequiredService<ILogger<PolicySource>>(),
            services.GetKeyedService<IGrainStorage>(RecordStore.Name) is not null));
        services.TryAddSingleton<Departures>();
        services.TryAddSingleton(static services => new RecordStore(
            services.GetRequiredService<NodeClock>(),
            services.GetRequiredService<Serializer>(),
            services.GetKeyedService<IGrainStorage>(RecordStore.Name),
            services.GetRequiredService<AuthorityMeter>()));
        services.TryAddSingleton(static services => new AuthorityMeter(services.GetService<IMeterFactory>()));
        services.TryAddSingleton<CircuitAudit>();
        services.TryAddSingleton<AuthoritySurroundings>();

        // The policies are read before the silo joins: one with faults does not start.
        services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>, Beginning>();
        return services;
    }

    private sealed class Beginning(IServiceProvider services) : ILifecycleParticipant<ISiloLifecycle>
    {
        public void Participate(ISiloLifecycle lifecycle)
        {
            lifecycle.Subscribe<PolicySource>(ServiceLifecycleStage.First, _ =>
            {
                services.GetRequiredService<PolicySource>();
                return Task.CompletedTask;
            });
            lifecycle.Subscribe<Departures>(ServiceLifecycleStage.RuntimeInitialize, _ =>
            {
                services.GetRequiredService<ISiloStatusOracle>().SubscribeToSiloStatusEvents(services.GetRequiredService<Departures>());
                return Task.CompletedTask;
            });
        }
    }
}
