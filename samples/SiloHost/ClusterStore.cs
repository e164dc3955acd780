using Npgsql;
using Orleans.Configuration;
using StackExchange.Redis;

namespace SiloHost;

/// <summary>A server that keeps the cluster's membership, and the records of its limiters, breakers and bulkheads.</summary>
internal abstract class ClusterStore
{
    /// <summary>Orleans tells clusters in one store apart by this.</summary>
    public const string ClusterId = "reliability-sample";

    // A client that has lost a gateway, or hangs on one that is frozen, finds the others when it asks for the list again.
    private static readonly TimeSpan GatewaysRefreshedEvery = TimeSpan.FromSeconds(5);

    /// <summary>Reads <c>redis://HOST:PORT</c> or <c>postgres://USER[:PASSWORD]@HOST:PORT/DATABASE</c>.</summary>
    /// <exception cref="FormatException">It is neither.</exception>
    public static ClusterStore Parse(string address) => Uri.TryCreate(address, UriKind.Absolute, out var uri) && uri.Host.Length > 0
        ? uri.Scheme switch
        {
            "redis" => new Redis(uri),
            "postgres" or "postgresql" => new Postgres(uri),
            _ => throw new FormatException($"{uri.Scheme}:// is not known; legal: redis://HOST:PORT, postgres://USER[:PASSWORD]@HOST:PORT/DATABASE."),
        }
        : throw new FormatException($"{address} is no address; legal: redis://HOST:PORT, postgres://USER[:PASSWORD]@HOST:PORT/DATABASE.");

    /// <summary>For a silo: membership, and a storage by the name that the toolkit looks for.</summary>
    public void Configure(ISiloBuilder silo)
    {
        silo.Configure<ClusterOptions>(NameCluster);
        AddTo(silo);
    }

    /// <summary>For a client outside the cluster.</summary>
    public IClientBuilder Configured(IClientBuilder client)
    {
        client.Configure<ClusterOptions>(NameCluster);
        client.Configure<GatewayOptions>(options => options.GatewayListRefreshPeriod = GatewaysRefreshedEvery);
        AddTo(client);
        return client;
    }

    /// <summary>Makes the tables, where the store has any.</summary>
    public abstract Task ApplySchemaAsync();

    protected abstract void AddTo(ISiloBuilder silo);

    protected abstract void AddTo(IClientBuilder client);

    private static void NameCluster(ClusterOptions options) => (options.ClusterId, options.ServiceId) = (ClusterId, ClusterId);

    private sealed class Redis(Uri address) : ClusterStore
    {
        private readonly string _connection = $"{address.Host}:{(address.Port > 0 ? address.Port : 6379)}";

        public override Task ApplySchemaAsync() => Task.CompletedTask;

        protected override void AddTo(ISiloBuilder silo) => silo
            .UseRedisClustering(options => options.ConfigurationOptions = Options)
            .AddRedisGrainStorage("ReliabilityToolkit", options => (options.ConfigurationOptions, options.DeleteStateOnClear) = (Options, true));

        protected override void AddTo(IClientBuilder client) => client.UseRedisClustering(options => options.ConfigurationOptions = Options);

        // It may be away for a while.
        private ConfigurationOptions Options
        {
            get
            {
                var options = ConfigurationOptions.Parse(_connection);
                options.AbortOnConnectFail = false;
                return options;
            }
        }
    }

    private sealed class Postgres(Uri address) : ClusterStore
    {
        private const string Invariant = "Npgsql";

        private readonly string _connection = new NpgsqlConnectionStringBuilder
        {
            Host = address.Host,
            Port = address.Port > 0 ? address.Port : 5432,
            Username = Uri.UnescapeDataString(address.UserInfo.Split(':')[0]),
            Password = address.UserInfo.Contains(':', StringComparison.Ordinal) ? Uri.UnescapeDataString(address.UserInfo.Split(':')[1]) : null,
            Database = address.AbsolutePath.Trim('/'),
            Timeout = 5,
            CommandTimeout = 5,
        }.ConnectionString;

        public override async Task ApplySchemaAsync()
        {
            await using var source = NpgsqlDataSource.Create(_connection);
            using var script = new StreamReader(typeof(ClusterStore).Assembly.GetManifestResourceStream("postgresql.sql")!);
            await using var command = source.CreateCommand(await script.ReadToEndAsync());
            await command.ExecuteNonQueryAsync();
        }

        protected override void AddTo(ISiloBuilder silo) => silo
            .UseAdoNetClustering(options => (options.Invariant, options.ConnectionString) = (Invariant, _connection))
            .AddAdoNetGrainStorage("ReliabilityToolkit", options =>
                (options.Invariant, options.ConnectionString, options.DeleteStateOnClear) = (Invariant, _connection, true));

        protected override void AddTo(IClientBuilder client) =>
            client.UseAdoNetClustering(options => (options.Invariant, options.ConnectionString) = (Invariant, _connection));
    }
}
