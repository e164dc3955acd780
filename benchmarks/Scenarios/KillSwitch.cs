using System.Diagnostics;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>
/// Three silos and three nodes, each a process of its own, and one breaker: how long a trip takes, and until the last node obeys it.
/// </summary>
internal sealed class KillSwitch : IScenario
{
    public string Name => "switch";

    public async Task<IReadOnlyList<Row>> MeasureAsync(Settings settings)
    {
        await using var first = await SiloProcess.StartAsync();
        await using var second = await SiloProcess.StartAsync(joins: first);
        await using var third = await SiloProcess.StartAsync(joins: first);
        await using var one = await WatcherProcess.StartAsync(first.GatewayPort);
        await using var two = await WatcherProcess.StartAsync(second.GatewayPort);
        await using var three = await WatcherProcess.StartAsync(third.GatewayPort);
        await using var operatorsClient = await RemoteClient.ConnectAsync(first.GatewayPort);
        var breaker = operatorsClient.Toolkit.GetCircuitBreaker(Silo.Policy, "watched");
        WatcherProcess[] watchers = [one, two, three];
        var (called, returned, obeyed, ranOut) = (new List<double>(), new List<double>(), new List<double>(), 0);
        for (var i = -5; i < settings.Rounds * 10; i++)
        {
            await breaker.ResetAsync();
            await Task.WhenAll(watchers.Select(watcher => watcher.BeginAsync()));
            await Task.Delay(TimeSpan.FromMilliseconds(20), CancellationToken.None);
            var calledAt = Stopwatch.GetTimestamp();
            await breaker.GetStatusAsync();
            called.Add(Stopwatch.GetElapsedTime(calledAt).TotalMilliseconds);
            var at = Stopwatch.GetTimestamp();
            var result = await breaker.TripAsync();
            var tookIt = Stopwatch.GetElapsedTime(at).TotalMilliseconds;
            var refusals = await Task.WhenAll(watchers.Select(watcher => watcher.FirstRefusalAsync()));
            if (i < 0)
                continue; // everything is compiled and connected the first times
            returned.Add(tookIt);
            obeyed.Add(Stopwatch.GetElapsedTime(at, refusals.Max()).TotalMilliseconds);
            ranOut += result.RanOut;
        }

        const string What = "Trip over 3 silos and 3 nodes, 6 processes";
        return
        [
            At(called, 0.5, $"{What}: one grain call just before, p50"),
            At(called, 0.99, $"{What}: one grain call just before, p99"),
            At(returned, 0.5, $"{What}: until it has returned, p50", Target.TwoMilliseconds),
            At(returned, 0.99, $"{What}: until it has returned, p99", Target.TenMilliseconds),
            At(obeyed, 0.5, $"{What}: until the last node's first refusal, each asking every millisecond, p50", Target.TwoMilliseconds),
            At(obeyed, 0.99, $"{What}: until the last node's first refusal, each asking every millisecond, p99", Target.TenMilliseconds),
            new Row($"{What}: verdicts that had to run out, of {3 * returned.Count}", ranOut, "verdicts"),
        ];
    }

    private static Row At(List<double> rounds, double quantile, string name, Target? target = null) =>
        new(name, rounds.Order().ElementAt((int)(quantile * (rounds.Count - 1))), "ms", Target: target, Range: (rounds.Min(), rounds.Max()));
}
