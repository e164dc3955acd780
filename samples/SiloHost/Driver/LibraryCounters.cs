using System.Diagnostics.Metrics;

namespace SiloHost;

/// <summary>What the library counts in this process, from its meter: the calls that it makes, and the callers that it admits without one.</summary>
internal sealed class LibraryCounters : IDisposable
{
    private readonly MeterListener _listener = new();
    private long _calls;
    private long _admittedLocally;

    public LibraryCounters()
    {
        _listener.InstrumentPublished = static (instrument, listener) =>
        {
            if (instrument is { Meter.Name: "ReliabilityToolkit.Orleans", Name: Names.Calls or Names.Decisions })
                listener.EnableMeasurementEvents(instrument);
        };
        _listener.SetMeasurementEventCallback<long>((instrument, count, tags, _) =>
        {
            if (instrument.Name == Names.Calls)
                Interlocked.Add(ref _calls, count);
            else if (Has(tags, "outcome", "admitted") && Has(tags, "source", "part"))
                _admittedLocally += count; // read when asked for, by one thread
        });
        _listener.Start();
    }

    public void Dispose() => _listener.Dispose();

    /// <param name="requests">That the driver made of its limiters since.</param>
    /// <param name="admitted">Of these.</param>
    public string Line(long requests, long admitted)
    {
        _admittedLocally = 0;
        _listener.RecordObservableInstruments();
        return $"{_calls:N0} grain calls for {requests:N0} requests ({(double)_calls / Math.Max(requests, 1):N4} each); "
        + $"{_admittedLocally:N0} of {admitted:N0} admitted from the part on this node.";
    }

    /// <param name="calls">That the driver asked its breakers for.</param>
    public string BreakerLine(long calls) =>
        $"{_calls:N0} grain calls for {calls:N0} calls through the breaker ({(double)_calls / Math.Max(calls, 1):N4} each).";

    private static class Names
    {
        public const string Calls = "reliability_toolkit.calls";
        public const string Decisions = "reliability_toolkit.limiter.decisions";
    }

    private static bool Has(ReadOnlySpan<KeyValuePair<string, object?>> tags, string name, string value)
    {
        foreach (var (key, text) in tags)
        {
            if (key == name)
                return Equals(text, value);
        }

        return false;
    }
}
