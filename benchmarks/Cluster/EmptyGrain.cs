using Orleans.Concurrency;

namespace ReliabilityToolkit.Orleans.Benchmarks;

[Reentrant]
internal sealed class EmptyGrain : Grain, IEmptyGrain
{
    public ValueTask PingAsync() => default;

    public ValueTask<long> HeapAsync()
    {
        for (var i = 0; i < 3; i++)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Forced, blocking: true, compacting: true);
            GC.WaitForPendingFinalizers();
        }

        return new(GC.GetTotalMemory(forceFullCollection: true));
    }
}
