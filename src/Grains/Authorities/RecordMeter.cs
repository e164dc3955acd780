using System.Diagnostics.Metrics;

namespace ReliabilityToolkit.Orleans;

/// <summary>What a silo counts of its records, for whoever listens to the meter "ReliabilityToolkit.Orleans".</summary>
internal static class RecordMeter
{
    private static readonly Meter Meter = new("ReliabilityToolkit.Orleans");

    /// <summary>Records made or changed.</summary>
    public static readonly Counter<long> Written = Meter.CreateCounter<long>("reliability_toolkit.records.written", "{record}");

    /// <summary>Records of names that have nothing to be remembered any more.</summary>
    public static readonly Counter<long> Deleted = Meter.CreateCounter<long>("reliability_toolkit.records.deleted", "{record}");

    /// <summary>Reads, writes and deletions that failed or took too long.</summary>
    public static readonly Counter<long> Failed = Meter.CreateCounter<long>("reliability_toolkit.records.failed", "{operation}");

    /// <summary>Authorities that found that another has taken their place.</summary>
    public static readonly Counter<long> Lost = Meter.CreateCounter<long>("reliability_toolkit.records.lost", "{record}");
}
