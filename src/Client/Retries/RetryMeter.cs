using System.Diagnostics.Metrics;

namespace ReliabilityToolkit.Orleans;

/// <summary>What retries count; they belong to no container.</summary>
internal static class RetryMeter
{
    private static readonly Meter Meter = ReliabilityToolkitTelemetry.CreateMeter(null);

    /// <summary>Attempts after the first.</summary>
    public static readonly Counter<long> Repeated = Meter.CreateCounter<long>(
        "reliability_toolkit.retry.repeated", "{attempt}", "Attempts after the first.");

    /// <summary>Attempts that were not made, because the budget was used up.</summary>
    public static readonly Counter<long> OverBudget = Meter.CreateCounter<long>(
        "reliability_toolkit.retry.over_budget", "{attempt}", "Attempts that were not made, because the budget was used up.");
}
