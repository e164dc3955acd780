using System.Diagnostics;
using System.Globalization;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>
/// A node in a process of its own, that asks a breaker again and again whether it may call, a thousand times a second. It is told by lines to watch,
/// says when it is let through, and then when it was first refused, by the machine's time stamps.
/// </summary>
internal sealed class WatcherProcess : IAsyncDisposable
{
    public const string Argument = "--watch";

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(1);

    private readonly Child _child;

    private WatcherProcess(Child child) => _child = child;

    /// <summary>What the other process does.</summary>
    public static async Task WatchAsync(string gatewayPort)
    {
        await using var client = await RemoteClient.ConnectAsync(int.Parse(gatewayPort, CultureInfo.InvariantCulture));
        var breaker = client.Toolkit.GetCircuitBreaker(Silo.Policy, "watched");
        await Console.Out.WriteLineAsync("ready");
        while (await Console.In.ReadLineAsync() is not null)
        {
            await UntilAsync(breaker, isAdmitted: true);
            await Console.Out.WriteLineAsync("admitted");
            await Console.Out.WriteLineAsync($"{await UntilAsync(breaker, isAdmitted: false)}");
        }
    }

    public static async Task<WatcherProcess> StartAsync(int gatewayPort)
    {
        var child = Child.Start(Argument, $"{gatewayPort}");
        await child.ReadLineAsync();
        return new WatcherProcess(child);
    }

    public async Task BeginAsync()
    {
        await _child.WriteLineAsync("watch");
        await _child.ReadLineAsync();
    }

    public async Task<long> FirstRefusalAsync() => long.Parse(await _child.ReadLineAsync(), CultureInfo.InvariantCulture);

    public ValueTask DisposeAsync() => _child.DisposeAsync();

    private static async Task<long> UntilAsync(ClusterCircuitBreaker breaker, bool isAdmitted)
    {
        while (true)
        {
            var ticket = await breaker.TryEnterAsync();
            var at = Stopwatch.GetTimestamp();
            await ticket.Succeed();
            if (ticket.IsAdmitted == isAdmitted && ticket.State != CircuitState.HalfOpen)
                return at;
            await Task.Delay(Pause, CancellationToken.None);
        }
    }
}
