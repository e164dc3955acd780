using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Core.Internal;
using Orleans.TestingHost;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>Three silos and an outside client over TCP on loopback, in this process. Started once; each test takes keys of its own.</summary>
public sealed class ToolkitCluster : IAsyncLifetime
{
    /// <summary>
    /// How long calls may take: other tests compute on all cores, and processes are started beside it: one was once without an answer for more than
    /// a second.
    /// </summary>
    public static readonly TimeSpan OnALoadedMachine = TimeSpan.FromSeconds(3);

    private static int _lastKey;

    private TestCluster _cluster = null!;

    /// <summary>What the silos read of policies that a test changes while they run.</summary>
    public static LiveConfiguration LivePolicies { get; } = new();

    /// <summary>The toolkit of each silo, and the outside client's.</summary>
    public IReadOnlyList<IReliabilityToolkit> Nodes { get; private set; } = [];

    public IReliabilityToolkit Outside => Nodes[^1];

    public IServiceProvider OutsideServices => _cluster.Client.ServiceProvider;

    public IGrainFactory Grains => _cluster.Client;

    /// <summary>What a client in another process must know: cluster, service, and the port of a gateway.</summary>
    public IEnumerable<string> OfAnOutsider =>
        [_cluster.Options.ClusterId, _cluster.Options.ServiceId, $"{_cluster.Silos[0].GatewayAddress.Endpoint.Port}"];

    public static string NewKey() => $"key-{Interlocked.Increment(ref _lastKey)}";

    public async Task InitializeAsync()
    {
        LivePolicies.Change("Bulkheads:growing:Capacity", "1");
        LivePolicies.Change("Bulkheads:going:Capacity", "1");
        LivePolicies.Change("CircuitBreakers:live:FailureThreshold", "1");
        var builder = new TestClusterBuilder(3);
        builder.Options.ConnectionTransport = ConnectionTransportType.TcpSocket;
        builder.AddSiloBuilderConfigurator<SiloSetup>();
        builder.AddClientBuilderConfigurator<ClientSetup>();
        _cluster = builder.Build();
        await _cluster.DeployAsync();
        Nodes =
        [
            .. _cluster.Silos.Cast<InProcessSiloHandle>().Select(silo => silo.SiloHost.Services.GetRequiredService<IReliabilityToolkit>()),
            _cluster.Client.ServiceProvider.GetRequiredService<IReliabilityToolkit>(),
        ];
    }

    public async Task DisposeAsync() => await _cluster.DisposeAsync();

    /// <summary>Collects every activation that is idle and need not be kept, as Orleans does by itself after a while.</summary>
    public Task CollectIdleAsync() => Grains.GetGrain<IManagementGrain>(0).ForceActivationCollection(TimeSpan.Zero);

    /// <summary>Whether the grain is in memory. Asked of the silos themselves: their directory's cache may remember one that has gone.</summary>
    public async Task<bool> IsActiveAsync(IAddressable grain)
    {
        var active = await Grains.GetGrain<IManagementGrain>(0).GetDetailedGrainStatistics();
        return active.Any(one => one.GrainId == grain.GetGrainId());
    }

    /// <summary>Ends the grain's activation; the next call begins another, which knows nothing of it.</summary>
    public static ValueTask ForgetAsync(IAddressable grain) => grain.AsReference<IGrainManagementExtension>().DeactivateOnIdle();

    /// <summary>Asks again until it is so; the asking itself lets time pass.</summary>
    public static async Task EventuallyAsync(Func<Task<bool>> isSo, string phase)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        while (!await isSo())
        {
            if (patience.IsCancellationRequested)
                throw new TimeoutException($"Not within 20 s: {phase}.");
            await Task.Yield();
        }
    }

    private sealed class SiloSetup : ISiloConfigurator
    {
        public void Configure(ISiloBuilder siloBuilder) => siloBuilder.AddReliabilityToolkitCallGuards().AddReliabilityToolkit(toolkit => toolkit
            .AddRateLimiter("fifty", policy => (policy.Burst, policy.TokensPerPeriod, policy.Period) = (50, 1, TimeSpan.FromHours(1)))
            .AddRateLimiter(
                "one", policy => (policy.Burst, policy.TokensPerPeriod, policy.Period, policy.QueueLimit) = (1, 1, TimeSpan.FromHours(1), 2))
            .AddRateLimiter("quick", policy => (policy.Burst, policy.TokensPerPeriod, policy.Period) = (1, 50, TimeSpan.FromSeconds(1)))
            .AddRateLimiter("wide", policy => (policy.Burst, policy.TokensPerPeriod) = (10_000, 10_000))
            .AddRateLimiter("pair", policy => (policy.Burst, policy.TokensPerPeriod, policy.Period) = (2, 2, TimeSpan.FromHours(1)))
            .AddCircuitBreaker("five", policy => policy.CoolDown = TimeSpan.FromHours(1))
            .AddCircuitBreaker("short", policy => (policy.CoolDown, policy.HalfOpenMaxCalls) = (TimeSpan.FromMilliseconds(200), 2))
            .AddCircuitBreaker("picky", policy => policy.FailureThreshold = 1)
            .AddCircuitBreaker("two", policy => (policy.FailureThreshold, policy.CoolDown) = (2, TimeSpan.FromHours(1)))
            .AddBulkhead("single", policy => policy.Capacity = 1)
            .AddBulkhead("triple", policy => policy.Capacity = 3)
            .AddBulkhead("brief", policy => (policy.Capacity, policy.Lease) = (1, TimeSpan.FromSeconds(2)))
            .Bind(LivePolicies.Root)
            .AddBulkhead("narrow", policy => (policy.Capacity, policy.QueueLimit) = (1, 1)))
            .Services.Configure<ReliabilityToolkitClientOptions>(options =>
                (options.IsFailure["picky"], options.CallTimeout) = (e => e is not KeyNotFoundException, OnALoadedMachine));
    }

    private sealed class ClientSetup : IClientBuilderConfigurator
    {
        public void Configure(IConfiguration configuration, IClientBuilder clientBuilder) =>
            clientBuilder.AddReliabilityToolkit(options => options.CallTimeout = OnALoadedMachine);
    }
}

/// <summary>Settings that change, come and go while the silos run.</summary>
public sealed class LiveConfiguration : ConfigurationProvider, IConfigurationSource
{
    public LiveConfiguration() => Root = new ConfigurationBuilder().Add(this).Build();

    public IConfigurationRoot Root { get; }

    /// <summary>Sets it, or takes it out where there is no value, and tells everybody.</summary>
    public void Change(string setting, string? value)
    {
        if (value is null)
            Data.Remove(setting);
        else
            Data[setting] = value;
        OnReload();
    }

    public IConfigurationProvider Build(IConfigurationBuilder builder) => this;
}

[CollectionDefinition(Name)]
public sealed class ClusterTests : ICollectionFixture<ToolkitCluster>
{
    public const string Name = "cluster";
}
