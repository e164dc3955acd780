using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>What one meter measures from now on, and no other of its name. Thread-safe.</summary>
internal sealed class MeterBook : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly ConcurrentDictionary<string, double> _sums = new();
    private readonly ConcurrentDictionary<string, double> _observed = new();

    public MeterBook(Meter meter)
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter == meter)
                listener.EnableMeasurementEvents(instrument);
        };
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Note(instrument, value, tags));
        _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Note(instrument, value, tags));
        _listener.Start();
    }

    /// <summary>
    /// All that was measured: what was counted in all, and what is to be observed now. By name and tags in the order of their names.
    /// </summary>
    public IReadOnlyDictionary<string, double> Read()
    {
        _observed.Clear();
        _listener.RecordObservableInstruments();
        return _sums.Concat(_observed).ToDictionary();
    }

    /// <summary>One of them, without the common prefix; 0 where there is none.</summary>
    public double Of(string name) => Read().GetValueOrDefault($"reliability_toolkit.{name}");

    public void Dispose() => _listener.Dispose();

    private void Note(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        var pairs = tags.ToArray().OrderBy(static tag => tag.Key, StringComparer.Ordinal).Select(static tag => $"{tag.Key}={tag.Value}");
        var name = string.Join(' ', pairs.Prepend(instrument.Name));
        if (instrument.IsObservable)
            _observed[name] = value;
        else
            _sums.AddOrUpdate(name, value, (_, sum) => sum + value);
    }
}
