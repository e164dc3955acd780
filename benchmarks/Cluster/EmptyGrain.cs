using Orleans.Concurrency;

namespace ReliabilityToolkit.Orleans.Benchmarks;

[Reentrant]
internal sealed class EmptyGrain : Grain, IEmptyGrain
{
    public ValueTask PingAsync() => default;
}
