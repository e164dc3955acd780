using System.Diagnostics.Metrics;

namespace ReliabilityToolkit.Orleans;

/// <summary>What was decided. The first are those of <see cref="RefusalReason"/>.</summary>
internal enum DecisionOutcome
{
    Unspecified = RefusalReason.Unspecified,
    RateLimited = RefusalReason.RateLimited,
    QueueFull = RefusalReason.QueueFull,
    NoFreeSlot = RefusalReason.NoFreeSlot,
    AuthorityUnavailable = RefusalReason.AuthorityUnavailable,
    NoLocalStock = RefusalReason.NoLocalStock,
    WaitExpired = RefusalReason.WaitExpired,
    Admitted,
    Open,
    HalfOpen,
    Isolated,
    Shed,
    Closed,
}

/// <summary>The decisions on a node under one policy, whatever the key: written by callers, read by whoever looks. Thread-safe.</summary>
internal sealed class DecisionCounts
{
    private static readonly string[] Sources = ReliabilityToolkitTelemetry.WordsOf<DecisionSource>();
    private static readonly string[] Outcomes = ReliabilityToolkitTelemetry.WordsOf<DecisionOutcome>();

    private readonly StripedCount _hits = new();
    private readonly long[] _counts = new long[Sources.Length * Outcomes.Length];

    /// <summary>A caller was admitted by what the node holds: the one count on that way.</summary>
    public void Hit() => _hits.Add();

    public void Add(DecisionSource source, DecisionOutcome outcome, long callers = 1) =>
        Interlocked.Add(ref _counts[((int)source * Outcomes.Length) + (int)outcome], callers);

    /// <summary>All, and of these those without the authority.</summary>
    public (long All, long Fallback) Total
    {
        get
        {
            var (all, fallback) = (0L, 0L);
            foreach (var (source, _, count) in Read())
            {
                all += count;
                fallback += source == DecisionSource.Fallback ? count : 0;
            }

            return (all, fallback);
        }
    }

    public IEnumerable<Measurement<long>> Measure(string policy)
    {
        foreach (var (source, outcome, count) in Read())
        {
            yield return new Measurement<long>(
                count,
                ReliabilityToolkitTelemetry.OfPolicy(policy),
                ReliabilityToolkitTelemetry.OfOutcome(Outcomes[(int)outcome]),
                new("source", Sources[(int)source]));
        }
    }

    private IEnumerable<(DecisionSource Source, DecisionOutcome Outcome, long Count)> Read()
    {
        for (var i = 0; i < _counts.Length; i++)
        {
            var (source, outcome) = ((DecisionSource)(i / Outcomes.Length), (DecisionOutcome)(i % Outcomes.Length));
            var count = Interlocked.Read(ref _counts[i]);
            if (source == DecisionSource.Part && outcome == DecisionOutcome.Admitted)
                count += _hits.Sum;
            if (count > 0)
                yield return (source, outcome, count);
        }
    }
}
