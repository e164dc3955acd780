namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>Tells all callers of a round that it is over. Reading it costs next to nothing, so it may be asked after every call.</summary>
internal sealed class StopSignal
{
    private volatile bool _isSet;

    public bool IsSet => _isSet;

    public void Set() => _isSet = true;
}
