using System.Diagnostics;
using ReliabilityToolkit.Orleans;

namespace SiloHost;

/// <summary>Calls a downstream through one breaker from several nodes, breaks it in mid-run, and shows what each node makes of it.</summary>
internal static class BreakerDriveMode
{
    public static async Task<int> RunAsync(BreakerDriveOptions options)
    {
        var hosts = Enumerable.Range(0, options.Nodes).Select(_ => ClusterConnection.Build(options.Gateways)).ToArray();
        try
        {
            foreach (var host in hosts)
                await host.StartAsync();
            return await DriveAsync(hosts, options);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            await Console.Error.WriteLineAsync($"The breaker could not be driven at gateway {string.Join(", ", options.Gateways)}: {e.Message}");
            return ExitCode.CouldNotRun;
        }
        finally
        {
            foreach (var host in hosts)
            {
                await host.StopAsync(CancellationToken.None);
                host.Dispose();
            }
        }
    }

    private static async Task<int> DriveAsync(IHost[] hosts, BreakerDriveOptions options)
    {
        var stopping = hosts[0].Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping;
        var run = $"drive-{Guid.NewGuid():N}";
        var clock = Stopwatch.StartNew();
        var third = TimeSpan.FromSeconds(options.Seconds / 3.0);
        bool IsBroken() => clock.Elapsed >= third && clock.Elapsed < third * 2;
        using var counters = new LibraryCounters();
        var nodes = hosts.Select((host, i) => new DrivenNode(
            i + 1, host.Services.GetRequiredService<IReliabilityToolkit>().GetCircuitBreaker(options.Policy, run), IsBroken, clock)).ToArray();
        Console.WriteLine(
            $"{options.Rate:N0} calls/s from {options.Nodes} nodes through breaker \"{options.Policy}\" for {options.Seconds} s; "
            + $"the downstream is broken from {third.TotalSeconds:N0} s to {third.TotalSeconds * 2:N0} s.");
        var calling = nodes.Select(node => node.CallAsync((double)options.Rate / options.Nodes, options.Seconds, stopping)).ToArray();
        for (var second = 1; second <= options.Seconds && !stopping.IsCancellationRequested; second++)
        {
            var left = TimeSpan.FromSeconds(second) - clock.Elapsed;
            if (left > TimeSpan.Zero)
                await Task.Delay(left, CancellationToken.None);
            Console.WriteLine($"{second,4} s  {(IsBroken() ? "broken" : "well  ")}  {string.Join("  ", nodes.Select(node => node.TakeLine()))}");
        }

        await Task.WhenAll(calling);
        var status = await nodes[0].Breaker.GetStatusAsync(CancellationToken.None);
        Console.WriteLine(counters.BreakerLine(nodes.Sum(node => node.Asked)));
        Console.WriteLine($"In the end it is {status.State} ({status.Cause}).");
        return ExitCode.Good;
    }
}
