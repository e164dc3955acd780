using ReliabilityToolkit.Orleans.Servers;

namespace ReliabilityToolkit.Orleans.Chaos;

/// <summary>The store of the cluster, of either kind.</summary>
internal sealed class StoreServer : IAsyncDisposable
{
    private readonly IAsyncDisposable _server;

    private StoreServer(IAsyncDisposable server, string address) => (_server, Address) = (server, address);

    public string Address { get; }

    public static async Task<StoreServer> StartAsync(string kind)
    {
        if (kind == "redis")
        {
            var redis = await RedisServer.StartAsync();
            return new StoreServer(redis, $"redis://{redis.Connection}");
        }

        var postgres = await PostgresServer.StartAsync();
        return new StoreServer(postgres, $"postgres://postgres@127.0.0.1:{postgres.Port}/postgres");
    }

    public Task StopAsync() => _server is RedisServer redis ? redis.StopAsync() : ((PostgresServer)_server).StopAsync();

    public Task StartAgainAsync() => _server is RedisServer redis ? redis.StartAgainAsync() : ((PostgresServer)_server).StartAgainAsync();

    public ValueTask DisposeAsync() => _server.DisposeAsync();
}
