using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using SiloHost;

namespace ReliabilityToolkit.Orleans.Chaos;

/// <summary>
/// How long it takes until all names answer an outside client again when a silo leaves, dies or stands still, and how many have forgotten what they
/// knew in memory alone: for one way to set up the cluster.
/// </summary>
internal sealed class Measure(Cluster cluster, ClusterStore store, TimeSpan gatewaysRefreshedEvery)
{
    private const int Names = 60;
    private static readonly TimeSpan Deadline = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(120);

    public async Task<string> RunAsync(string ending)
    {
        foreach (var silo in new[] { "silo-1", "silo-2", "silo-3" })
            await cluster.StartAsync(silo, alone: true);

        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.UseOrleansClient(client => Node.Outside(client, store, gatewaysRefreshedEvery));
        using var host = builder.Build();
        await host.StartAsync();
        var grains = host.Services.GetRequiredService<IGrainFactory>();
        var names = Enumerable.Range(0, Names).Select(i => grains.GetGrain<IRateLimiterGrain>($"{Policies.Remembered}/{i}")).ToArray();
        foreach (var name in names)
            await name.TryAcquireAsync(10);

        // The silo on which most of them are.
        var active = await grains.GetGrain<IManagementGrain>(0).GetDetailedGrainStatistics();
        var there = active.Where(one => names.Any(name => name.GetGrainId() == one.GrainId)).GroupBy(static one => one.SiloAddress.Endpoint.Port)
            .MaxBy(static silo => silo.Count())!;
        var victim = cluster.SiloAt(there.Key);
        var since = Stopwatch.StartNew();
        if (ending == "stop")
            cluster.Signal(victim, "TERM");
        else if (ending == "freeze")
            cluster.Signal(victim, "STOP");
        else
            cluster.Kill(victim);
        var refused = 0;
        var back = await Task.WhenAll(names.Select(name => Task.Run(() => AwaitAsync(name, since, () => Interlocked.Increment(ref refused)))));
        cluster.Signal(victim, "CONT");
        await host.StopAsync();
        var outages = back.Select(static it => it.Outage).Order().ToArray();
        var forgotten = back.Count(static it => it.Available is 100);
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{ending,-7} of the silo of {there.Count()} of {Names} names: "
            + $"{outages.Count(static it => it > TimeSpan.FromSeconds(1)),3} names without an answer for more than 1 s; "
            + $"longest {outages[^1].TotalSeconds,5:0.0} s; failed calls {refused,5}; forgotten {forgotten,2}");
    }

    // The longest time between two answers, until it has answered for a while; and what it remembers.
    private static async Task<(TimeSpan Outage, int? Available)> AwaitAsync(IRateLimiterGrain name, Stopwatch since, Action failed)
    {
        var (last, longest, available) = (since.Elapsed, TimeSpan.Zero, (int?)null);
        while (since.Elapsed < Longest && (since.Elapsed < TimeSpan.FromSeconds(20) || since.Elapsed - last > TimeSpan.FromSeconds(1)))
        {
            try
            {
                available = (int)(await name.GetStatusAsync().AsTask().WaitAsync(Deadline)).AvailableTokens;
                longest = since.Elapsed - last > longest ? since.Elapsed - last : longest;
                last = since.Elapsed;
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                failed();
            }

            await Task.Delay(50);
        }

        return (since.Elapsed - last > longest ? since.Elapsed - last : longest, available);
    }
}
