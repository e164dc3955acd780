using Garnet;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Orleans.TestingHost;
using ReliabilityToolkit.Orleans.Servers;
using StackExchange.Redis;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A kind of storage, and two silos over it.</summary>
public sealed class StorageEngine : IAsyncDisposable
{
    /// <summary>Set to "required", where a server that is missing is a failure and no reason to skip.</summary>
    public const string Required = "RELIABILITY_TOOLKIT_SERVERS";

    private static readonly string[] Engines = ["memory", "garnet", "redis", "postgres"];

    private readonly List<object> _servers = [];

    public required InProcessTestCluster Cluster { get; init; }

    /// <summary>How many states the storage has; null: nobody can tell.</summary>
    public required Func<Task<long>>? CountRows { get; init; }

    public IClusterClient Outside => Cluster.Client;

    internal RecordStore Store(int silo) => Cluster.Silos[silo].ServiceProvider.GetRequiredService<RecordStore>();

    /// <summary>Those that are there: in the process, on this machine, or where the environment says.</summary>
    public static IEnumerable<string> There =>
        Engines.Where(static engine => WhyMissing(engine) is null);

    public static string? WhyMissing(string engine) => Given(engine) is not null ? null : engine switch
    {
        "redis" => RedisServer.WhyMissing,
        "postgres" => PostgresServer.WhyMissing,
        _ => null,
    };

    public static async Task<StorageEngine> StartAsync(string engine)
    {
        switch (engine)
        {
            case "garnet":
                var port = ServerPort();
                var garnet = new GarnetServer(
                    ["--port", $"{port}", "--bind", "127.0.0.1", "--lua", "true", "--memory", "64m", "--index", "8m", "-q"]);
                garnet.Start();
                return await OverRedisAsync($"127.0.0.1:{port}", garnet);
            case "redis" when Given(engine) is { } given:
                return await OverRedisAsync(given);
            case "redis":
                var redis = await RedisServer.StartAsync();
                return await OverRedisAsync(redis.Connection, redis);
            case "postgres" when Given(engine) is { } given:
                await PostgresServer.ApplySchemaAsync(given);
                return await OverPostgresAsync(given);
            case "postgres":
                var postgres = await PostgresServer.StartAsync();
                return await OverPostgresAsync(postgres.Connection, postgres);
            default:
                return new StorageEngine
                {
                    Cluster = await ClusterAsync(static silo => silo.AddMemoryGrainStorage(RecordStore.Name)),
                    CountRows = null,
                };
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Cluster.DisposeAsync();
        foreach (var server in _servers)
        {
            if (server is IAsyncDisposable asynchronous)
                await asynchronous.DisposeAsync();
            else
                ((IDisposable)server).Dispose();
        }
    }

    private static string? Given(string engine) => Environment.GetEnvironmentVariable($"RELIABILITY_TOOLKIT_{engine.ToUpperInvariant()}");

    private static int ServerPort()
    {
        using var listener = new System.Net.Sockets.TcpListener(System.Net.IPAddress.Loopback, 0);
        listener.Start();
        return ((System.Net.IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static async Task<StorageEngine> OverRedisAsync(string connection, params object[] servers)
    {
        var redis = await ConnectionMultiplexer.ConnectAsync(connection + ",asyncTimeout=30000");

        // An embedded server's first takes seconds.
        await redis.GetDatabase().ScriptEvaluateAsync("return redis.call('HGET', KEYS[1], 'etag')", ["warm"]);
        var engine = new StorageEngine
        {
            Cluster = await ClusterAsync(silo => silo.AddRedisGrainStorage(RecordStore.Name, options =>
                (options.ConfigurationOptions, options.DeleteStateOnClear) = (ConfigurationOptions.Parse(connection), true))),
            CountRows = async () => await redis.GetServers()[0].KeysAsync(pattern: "*rt:*").CountAsync(),
        };
        engine._servers.Add(redis);
        engine._servers.AddRange(servers);
        return engine;
    }

    private static async Task<StorageEngine> OverPostgresAsync(string connection, params object[] servers)
    {
        var source = NpgsqlDataSource.Create(connection);
        var engine = new StorageEngine
        {
            Cluster = await ClusterAsync(silo => silo.AddAdoNetGrainStorage(RecordStore.Name, options =>
                (options.Invariant, options.ConnectionString, options.DeleteStateOnClear) = ("Npgsql", connection, true))),
            CountRows = async () =>
            {
                await using var count = source.CreateCommand("SELECT count(*) FROM orleans_state");
                return (long)(await count.ExecuteScalarAsync())!;
            },
        };
        engine._servers.Add(source);
        engine._servers.AddRange(servers);
        return engine;
    }

    private static async Task<InProcessTestCluster> ClusterAsync(Action<ISiloBuilder> addStorage)
    {
        var builder = new InProcessTestClusterBuilder(2);
        builder.Options.ConfigureFileLogging = false;
        builder.ConfigureSilo((_, silo) =>
        {
            addStorage(silo);
            silo.AddReliabilityToolkit(toolkit => toolkit
                .AddRateLimiter("slow", policy => (policy.Burst, policy.TokensPerPeriod, policy.Period) = (100, 1, TimeSpan.FromHours(1)))
                .AddRateLimiter("quick", policy => (policy.Burst, policy.TokensPerPeriod) = (1_000, 1_000))
                .AddRateLimiter("42", policy => (policy.Burst, policy.TokensPerPeriod, policy.Period) = (1, 1, TimeSpan.FromHours(1)))
                .AddRateLimiter("042", policy => (policy.Burst, policy.TokensPerPeriod, policy.Period) = (1, 1, TimeSpan.FromHours(1)))
                .AddCircuitBreaker("breaker", policy => policy.CoolDown = TimeSpan.FromHours(1))
                .AddBulkhead("pool", policy => (policy.Capacity, policy.Lease) = (2, TimeSpan.FromSeconds(10))));
            silo.Services.Configure<ReliabilityToolkitClientOptions>(options => options.CallTimeout = ToolkitCluster.OnALoadedMachine);
        });
        builder.ConfigureClient(client => client.AddReliabilityToolkit(options => options.CallTimeout = ToolkitCluster.OnALoadedMachine));
        var cluster = builder.Build();
        await cluster.DeployAsync();
        return cluster;
    }
}

/// <summary>A test that says, where a server is missing, why; and fails, where it must not be missing.</summary>
public sealed class ServerFactAttribute : FactAttribute
{
    public ServerFactAttribute(string engine)
    {
        if (Environment.GetEnvironmentVariable(StorageEngine.Required) != "required")
            Skip = StorageEngine.WhyMissing(engine);
    }
}
