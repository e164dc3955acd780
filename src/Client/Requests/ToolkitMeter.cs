using System.Diagnostics.Metrics;

namespace ReliabilityToolkit.Orleans;

/// <summary>What a node counts of its talk with the authorities, for whoever listens to the meter "ReliabilityToolkit.Orleans".</summary>
internal static class ToolkitMeter
{
    private static readonly Meter Meter = new("ReliabilityToolkit.Orleans");

    /// <summary>Calls that got no answer within their time, repeats included.</summary>
    public static readonly Counter<long> Unanswered = Meter.CreateCounter<long>("reliability_toolkit.calls.unanswered", "{call}");

    /// <summary>What was to be told in the background, or after a call was over, and could not be.</summary>
    public static readonly Counter<long> Untold = Meter.CreateCounter<long>("reliability_toolkit.calls.untold", "{call}");
}
