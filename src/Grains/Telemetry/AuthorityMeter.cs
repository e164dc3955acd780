using System.Diagnostics.Metrics;

namespace ReliabilityToolkit.Orleans;

/// <summary>What a silo's authorities measure, for whoever listens to the meter of <see cref="ReliabilityToolkitTelemetry"/>.</summary>
internal sealed class AuthorityMeter : IDisposable
{
    private static readonly string[] Predecessors = ReliabilityToolkitTelemetry.WordsOf<Predecessor>();
    private static readonly string[] States = ReliabilityToolkitTelemetry.WordsOf<CircuitState>();
    private static readonly string[] Causes = ReliabilityToolkitTelemetry.WordsOf<CircuitCause>();

    private readonly Meter _meter;
    private readonly bool _isOwned;
    private readonly Counter<long> _activations;
    private readonly Counter<long> _quarantines;
    private readonly Counter<long> _decisions;
    private readonly Counter<long> _transitions;
    private readonly Counter<long> _trials;
    private readonly Counter<long> _unaudited;
    private readonly Counter<long> _written;
    private readonly Counter<long> _deleted;
    private readonly Counter<long> _failed;
    private readonly Counter<long> _lost;

    public AuthorityMeter(IMeterFactory? factory = null)
    {
        _isOwned = factory is null;
        _meter = ReliabilityToolkitTelemetry.CreateMeter(factory);
        _activations = _meter.CreateCounter<long>(
            "reliability_toolkit.authority.activations", "{activation}", "Authorities that began, by what is known of the one before.");
        _quarantines = _meter.CreateCounter<long>(
            "reliability_toolkit.authority.quarantines", "{quarantine}", "Authorities that lend nothing for a while, for another may have lent it.");
        _decisions = _meter.CreateCounter<long>(
            "reliability_toolkit.authority.decisions",
            "{caller}",
            "Callers for whom the authority itself was asked, with the client library or without.");
        _transitions = _meter.CreateCounter<long>(
            "reliability_toolkit.breaker.transitions", "{transition}", "Changes of a circuit's state, each once in the cluster.");
        _trials = _meter.CreateCounter<long>("reliability_toolkit.breaker.trials", "{trial}", "Trials that are over, by their outcome.");
        _unaudited = _meter.CreateCounter<long>(
            "reliability_toolkit.breaker.unaudited", "{event}", "Events that the audit sink did not get: it was too slow, or failed.");
        _written = _meter.CreateCounter<long>("reliability_toolkit.records.written", "{record}", "Records made or changed.");
        _deleted = _meter.CreateCounter<long>("reliability_toolkit.records.deleted", "{record}", "Records of names with nothing to be remembered.");
        _failed = _meter.CreateCounter<long>(
            "reliability_toolkit.records.failed", "{operation}", "Reads, writes and deletions that failed or took too long.");
        _lost = _meter.CreateCounter<long>(
            "reliability_toolkit.records.lost", "{record}", "Authorities that found that another has taken their place.");
    }

    /// <summary>For whoever listens to this one only.</summary>
    public Meter Source => _meter;

    public void Began(string kind, Predecessor predecessor) =>
        _activations.Add(1, ReliabilityToolkitTelemetry.OfKind(kind), new("predecessor", Predecessors[(int)predecessor]));

    public void Withheld(string kind) => _quarantines.Add(1, ReliabilityToolkitTelemetry.OfKind(kind));

    public void Decided(string kind, string policy, bool isAdmitted) => _decisions.Add(
        1,
        ReliabilityToolkitTelemetry.OfKind(kind),
        ReliabilityToolkitTelemetry.OfPolicy(policy),
        ReliabilityToolkitTelemetry.OfOutcome(isAdmitted ? "admitted" : "refused"));

    public void Changed(string policy, CircuitState state, CircuitCause cause) => _transitions.Add(
        1, ReliabilityToolkitTelemetry.OfPolicy(policy), new("state", States[(int)state]), new("cause", Causes[(int)cause]));

    public void Tried(string policy, in TrialCounts since)
    {
        Add("succeeded", since.Succeeded);
        Add("failed", since.Failed);
        Add("ignored", since.Ignored);
        Add("unanswered", since.Unanswered);

        void Add(string outcome, long trials)
        {
            if (trials > 0)
                _trials.Add(trials, ReliabilityToolkitTelemetry.OfPolicy(policy), ReliabilityToolkitTelemetry.OfOutcome(outcome));
        }
    }

    public void Unaudited() => _unaudited.Add(1);

    public void Written(string kind) => _written.Add(1, ReliabilityToolkitTelemetry.OfKind(kind));

    public void Deleted(string kind) => _deleted.Add(1, ReliabilityToolkitTelemetry.OfKind(kind));

    public void Failed(string kind) => _failed.Add(1, ReliabilityToolkitTelemetry.OfKind(kind));

    public void Lost(string kind) => _lost.Add(1, ReliabilityToolkitTelemetry.OfKind(kind));

    public void Dispose()
    {
        if (_isOwned)
            _meter.Dispose();
    }
}
