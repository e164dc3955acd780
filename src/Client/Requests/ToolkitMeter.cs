using System.Diagnostics.Metrics;

namespace ReliabilityToolkit.Orleans;

/// <summary>What a node counts of its talk with the authorities, for whoever listens to the meter "ReliabilityToolkit.Orleans".</summary>
internal static class ToolkitMeter
{
    private static readonly Meter Meter = new("ReliabilityToolkit.Orleans");

    /// <summary>Calls to the authorities; of one that is repeated each attempt.</summary>
    public static readonly Counter<long> Calls = Meter.CreateCounter<long>("reliability_toolkit.calls", "{call}");

    /// <summary>Callers whom a limiter admitted from what the node held. Counted by and by.</summary>
    public static readonly Counter<long> AdmittedLocally = Meter.CreateCounter<long>("reliability_toolkit.limiter.admitted_locally", "{caller}");

    /// <summary>Calls that got no answer within their time, repeats included.</summary>
    public static readonly Counter<long> Unanswered = Meter.CreateCounter<long>("reliability_toolkit.calls.unanswered", "{call}");

    /// <summary>What was to be told in the background, or after a call was over, and could not be.</summary>
    public static readonly Counter<long> Untold = Meter.CreateCounter<long>("reliability_toolkit.calls.untold", "{call}");

    private static readonly Counter<long> DecidedAlone = Meter.CreateCounter<long>("reliability_toolkit.limiter.decided_alone", "{caller}");

    private static readonly Counter<long> BreakerDecidedAlone = Meter.CreateCounter<long>("reliability_toolkit.breaker.decided_alone", "{caller}");

    /// <summary>A breaker's callers who were decided while the authority did not answer.</summary>
    public static void EnteredAlone(long admitted, long refused)
    {
        Count(BreakerDecidedAlone, admitted, "admitted");
        Count(BreakerDecidedAlone, refused, "refused");
    }

    /// <summary>Callers admitted while the authority did not answer.</summary>
    public static void Admitted(long callers) => Count(DecidedAlone, callers, "admitted");

    /// <summary>Callers refused for that.</summary>
    public static void Refused(long callers) => Count(DecidedAlone, callers, "refused");

    private static void Count(Counter<long> counter, long callers, string outcome)
    {
        if (callers > 0)
            counter.Add(callers, new KeyValuePair<string, object?>("outcome", outcome));
    }
}
