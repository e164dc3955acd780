namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>The exact breaker and the exact bulkhead, two grain calls each, beside two raw grain calls one after the other.</summary>
internal sealed class BreakerAndBulkhead : IScenario
{
    public string Name => "pairs";

    public async Task<IReadOnlyList<Row>> MeasureAsync(Settings settings)
    {
        await using var silo = await Silo.StartAsync();
        var raw = new Contender(
            "Two raw empty grain calls, in process, 64 callers", Callers.PingTwice(silo.Grains.GetGrain<IEmptyGrain>(Silo.Policy)));
        var breaker = new Contender(
            "ICircuitBreakerGrain enter and report, in process, 64 callers",
            Callers.EnterAndReport(silo.Grains.GetGrain<ICircuitBreakerGrain>(Silo.Policy)));
        var bulkhead = new Contender(
            "ClusterBulkhead acquire and release, in process, 64 callers", Callers.AcquireAndRelease(silo.Toolkit.GetBulkhead(Silo.Policy)));
        var contest = await Contest.RunAsync(settings, 64, raw, breaker, bulkhead);
        return [contest.CallsPerSecond(raw), contest.CallsPerSecond(breaker, raw), contest.CallsPerSecond(bulkhead, raw)];
    }
}
