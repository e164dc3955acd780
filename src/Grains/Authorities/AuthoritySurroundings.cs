namespace ReliabilityToolkit.Orleans;

/// <summary>What a silo's authorities share.</summary>
/// <param name="Clock">The silo's.</param>
/// <param name="Policies">In force.</param>
/// <param name="Chance">For what must differ.</param>
/// <param name="Records">Where they are kept.</param>
/// <param name="Departures">Of other silos.</param>
/// <param name="Meter">Where they are counted.</param>
/// <param name="Audit">Who hears of circuits.</param>
internal sealed record AuthoritySurroundings(
    NodeClock Clock,
    PolicySource Policies,
    Chance Chance,
    RecordStore Records,
    Departures Departures,
    AuthorityMeter Meter,
    CircuitAudit Audit);
