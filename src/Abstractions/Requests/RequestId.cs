namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Who asks, and which of his requests it is: what makes a request safe to repeat. The authority does a number once and repeats its answer.
/// </summary>
/// <remarks>
/// The numbers and the oldest open one are those of RIFL (Lee et al., SOSP 2015); the slot is that of an NFSv4.1 session (RFC 8881, section 2.10.6):
/// a node opens a request in a slot only when the one before it there is closed, so an authority keeps one answer per slot however far a laggard
/// lags.
/// </remarks>
/// <param name="Node">
/// The process that asks; <see cref="Guid.Empty"/> for a caller without the client library, whose requests are not remembered.
/// </param>
/// <param name="Channel">Which of the node's limiters, breakers or bulkheads asks; each numbers its own requests.</param>
/// <param name="Sequence">Counts up from 1 on each channel.</param>
/// <param name="OldestOpen">
/// No answer below this number is awaited any more, so the authority may forget it; at most <paramref name="Sequence"/>.
/// </param>
/// <param name="Slot">Counts up from 0; no two open requests of a channel share one, and the lowest free one is taken.</param>
[GenerateSerializer, Immutable, Alias("rt.RequestId")]
internal readonly record struct RequestId(
    [property: Id(0)] Guid Node,
    [property: Id(1)] int Channel,
    [property: Id(2)] long Sequence,
    [property: Id(3)] long OldestOpen,
    [property: Id(4)] int Slot)
{
    public bool IsAnonymous => Node == Guid.Empty;

    public RequestKey Key => new(Node, Channel, Sequence);
}

/// <summary>Which request it is, whatever else is told along with it.</summary>
internal readonly record struct RequestKey(Guid Node, int Channel, long Sequence);
