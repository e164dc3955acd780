namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>The exact limiter, called from the silo's own process, beside a raw empty grain call.</summary>
internal sealed class LimiterInProcess : IScenario
{
    public string Name => "limiter";

    public async Task<IReadOnlyList<Row>> MeasureAsync(Settings settings)
    {
        await using var silo = await Silo.StartAsync();
        return [.. await MeasureAsync(silo, settings, 64, "64 callers"), .. await MeasureAsync(silo, settings, 1, "1 caller")];
    }

    private static async Task<IReadOnlyList<Row>> MeasureAsync(Silo silo, Settings settings, int callers, string shown)
    {
        var raw = new Contender(
            $"Raw empty grain call, in process, {shown}", Callers.Ping(Callers.Each(key => silo.Grains.GetGrain<IEmptyGrain>(key))));
        var limiter = new Contender(
            $"Exact ClusterRateLimiter.TryAcquireAsync, in process, {shown}",
            Callers.TryAcquire(Callers.Each(key => silo.Toolkit.GetRateLimiter(Silo.Exact, key))));
        var grain = new Contender(
            $"IRateLimiterGrain.TryAcquireAsync, in process, {shown}",
            Callers.TryAcquire(Callers.Each(key => silo.Grains.GetGrain<IRateLimiterGrain>($"{Silo.Exact}/{key}"))));
        var contest = await Contest.RunAsync(settings, callers, raw, limiter, grain);
        return [contest.CallsPerSecond(raw), contest.CallsPerSecond(limiter, raw, Target.NearRawCall), contest.CallsPerSecond(grain, raw)];
    }
}
