using System.Diagnostics.Metrics;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>Calls that the library makes of grains in this process, by its meter.</summary>
internal sealed class CallCounter : IDisposable
{
    private readonly MeterListener _listener = new();
    private long _calls;

    public CallCounter()
    {
        _listener.InstrumentPublished = static (instrument, listener) =>
        {
            if (instrument is { Meter.Name: "ReliabilityToolkit.Orleans", Name: "reliability_toolkit.calls" })
                listener.EnableMeasurementEvents(instrument);
        };
        _listener.SetMeasurementEventCallback<long>((_, count, _, _) => Interlocked.Add(ref _calls, count));
        _listener.Start();
    }

    public long Calls => Interlocked.Read(ref _calls);

    public void Dispose() => _listener.Dispose();
}
