using System.Diagnostics;
using System.Globalization;
using Medallion.Threading.Redis;
using StackExchange.Redis;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>What came of one round of one process.</summary>
/// <param name="Acquires">By all of its callers.</param>
/// <param name="HandedOver">Of these, so many by a grant of the authority; the others by what the process held already. 0 of the peer.</param>
/// <param name="P50">Of the waits, in milliseconds.</param>
/// <param name="P99">Likewise.</param>
internal readonly record struct TakerResult(long Acquires, long HandedOver, double P50, double P99);

/// <summary>A process whose callers take slots and give them back, one after the other, for as long as it is told to.</summary>
internal sealed class SlotTaker : IAsyncDisposable
{
    public const string Argument = "--take";

    private readonly Child _child;

    private SlotTaker(Child child) => _child = child;

    /// <summary>What the other process does.</summary>
    public static async Task TakeAsync(string kind, string port, string slots, string callers)
    {
        var (number, count, many) = (Number(port), Number(slots), Number(callers));
        await using var client = kind == "orleans" ? await RemoteClient.ConnectAsync(number) : null;
        await using var redis = kind == "redis" ? await ConnectionMultiplexer.ConnectAsync($"127.0.0.1:{port}") : null;
        var hold = many > 1 ? TimeSpan.FromMilliseconds(1) : TimeSpan.Zero;
        var bulkhead = client?.Toolkit.GetBulkhead(Silo.PolicyOfSlots(count), "shared");
        var semaphore = redis is null ? null : new RedisDistributedSemaphore("shared", count, redis.GetDatabase());
        Func<Task<IAsyncDisposable>> acquire = bulkhead is not null
            ? async () => (await bulkhead.AcquireAsync()).EnsureAcquired()
            : async () => await semaphore!.AcquireAsync();
        await Console.Out.WriteLineAsync("ready");
        while (await Console.In.ReadLineAsync() is { } milliseconds)
        {
            var round = TimeSpan.FromMilliseconds(Number(milliseconds));
            var loops = await Task.WhenAll(Enumerable.Range(0, many).Select(_ => Task.Run(() => LoopAsync(acquire, round, hold))));
            double[] all = [.. loops.SelectMany(static each => each.Waits).Order()];
            var handedOver = loops.Sum(static each => each.HandedOver);
            await Console.Out.WriteLineAsync(string.Create(
                CultureInfo.InvariantCulture, $"{all.Length} {handedOver} {At(all, 0.5)} {At(all, 0.99)}"));
        }
    }

    public static async Task<SlotTaker> StartAsync(string kind, int port, int slots, int callers)
    {
        var child = Child.Start(Argument, kind, $"{port}", $"{slots}", $"{callers}");
        await child.ReadLineAsync();
        return new SlotTaker(child);
    }

    public async Task<TakerResult> RunAsync(TimeSpan round)
    {
        await _child.WriteLineAsync($"{(int)round.TotalMilliseconds}");
        var line = (await _child.ReadLineAsync()).Split(' ');
        return new TakerResult(
            long.Parse(line[0], CultureInfo.InvariantCulture),
            long.Parse(line[1], CultureInfo.InvariantCulture),
            double.Parse(line[2], CultureInfo.InvariantCulture),
            double.Parse(line[3], CultureInfo.InvariantCulture));
    }

    public ValueTask DisposeAsync() => _child.DisposeAsync();

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

    private static double At(double[] sorted, double quantile) => sorted.Length == 0 ? 0 : sorted[(int)(quantile * (sorted.Length - 1))];

    private static async Task<(List<double> Waits, long HandedOver)> LoopAsync(Func<Task<IAsyncDisposable>> acquire, TimeSpan round, TimeSpan hold)
    {
        var waits = new List<double>();
        var (handedOver, last) = (0L, 0L);
        var startedAt = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(startedAt) < round)
        {
            var askedAt = Stopwatch.GetTimestamp();
            await using var held = await acquire();
            waits.Add(Stopwatch.GetElapsedTime(askedAt).TotalMilliseconds);
            if (held is BulkheadPermit permit && permit.FencingToken != last)
                (handedOver, last) = (handedOver + 1, permit.FencingToken);
            if (hold > TimeSpan.Zero)
                await Task.Delay(hold, CancellationToken.None);
        }

        return (waits, handedOver);
    }
}
