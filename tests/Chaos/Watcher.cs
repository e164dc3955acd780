using Microsoft.Extensions.DependencyInjection;
using SiloHost;

namespace ReliabilityToolkit.Orleans.Chaos;

/// <summary>A client that knows where a limiter lives.</summary>
internal sealed class Watcher(ClusterStore store) : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private IHost? _host;

    public async Task StartAsync()
    {
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.UseOrleansClient(client => Node.Outside(client, store, Node.GatewaysRefreshedEvery));
        _host = builder.Build();
        await _host.StartAsync();
    }

    /// <summary>The port of the silo that has it; null where nobody answers in time.</summary>
    public async Task<int?> FindOwnerAsync(string limiter)
    {
        var grains = _host!.Services.GetRequiredService<IGrainFactory>();
        var grain = grains.GetGrain<IRateLimiterGrain>(limiter).GetGrainId();
        try
        {
            var active = await grains.GetGrain<IManagementGrain>(0).GetDetailedGrainStatistics().WaitAsync(Patience);
            return active.FirstOrDefault(one => one.GrainId == grain)?.SiloAddress.Endpoint.Port;
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return null;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_host is null)
            return;
        await _host.StopAsync();
        _host.Dispose();
    }
}
