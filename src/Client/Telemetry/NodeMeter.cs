using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// What a node measures, for whoever listens to the meter of <see cref="ReliabilityToolkitTelemetry"/>. Counts of decisions lie with the policies and
/// are read when somebody looks; so are levels, from the limiters, breakers and bulkheads that are alive then.
/// </summary>
internal sealed class NodeMeter : IDisposable
{
    private readonly Meter _meter;
    private readonly Counter<long> _calls;
    private readonly Counter<long> _repeats;
    private readonly Counter<long> _unanswered;
    private readonly Counter<long> _untold;
    private readonly Counter<long> _tokens;
    private readonly Counter<long> _changes;
    private readonly Counter<long> _lostSlots;
    private readonly Counter<long> _returnedSlots;
    private readonly PolicyNames _names = new();
    private readonly bool _isOwned;

    public NodeMeter(IMeterFactory? factory = null)
    {
        _isOwned = factory is null;
        _meter = ReliabilityToolkitTelemetry.CreateMeter(factory);
        Limiters = new KindMeter(_meter, "limiter", _names);
        Breakers = new KindMeter(_meter, "breaker", _names);
        Bulkheads = new KindMeter(_meter, "bulkhead", _names);
        _calls = _meter.CreateCounter<long>("reliability_toolkit.calls", "{call}", "Calls to authorities, each attempt.");
        _repeats = _meter.CreateCounter<long>("reliability_toolkit.calls.repeated", "{call}", "Of these, further attempts.");
        _unanswered = _meter.CreateCounter<long>("reliability_toolkit.calls.unanswered", "{call}", "No answer in time, with all repeats.");
        _untold = _meter.CreateCounter<long>(
            "reliability_toolkit.calls.untold", "{call}", "What was to be told in the background, or after a call was over, and could not be.");
        _tokens = _meter.CreateCounter<long>(
            "reliability_toolkit.limiter.tokens",
            "{token}",
            "Tokens of parts: lent to the node, returned by it, run out unused; of settlements: refunded, owed, forgiven.");
        _changes = _meter.CreateCounter<long>("reliability_toolkit.breaker.changes", "{change}", "Changes of state that the node heard of.");
        _lostSlots = _meter.CreateCounter<long>("reliability_toolkit.bulkhead.permits.lost", "{slot}", "Slots of permits that were lost.");
        _returnedSlots = _meter.CreateCounter<long>(
            "reliability_toolkit.bulkhead.slots.returned", "{slot}", "Slots handed over: given back to the authority, for others or unused.");
    }

    /// <summary>For whoever listens to this one only.</summary>
    public Meter Source => _meter;

    public KindMeter Limiters { get; }

    public KindMeter Breakers { get; }

    public KindMeter Bulkheads { get; }

    /// <summary>All decisions, and of these those without the authority.</summary>
    public (long All, long Fallback) Total
    {
        get
        {
            var totals = new[] { Limiters.Total, Breakers.Total, Bulkheads.Total };
            return (totals.Sum(static total => total.All), totals.Sum(static total => total.Fallback));
        }
    }

    public void Called(string kind, string policy, bool isRepeat)
    {
        var (ofKind, ofPolicy) = (ReliabilityToolkitTelemetry.OfKind(kind), ReliabilityToolkitTelemetry.OfPolicy(_names.Of(policy)));
        _calls.Add(1, ofKind, ofPolicy);
        if (isRepeat)
            _repeats.Add(1, ofKind, ofPolicy);
    }

    public void Unanswered(string kind, string policy) =>
        _unanswered.Add(1, ReliabilityToolkitTelemetry.OfKind(kind), ReliabilityToolkitTelemetry.OfPolicy(_names.Of(policy)));

    public void Untold(string kind, string policy) =>
        _untold.Add(1, ReliabilityToolkitTelemetry.OfKind(kind), ReliabilityToolkitTelemetry.OfPolicy(_names.Of(policy)));

    /// <param name="policy">Of the limiter.</param>
    /// <param name="lent">Came into the part, by a grant or by its rate.</param>
    /// <param name="returned">Went back.</param>
    /// <param name="runOut">Were in the part when its term ended.</param>
    public void Tokens(string policy, long lent, long returned, long runOut)
    {
        Add(_tokens, lent, policy, "lent");
        Add(_tokens, returned, policy, "returned");
        Add(_tokens, runOut, policy, "run_out");
    }

    public void Settled(string policy, in Settlement settlement)
    {
        Add(_tokens, settlement.Refunded, policy, "refunded");
        Add(_tokens, settlement.Owed, policy, "owed");
        Add(_tokens, settlement.Forgiven, policy, "forgiven");
    }

    public void Changed(string policy, in CircuitStateChange change) => _changes.Add(
        1,
        ReliabilityToolkitTelemetry.OfPolicy(policy),
        new("state", States[(int)change.State]),
        new("cause", Causes[(int)change.Cause]),
        new("source", change.IsLocal ? "fallback" : "authority"));

    public void Slots(string policy, long lost, long returned)
    {
        if (lost > 0)
            _lostSlots.Add(lost, ReliabilityToolkitTelemetry.OfPolicy(policy));
        if (returned > 0)
            _returnedSlots.Add(returned, ReliabilityToolkitTelemetry.OfPolicy(policy));
    }

    /// <summary>Offers a level by policy, reckoned from those alive when somebody looks.</summary>
    /// <param name="name">After the prefix.</param>
    /// <param name="unit">Of the level.</param>
    /// <param name="description">What it says.</param>
    /// <param name="alive">Those alive, with their policies.</param>
    /// <param name="level">Of one.</param>
    /// <param name="sum">Of two; absent: they are added.</param>
    public void Offer<T>(
        string name,
        string unit,
        string description,
        Func<IEnumerable<(string Policy, T Node)>> alive,
        Func<T, double> level,
        Func<double, double, double>? sum = null) =>
        _meter.CreateObservableGauge(
            $"reliability_toolkit.{name}",
            () => from one in alive()
                  group one.Node by _names.Of(one.Policy) into policy
                  select new Measurement<double>(
                      policy.Select(level).Aggregate(sum ?? (static (left, right) => left + right)),
                      ReliabilityToolkitTelemetry.OfPolicy(policy.Key)),
            unit,
            description);

    public void Dispose()
    {
        if (_isOwned)
            _meter.Dispose();
    }

    private static readonly string[] States = ReliabilityToolkitTelemetry.WordsOf<CircuitState>();
    private static readonly string[] Causes = ReliabilityToolkitTelemetry.WordsOf<CircuitCause>();

    private static void Add(Counter<long> counter, long count, string policy, string outcome)
    {
        if (count > 0)
            counter.Add(count, ReliabilityToolkitTelemetry.OfPolicy(policy), ReliabilityToolkitTelemetry.OfOutcome(outcome));
    }
}

/// <summary>The decisions and waits of all limiters, or of all breakers, or of all bulkheads, by policy.</summary>
internal sealed class KindMeter
{
    private readonly ConcurrentDictionary<string, DecisionCounts> _byPolicy = new(StringComparer.Ordinal);
    private readonly Histogram<double> _wait;
    private readonly PolicyNames _names;

    public KindMeter(Meter meter, string kind, PolicyNames names)
    {
        _names = names;
        _wait = meter.CreateHistogram<double>($"reliability_toolkit.{kind}.wait", "s", "How long those waited who were admitted, and not at once.");
        meter.CreateObservableCounter(
            $"reliability_toolkit.{kind}.decisions",
            () => _byPolicy.SelectMany(static entry => entry.Value.Measure(entry.Key)),
            "{caller}",
            "Callers decided, by outcome and by where it was decided: by what the node was lent, by the authority, or in its absence.");
    }

    public (long All, long Fallback) Total
    {
        get
        {
            var totals = _byPolicy.Values.Select(static counts => counts.Total).ToList();
            return (totals.Sum(static total => total.All), totals.Sum(static total => total.Fallback));
        }
    }

    public DecisionCounts Of(string policy) => _byPolicy.GetOrAdd(_names.Of(policy), static _ => new DecisionCounts());

    public void Waited(string policy, TimeSpan time) => _wait.Record(time.TotalSeconds, ReliabilityToolkitTelemetry.OfPolicy(_names.Of(policy)));
}

/// <summary>
/// The policies that are told apart: a thousand, for a stranger may have chosen a name that no silo knows. Others are "other". Thread-safe.
/// </summary>
internal sealed class PolicyNames
{
    public const int Most = 1_000;

    public const string Other = "other";

    private readonly ConcurrentDictionary<string, string> _known = new(StringComparer.Ordinal);

    public string Of(string policy) =>
        _known.TryGetValue(policy, out var known) ? known
        : _known.Count >= Most ? Other
        : _known.GetOrAdd(policy, policy);
}
