using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>A client outside the cluster, connected to a gateway over loopback TCP.</summary>
internal sealed class RemoteClient : IAsyncDisposable
{
    private readonly IHost _host;

    private RemoteClient(IHost host) => _host = host;

    public IGrainFactory Grains => _host.Services.GetRequiredService<IGrainFactory>();

    public IReliabilityToolkit Toolkit => _host.Services.GetRequiredService<IReliabilityToolkit>();

    public static async Task<RemoteClient> ConnectAsync(int gatewayPort)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Logging.AddFilter("Orleans", LogLevel.None);
        builder.UseOrleansClient(client => client
            .UseLocalhostClustering(gatewayPort)
            .AddReliabilityToolkit(options => options.MaxCachedInstances = 100_000));
        var host = builder.Build();
        await host.StartAsync();
        return new RemoteClient(host);
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
    }
}
