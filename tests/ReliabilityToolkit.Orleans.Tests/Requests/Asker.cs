namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A node as a machine sees it: numbers that count up.</summary>
internal sealed class Asker(byte node)
{
    private readonly Guid _node = new([node, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    private long _sequence;

    /// <summary>The next request; by default the hundred before it may still be open.</summary>
    public RequestId Next(long? oldestOpen = null)
    {
        _sequence++;
        return new RequestId(_node, 1, _sequence, oldestOpen ?? Math.Max(1, _sequence - 100));
    }
}
