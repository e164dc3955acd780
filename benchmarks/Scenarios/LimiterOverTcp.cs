namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>The exact limiter, called over loopback TCP, beside a raw empty grain call over the same connection.</summary>
internal sealed class LimiterOverTcp : IScenario
{
    public string Name => "tcp";

    public async Task<IReadOnlyList<Row>> MeasureAsync(Settings settings)
    {
        await using var silo = await SiloProcess.StartAsync();
        await using var client = await RemoteClient.ConnectAsync(silo.GatewayPort);
        return [.. await MeasureAsync(client, settings, 64, "64 callers"), .. await MeasureAsync(client, settings, 1, "1 caller")];
    }

    private static async Task<IReadOnlyList<Row>> MeasureAsync(RemoteClient client, Settings settings, int callers, string shown)
    {
        var raw = new Contender(
            $"Raw empty grain call, over loopback TCP, {shown}", Callers.Ping(Callers.Each(key => client.Grains.GetGrain<IEmptyGrain>(key))));
        var limiter = new Contender(
            $"Exact ClusterRateLimiter.TryAcquireAsync, over loopback TCP, {shown}",
            Callers.TryAcquire(Callers.Each(key => client.Toolkit.GetRateLimiter(Silo.Exact, key))));
        var contest = await Contest.RunAsync(settings, callers, raw, limiter);
        return [contest.CallsPerSecond(raw), contest.CallsPerSecond(limiter, raw, Target.NearRawCall)];
    }
}
