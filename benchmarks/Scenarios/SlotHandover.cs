namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>
/// Two processes that want the same slots: how often they are handed over, beside the semaphore of DistributedLock on a Redis of our own; and how
/// long each waits where one wants much more than the other.
/// </summary>
internal sealed class SlotHandover : IScenario
{
    private const string Peer = "DistributedLock.Redis semaphore of 1 between 2 processes, acquires";

    public string Name => "handover";

    public async Task<IReadOnlyList<Row>> MeasureAsync(Settings settings)
    {
        await using var silo = await SiloProcess.StartAsync();
        await using var redis = await RedisServer.TryStartAsync();
        var rows = new List<Row>();
        var peers = new List<double>();
        if (redis is not null)
        {
            peers = (await HandOversAsync(settings, "redis", redis.Port)).Acquires;
            rows.Add(Row.Of(Peer, peers, "per s"));
        }
        else
        {
            await Console.Error.WriteLineAsync("There is no redis-server, and none can be installed: the peer is left out.");
        }

        var (ours, handedOver) = await HandOversAsync(settings, "orleans", silo.GatewayPort);
        var row = Row.Of("ClusterBulkhead of 1 between 2 processes, acquires", ours, "per s");
        rows.Add(peers.Count == 0 ? row : row with { Peer = Peer, Ratio = Ratio.Of([.. ours.Zip(peers, static (our, peer) => our / peer)]) });
        rows.Add(Row.Of("of these, by a grant of the authority: the others by the process that held it already", handedOver, "per s"));
        rows.AddRange(await SkewedAsync(settings, silo.GatewayPort));
        return rows;
    }

    private static async Task<(List<double> Acquires, List<double> HandedOver)> HandOversAsync(Settings settings, string kind, int port)
    {
        await using var one = await SlotTaker.StartAsync(kind, port, slots: 1, callers: 1);
        await using var two = await SlotTaker.StartAsync(kind, port, slots: 1, callers: 1);
        var (rounds, handedOver) = (new List<double>(), new List<double>());
        for (var i = -1; i < settings.Rounds; i++)
        {
            var results = await Task.WhenAll(one.RunAsync(settings.Round), two.RunAsync(settings.Round));
            if (i < 0)
                continue;
            rounds.Add(results.Sum(static result => result.Acquires) / settings.Round.TotalSeconds);
            handedOver.Add(results.Sum(static result => result.HandedOver) / settings.Round.TotalSeconds);
        }

        return (rounds, handedOver);
    }

    private static async Task<IReadOnlyList<Row>> SkewedAsync(Settings settings, int port)
    {
        await using var busy = await SlotTaker.StartAsync("orleans", port, slots: 4, callers: 32);
        await using var quiet = await SlotTaker.StartAsync("orleans", port, slots: 4, callers: 2);
        var (busyRounds, quietRounds) = (new List<TakerResult>(), new List<TakerResult>());
        for (var i = -1; i < settings.Rounds; i++)
        {
            var results = await Task.WhenAll(busy.RunAsync(settings.Round), quiet.RunAsync(settings.Round));
            if (i < 0)
                continue;
            busyRounds.Add(results[0]);
            quietRounds.Add(results[1]);
        }

        return
        [
            Row.Of("Wait for one of 4 slots: the process with 2 callers, p50", [.. quietRounds.Select(static each => each.P50)], "ms"),
            Row.Of("Wait for one of 4 slots: the process with 2 callers, p99", [.. quietRounds.Select(static each => each.P99)], "ms"),
            Row.Of("Wait for one of 4 slots: the process with 32 callers, p50", [.. busyRounds.Select(static each => each.P50)], "ms"),
            Row.Of("Wait for one of 4 slots: the process with 32 callers, p99", [.. busyRounds.Select(static each => each.P99)], "ms"),
        ];
    }
}
