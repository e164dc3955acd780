namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>A grain that does nothing: what a call and an activation cost of themselves.</summary>
internal interface IEmptyGrain : IGrainWithStringKey
{
    ValueTask PingAsync();

    /// <summary>Bytes on its silo's heap, swept.</summary>
    ValueTask<long> HeapAsync();
}
