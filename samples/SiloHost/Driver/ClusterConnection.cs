using System.Diagnostics;
using ReliabilityToolkit.Orleans;

namespace SiloHost;

/// <summary>A real Orleans client: a process outside the cluster that knows nothing but gateway ports, or the store that knows them.</summary>
internal static class ClusterConnection
{
    private static readonly TimeSpan RetryFor = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RetryAfter = TimeSpan.FromMilliseconds(500);

    public static IHost Build(IReadOnlyList<int> gateways, ClusterStore? store = null)
    {
        var startedAt = Stopwatch.GetTimestamp();
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.UseOrleansClient(client => (store is null ? client.UseLocalhostClustering([.. gateways]) : store.Configured(client))
            .UseConnectionRetryFilter(async (_, token) =>
            {
                await Task.Delay(RetryAfter, token);
                return Stopwatch.GetElapsedTime(startedAt) < RetryFor;
            })
            .AddReliabilityToolkit());
        return builder.Build();
    }
}
