namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>What one idle limiter grain holds of the heap, beside an empty grain with a key as long.</summary>
internal sealed class IdleGrainMemory : IScenario
{
    private const int WarmUpGrains = 500;

    // What was needed for a call only, as the shared deadlines, has gone by then.
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(1);

    public string Name => "memory";

    public async Task<IReadOnlyList<Row>> MeasureAsync(Settings settings)
    {
        var count = settings.IdleGrains;
        var empty = await PerGrainAsync(count, static (silo, key) => silo.Grains.GetGrain<IEmptyGrain>($"{Silo.Policy}/{key}").PingAsync());
        var viaClient = await PerGrainAsync(
            count, static async (silo, key) => (await silo.Toolkit.GetRateLimiter(Silo.Policy, key).TryAcquireAsync()).Dispose());
        var viaGrain = await PerGrainAsync(
            count, static async (silo, key) => await silo.Grains.GetGrain<IRateLimiterGrain>($"{Silo.Policy}/{key}").TryAcquireAsync(1));

        var peer = new Row($"Idle empty grain, of {count:N0}", empty, "B");
        return
        [
            peer,
            Beside(peer, new Row("Idle limiter grain, used once through the client by one node", viaClient, "B")),
            Beside(peer, new Row("Idle limiter grain, used once through IRateLimiterGrain", viaGrain, "B")),
        ];
    }

    private static Row Beside(Row peer, Row ours) =>
        ours with { Peer = peer.Name, Ratio = Ratio.Of([peer.Value / ours.Value]), Target = Target.SmallGrain };

    // A silo of its own for each kind, so that the silo's own tables have the same number of entries. The client may keep one object: the rest is let
    // go.
    private static async Task<double> PerGrainAsync(int count, Func<Silo, string, ValueTask> use)
    {
        await using var silo = await Silo.StartAsync(maxCachedInstances: 1);
        await UseAsync(silo, "warm", WarmUpGrains, use);
        var before = await HeapAsync();
        await UseAsync(silo, "idle", count, use);
        return (double)(await HeapAsync() - before) / count;
    }

    private static async Task UseAsync(Silo silo, string prefix, int count, Func<Silo, string, ValueTask> use)
    {
        for (var i = 0; i < count; i++)
            await use(silo, $"{prefix}-{i:D6}");
    }

    private static async Task<long> HeapAsync()
    {
        await Task.Delay(Settling, TimeProvider.System);
        for (var i = 0; i < 3; i++)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true, compacting: true);
            GC.WaitForPendingFinalizers();
        }

        return GC.GetTotalMemory(forceFullCollection: true);
    }
}
