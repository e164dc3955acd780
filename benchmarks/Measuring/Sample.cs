using System.Diagnostics;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>What one round gave. Allocations are those of this whole process.</summary>
internal readonly record struct Sample(double OperationsPerSecond, double AllocatedBytes)
{
    public double NanosecondsPerOperation => 1e9 / OperationsPerSecond;

    /// <summary>Lets so many callers call for so long.</summary>
    public static async Task<Sample> TakeAsync(Contender contender, int callers, TimeSpan duration)
    {
        if (contender.PrepareAsync is { } prepareAsync)
            await prepareAsync();
        GC.Collect();
        var stop = new StopSignal();
        var allocatedBefore = GC.GetTotalAllocatedBytes(precise: true);
        var startedAt = Stopwatch.GetTimestamp();
        var running = new Task<long>[callers];
        for (var i = 0; i < callers; i++)
            running[i] = Task.Run(() => contender.CallAsync(stop));

        await Task.Delay(duration, TimeProvider.System);
        stop.Set();
        var operations = (await Task.WhenAll(running)).Sum();
        var elapsed = Stopwatch.GetElapsedTime(startedAt);
        var allocated = GC.GetTotalAllocatedBytes(precise: true) - allocatedBefore;
        return new Sample(operations / elapsed.TotalSeconds, (double)allocated / operations);
    }
}
