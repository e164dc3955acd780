using System.Diagnostics;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>Two drivers and two silos, each a process of its own, and one limiter.</summary>
internal sealed class LimiterAcrossProcesses : IScenario
{
    private const int Limit = 100_000; // per second, of Silo.Shared
    private const int OfferedByEach = 60_000;

    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(2);

    public string Name => "processes";

    public async Task<IReadOnlyList<Row>> MeasureAsync(Settings settings)
    {
        await using var first = await SiloProcess.StartAsync();
        await using var second = await SiloProcess.StartAsync(joins: first);
        var asFastAsCanBe = await DriveAsync(settings, first, second, Silo.Policy, 0);
        var shared = await DriveAsync(settings, first, second, Silo.Shared, OfferedByEach);
        const string Unlimited = "Two drivers, two silos, a limit that nobody reaches";
        const string Overloaded = "Two drivers, two silos, 120,000 requests/s at a limit of 100,000/s";
        return
        [
            Row.Of($"{Unlimited}: requests per second, both", [.. asFastAsCanBe.Select(round => round.Requests)], "ops/s"),
            Row.Of($"{Unlimited}: grain calls per second and node", [.. asFastAsCanBe.Select(round => round.Calls)], "calls/s"),
            Row.Of($"{Overloaded}: requests per second, both", [.. shared.Select(round => round.Requests)], "ops/s"),
            Row.Of($"{Overloaded}: grain calls per second and node", [.. shared.Select(round => round.Calls)], "calls/s"),
            Row.Of($"{Overloaded}: utilisation", [.. shared.Select(round => 100 * round.Admitted / Limit)], "%"),
        ];
    }

    // By second; calls by second and node.
    private static async Task<List<(double Requests, double Admitted, double Calls)>> DriveAsync(
        Settings settings, SiloProcess first, SiloProcess second, string policy, int perSecond)
    {
        await using var one = await DriverProcess.StartAsync(first.GatewayPort, policy, perSecond);
        await using var other = await DriverProcess.StartAsync(second.GatewayPort, policy, perSecond);
        var rounds = new List<(double, double, double)>();
        var seconds = settings.Round.TotalSeconds * 2;
        for (var i = 0; i < settings.Rounds; i++)
        {
            var from = Stopwatch.GetTimestamp() + (long)(WarmUp.TotalSeconds * Stopwatch.Frequency);
            var until = from + (long)(seconds * Stopwatch.Frequency);
            var counts = await Task.WhenAll(one.CountAsync(from, until), other.CountAsync(from, until));
            rounds.Add((
                counts.Sum(count => count.Requests) / seconds,
                counts.Sum(count => count.Admitted) / seconds,
                counts.Sum(count => count.Calls) / seconds / 2));
        }

        return rounds;
    }
}
