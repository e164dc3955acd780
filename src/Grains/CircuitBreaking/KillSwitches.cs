namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The kill switches that were thrown, and which nodes may not know of them yet: each of these has said that it knows, or its verdict has run out,
/// before the switch is obeyed. Not thread-safe.
/// </summary>
internal sealed class KillSwitches
{
    private readonly List<Switch> _thrown = [];

    /// <summary>Those that some node may not obey yet, or that may be asked for again.</summary>
    public int Count => _thrown.Count;

    /// <summary>Notes one that has just been thrown.</summary>
    /// <param name="key">The order's number.</param>
    /// <param name="version">From which on a node knows.</param>
    /// <param name="holders">All nodes, and until when each may go by what it was told before.</param>
    /// <param name="unknownUntil">Until when there may be verdicts of which nothing is known.</param>
    /// <param name="now">The grain's instant.</param>
    public void Throw(RequestKey key, long version, IEnumerable<(VerdictHolders.Holder, Instant)> holders, Instant unknownUntil, Instant now) =>
        _thrown.Add(new Switch(
            key,
            version,
            unknownUntil,
            now,
            [.. holders.Select(static holder => new Pending(holder.Item1, holder.Item2)).Where(pending => pending.Until > now)]));

    /// <summary>How far one is obeyed; null: it is not known.</summary>
    public CircuitObedience? Look(RequestKey key, Instant now) => _thrown.Find(thrown => thrown.Key == key)?.Look(now);

    /// <summary>Whether all are obeyed.</summary>
    public bool AreAllObeyed(Instant now) => _thrown.TrueForAll(thrown => thrown.Look(now).IsObeyed);

    /// <summary>By then nobody asks for them any more.</summary>
    public void Forget(Instant thrownBefore) => _thrown.RemoveAll(thrown => thrown.At < thrownBefore);

    private readonly record struct Pending(VerdictHolders.Holder Holder, Instant Until);

    private sealed class Switch(RequestKey key, long version, Instant unknownUntil, Instant at, List<Pending> pending)
    {
        private int _acknowledged;
        private int _ranOut;

        public RequestKey Key { get; } = key;

        public Instant At { get; } = at;

        public CircuitObedience Look(Instant now)
        {
            // Who has said that he knows, may have been lent a new verdict since: what counts is the one that he had.
            _acknowledged += pending.RemoveAll(one => one.Holder.Knows >= version);
            _ranOut += pending.RemoveAll(one => one.Until <= now);
            var last = pending.Aggregate(unknownUntil, static (last, one) => Instant.Later(last, one.Until));
            return new CircuitObedience(true, pending.Count, _acknowledged, _ranOut, last.After(now));
        }
    }
}
