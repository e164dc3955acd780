namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A node as a machine sees it: numbers that count up, each in a slot of its own.</summary>
internal sealed class Asker(byte node)
{
    private readonly Guid _node = new([node, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    private long _sequence;

    /// <summary>The next request; all those before it may still be open.</summary>
    public RequestId Next(long oldestOpen = 1)
    {
        _sequence++;
        return new RequestId(_node, 1, _sequence, oldestOpen, (int)_sequence - 1);
    }
}
