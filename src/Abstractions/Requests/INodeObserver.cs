using Orleans.Concurrency;

namespace ReliabilityToolkit.Orleans;

/// <summary>What a node has to be told without having asked. A hint: it may come late, twice, or never.</summary>
[Alias("rt.INodeObserver"), GrainInterfaceType("rt.INodeObserver")]
internal interface INodeObserver : IGrainObserver
{
    /// <summary>It is worth while to ask that authority.</summary>
    /// <param name="channel">Which of the node's breakers or bulkheads.</param>
    /// <param name="epoch">Of the authority.</param>
    /// <param name="version">What it told the node before that version is out of date.</param>
    /// <param name="wanted">Slots of a bulkhead that others wait for.</param>
    [OneWay, Alias("Changed")]
    void Changed(int channel, long epoch, long version, int wanted);
}
