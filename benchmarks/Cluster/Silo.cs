using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>A cluster of one silo in this process, with policies so large that nothing is ever refused, but for one.</summary>
internal sealed class Silo : IAsyncDisposable
{
    public const string Policy = "hot";

    /// <summary>Of the bulkhead of that name.</summary>
    public const int Slots = 1_000_000;

    /// <summary>One of <see cref="Callers.Grains"/>: asked a few times a second, it is not lent in parts, and every token is a call.</summary>
    public const string Exact = "exact";

    /// <summary>A limiter that admits 10,000 per second.</summary>
    public const string Rationed = "rationed";

    /// <summary>One that two drivers share: 100,000 per second.</summary>
    public const string Shared = "shared";

    /// <summary>One of ten thousand tenants.</summary>
    public const string Tenant = "tenant";

    private readonly IHost _host;

    private Silo(IHost host, int siloPort, int gatewayPort)
    {
        _host = host;
        (SiloPort, GatewayPort) = (siloPort, gatewayPort);
    }

    public int SiloPort { get; }

    public int GatewayPort { get; }

    public IGrainFactory Grains => _host.Services.GetRequiredService<IGrainFactory>();

    public IReliabilityToolkit Toolkit => _host.Services.GetRequiredService<IReliabilityToolkit>();

    /// <summary>A bulkhead of 1 or 4 slots.</summary>
    public static string PolicyOfSlots(int slots) => $"slots-{slots}";

    public static async Task<Silo> StartAsync(int maxCachedInstances = 100_000, int? joins = null)
    {
        var (siloPort, gatewayPort) = FreePorts();
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Logging.AddFilter("Orleans", LogLevel.None);
        builder.UseOrleans(silo => silo
            .UseLocalhostClustering(siloPort, gatewayPort, joins is { } primary ? new IPEndPoint(IPAddress.Loopback, primary) : null)
            .AddReliabilityToolkit(toolkit => toolkit
                .AddRateLimiter(Policy, policy => (policy.TokensPerPeriod, policy.Burst) = (1_000_000_000, 1_000_000_000))
                .AddRateLimiter(Exact, policy => (policy.TokensPerPeriod, policy.Burst) = (1_000, 1_000))
                .AddRateLimiter(Rationed, policy => (policy.TokensPerPeriod, policy.Burst) = (10_000, 1_000))
                .AddRateLimiter(Shared, policy => (policy.TokensPerPeriod, policy.Burst) = (100_000, 10_000))
                .AddRateLimiter(Tenant, policy => (policy.TokensPerPeriod, policy.Burst) = (50, 100))
                .AddCircuitBreaker(Policy)
                .AddBulkhead(PolicyOfSlots(1), policy => policy.Capacity = 1)
                .AddBulkhead(PolicyOfSlots(4), policy => policy.Capacity = 4)
                .AddBulkhead(Policy, policy => policy.Capacity = Slots)));
        builder.Services.Configure<ReliabilityToolkitClientOptions>(options => options.MaxCachedInstances = maxCachedInstances);
        var host = builder.Build();
        await host.StartAsync();
        return new Silo(host, siloPort, gatewayPort);
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
    }

    // Both are held until both are known, so that they differ.
    private static (int Silo, int Gateway) FreePorts()
    {
        using var one = new TcpListener(IPAddress.Loopback, 0);
        using var other = new TcpListener(IPAddress.Loopback, 0);
        one.Start();
        other.Start();
        return (((IPEndPoint)one.LocalEndpoint).Port, ((IPEndPoint)other.LocalEndpoint).Port);
    }
}
