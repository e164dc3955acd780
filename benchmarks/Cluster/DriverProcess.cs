using System.Diagnostics;
using System.Globalization;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>
/// A node in a process of its own, that asks one limiter for token after token. It is told by lines when to count: from and until which time stamps,
/// which are the machine's and so the same in all processes.
/// </summary>
internal sealed class DriverProcess : IAsyncDisposable
{
    public const string Argument = "--drive";

    private const int Batch = 1_000;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(1);

    private readonly Child _child;

    private DriverProcess(Child child) => _child = child;

    /// <summary>What the other process does.</summary>
    /// <param name="arguments">The gateway's port, the policy, and tokens per second to ask for; 0: as many as can be.</param>
    public static async Task DriveAsync(string[] arguments)
    {
        await using var client = await RemoteClient.ConnectAsync(Number(arguments[0]));
        using var calls = new CallCounter();
        var limiter = client.Toolkit.GetRateLimiter(arguments[1]);
        await Console.Out.WriteLineAsync("ready");
        while (await Console.In.ReadLineAsync() is { } line)
        {
            var window = line.Split(' ').Select(stamp => long.Parse(stamp, CultureInfo.InvariantCulture)).ToArray();
            await CountAsync(limiter, Number(arguments[2]), long.MinValue, window[0]); // what is lent follows what is asked for
            var before = calls.Calls;
            var (requests, admitted) = await CountAsync(limiter, Number(arguments[2]), window[0], window[1]);
            await Console.Out.WriteLineAsync($"{requests} {admitted} {calls.Calls - before}");
        }
    }

    public static async Task<DriverProcess> StartAsync(int gatewayPort, string policy, int perSecond)
    {
        var child = Child.Start(Argument, $"{gatewayPort}", policy, $"{perSecond}");
        await child.ReadLineAsync();
        return new DriverProcess(child);
    }

    /// <summary>Requests, those admitted, and grain calls, between two time stamps.</summary>
    public async Task<(long Requests, long Admitted, long Calls)> CountAsync(long from, long until)
    {
        await _child.WriteLineAsync($"{from} {until}");
        var counts = (await _child.ReadLineAsync()).Split(' ').Select(count => long.Parse(count, CultureInfo.InvariantCulture)).ToArray();
        return (counts[0], counts[1], counts[2]);
    }

    public ValueTask DisposeAsync() => _child.DisposeAsync();

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

    private static async Task<(long Requests, long Admitted)> CountAsync(ClusterRateLimiter limiter, int perSecond, long from, long until)
    {
        var (requests, admitted) = (0L, 0L);
        for (var startedAt = Stopwatch.GetTimestamp(); Stopwatch.GetTimestamp() < until;)
        {
            var due = perSecond == 0 ? requests + Batch : (long)(Stopwatch.GetElapsedTime(startedAt).TotalSeconds * perSecond);
            for (; requests < due; requests++)
            {
                if ((await limiter.TryAcquireAsync()).IsAcquired)
                    admitted++;
            }

            if (perSecond > 0)
                await Task.Delay(Pause, CancellationToken.None);
        }

        return from > until ? default : (requests, admitted);
    }
}
