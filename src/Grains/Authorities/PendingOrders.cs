namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The orders that were given, and which nodes may not know of them yet: each of these has said that it knows, or what it was lent has run out,
/// before the order is obeyed. Not thread-safe.
/// </summary>
internal sealed class PendingOrders
{
    private readonly List<Order> _given = [];

    /// <summary>Those that some node may not obey yet, or that may be asked for again.</summary>
    public int Count => _given.Count;

    /// <summary>By when none of them comes again: one that did would be given anew, and override what was ordered since.</summary>
    public Instant MemorableUntil
    {
        get
        {
            var until = default(Instant);
            foreach (var order in _given)
                until = order.Key.Node == Guid.Empty ? until : Instant.Later(until, order.AskedAt + CallTimeouts.AnswersKeptFor);
            return until;
        }
    }

    /// <summary>Notes one that has just been given.</summary>
    /// <param name="key">Its number.</param>
    /// <param name="version">From which on a node knows.</param>
    /// <param name="listeners">All nodes, and until when each may go by what it was told before.</param>
    /// <param name="unknownUntil">Until when there may be nodes of which nothing is known.</param>
    /// <param name="now">The grain's instant.</param>
    public void Give(RequestKey key, long version, IEnumerable<(IListener, Instant)> listeners, Instant unknownUntil, Instant now) =>
        _given.Add(new Order(
            key,
            version,
            unknownUntil,
            now,
            [.. listeners.Select(static one => new Pending(one.Item1, one.Item2)).Where(pending => pending.Until > now)]));

    /// <summary>Those that may be asked for again, of callers who have a number, for a successor.</summary>
    public OrderMemory[] Capture(Instant now) =>
    [
        .. _given.Where(static given => given.Key.Node != Guid.Empty)
            .Select(given => new OrderMemory(given.Key.Node, given.Key.Channel, given.Key.Sequence, given.Version, now - given.AskedAt)),
    ];

    /// <summary>Goes on with them: else one that comes again would be given anew, and override what was ordered since.</summary>
    /// <param name="orders">As captured.</param>
    /// <param name="listeners">All nodes that may not know of one, and until when each may go by what it was told before.</param>
    /// <param name="unknownUntil">Until when there may be nodes of which nothing is known.</param>
    /// <param name="now">The grain's instant.</param>
    public void Resume(OrderMemory[] orders, IReadOnlyCollection<(IListener, Instant)> listeners, Instant unknownUntil, Instant now)
    {
        foreach (var order in orders)
        {
            Give(new RequestKey(order.Node, order.Channel, order.Sequence), order.Version, listeners, unknownUntil, now);
            _given[^1].AskedAt = new Instant(now.Ticks - order.AskedAgo.Ticks);
        }
    }

    /// <summary>How far one is obeyed; null: it is not known.</summary>
    public Obedience? Look(RequestKey key, Instant now)
    {
        if (_given.Find(given => given.Key == key) is not { } order)
            return null;
        order.AskedAt = now;
        return order.Look(now);
    }

    /// <summary>Whether all are obeyed.</summary>
    public bool AreAllObeyed(Instant now) => _given.TrueForAll(given => given.Look(now).IsObeyed);

    /// <summary>
    /// Those that nobody has asked for since then; nobody will any more. One that is still asked for would be given anew, and override what was
    /// ordered since.
    /// </summary>
    public void Forget(Instant askedBefore) => _given.RemoveAll(given => given.AskedAt < askedBefore);

    private readonly record struct Pending(IListener Listener, Instant Until);

    private sealed class Order(RequestKey key, long version, Instant unknownUntil, Instant at, List<Pending> pending)
    {
        private int _acknowledged;
        private int _ranOut;

        public RequestKey Key { get; } = key;

        public long Version => version;

        public Instant AskedAt { get; set; } = at;

        public Obedience Look(Instant now)
        {
            // Who has said that he knows, may have been lent something new since: what counts is what he had.
            _acknowledged += pending.RemoveAll(one => one.Listener.Knows >= version);
            _ranOut += pending.RemoveAll(one => one.Until <= now);
            var last = pending.Aggregate(unknownUntil, static (last, one) => Instant.Later(last, one.Until));
            return new Obedience(true, pending.Count, _acknowledged, _ranOut, last.After(now));
        }
    }
}

/// <summary>An order that was given.</summary>
/// <param name="Node">Whose.</param>
/// <param name="Channel">Likewise.</param>
/// <param name="Sequence">Of his request.</param>
/// <param name="Version">From which on a node knows.</param>
/// <param name="AskedAgo">Since when nobody has asked for it.</param>
[GenerateSerializer, Immutable, Alias("rt.OrderMemory")]
internal readonly record struct OrderMemory(
    [property: Id(0)] Guid Node,
    [property: Id(1)] int Channel,
    [property: Id(2)] long Sequence,
    [property: Id(3)] long Version,
    [property: Id(4)] TimeSpan AskedAgo);

/// <summary>A node that is told of changes.</summary>
internal interface IListener
{
    /// <summary>The newest version of which it has said that it knows.</summary>
    long Knows { get; }
}
