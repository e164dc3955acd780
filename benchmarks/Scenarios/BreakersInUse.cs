using System.Diagnostics;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>What breakers in use cost a node in the background: each called ten times a second.</summary>
internal sealed class BreakersInUse : IScenario
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    public string Name => "breakers";

    public async Task<IReadOnlyList<Row>> MeasureAsync(Settings settings)
    {
        await using var silo = await Silo.StartAsync();
        await using var client = await RemoteClient.ConnectAsync(silo.GatewayPort);
        var rows = new List<Row>();
        foreach (var count in new[] { 1, 100, 1_000 })
        {
            var breakers = Enumerable.Range(0, count).Select(i => client.Toolkit.GetCircuitBreaker(Silo.Policy, $"{count}-{i}")).ToArray();
            await UseAsync(breakers, TimeSpan.FromSeconds(1));
            var rounds = new List<double>();
            for (var i = 0; i < settings.Rounds; i++)
            {
                using var calls = new CallCounter();
                var at = Stopwatch.GetTimestamp();
                await UseAsync(breakers, settings.Round * 2);
                rounds.Add(calls.Calls / Stopwatch.GetElapsedTime(at).TotalSeconds);
            }

            rows.Add(Row.Of($"Breakers in use on a node, {count:N0}: grain calls per second, all in the background", rounds, "calls/s"));
        }

        return rows;
    }

    private static async Task UseAsync(ClusterCircuitBreaker[] breakers, TimeSpan duration)
    {
        for (var at = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(at) < duration;)
        {
            foreach (var breaker in breakers)
                await breaker.CallAsync(static (state, _) => ValueTask.FromResult(state), 42);
            await Task.Delay(Pause, CancellationToken.None);
        }
    }
}
