using System.Diagnostics;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>Ten thousand tenants, a few of which ask for much and most for little: what they cost a node and a silo.</summary>
internal sealed class TenThousandTenants : IScenario
{
    private const int Tenants = 10_000;
    private const int PerSecond = 20_000;

    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(1);

    public string Name => "tenants";

    public async Task<IReadOnlyList<Row>> MeasureAsync(Settings settings)
    {
        await using var silo = await SiloProcess.StartAsync();
        await using var client = await RemoteClient.ConnectAsync(silo.GatewayPort);
        var weigher = client.Grains.GetGrain<IEmptyGrain>("weigher");
        var (nodeBefore, siloBefore) = (GC.GetTotalMemory(forceFullCollection: true), await weigher.HeapAsync());
        var limiters = Enumerable.Range(0, Tenants).Select(i => client.Toolkit.GetRateLimiter(Silo.Tenant, $"{i}")).ToArray();
        var demand = Zipf();
        using var calls = new CallCounter();
        await LoadAsync(limiters, demand, WarmUp);
        var (callsPerSecond, shares) = (new List<double>(), new List<double>());
        for (var i = 0; i < settings.Rounds; i++)
        {
            var before = calls.Calls;
            var requests = await LoadAsync(limiters, demand, settings.Round);
            callsPerSecond.Add((calls.Calls - before) / settings.Round.TotalSeconds);
            shares.Add((double)(calls.Calls - before) / requests);
        }

        var node = (double)(GC.GetTotalMemory(forceFullCollection: true) - nodeBefore) / Tenants;
        var there = (double)(await weigher.HeapAsync() - siloBefore) / Tenants;
        const string Load = "10,000 tenants of 50/s each, Zipf, 20,000 requests/s from one node";
        return
        [
            Row.Of($"{Load}: grain calls per second", callsPerSecond, "calls/s"),
            Row.Of($"{Load}: grain calls per request", shares, "calls"),
            new Row($"{Load}: the node's heap per tenant", node, "B"),
            new Row($"{Load}: the silo's heap per tenant", there, "B"),
        ];
    }

    private static double[] Zipf()
    {
        var cumulative = new double[Tenants];
        var sum = 0.0;
        for (var k = 0; k < Tenants; k++)
            cumulative[k] = sum += 1.0 / (k + 1);
        return cumulative;
    }

    private static async Task<long> LoadAsync(ClusterRateLimiter[] limiters, double[] demand, TimeSpan duration)
    {
        var (requests, open) = (0L, new List<Task>());
        for (var startedAt = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(startedAt) < duration;)
        {
            for (var due = (long)(Stopwatch.GetElapsedTime(startedAt).TotalSeconds * PerSecond); requests < due; requests++)
            {
                var found = Array.BinarySearch(demand, Random.Shared.NextDouble() * demand[^1]);
                var acquire = limiters[Math.Min(found < 0 ? ~found : found, Tenants - 1)].TryAcquireAsync();
                if (!acquire.IsCompletedSuccessfully)
                    open.Add(acquire.AsTask());
            }

            await Task.Delay(Pause, CancellationToken.None);
        }

        await Task.WhenAll(open);
        return requests;
    }
}
