namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Who asks, and for the how-manieth time: what makes a request safe to repeat. The authority does a sequence number
/// once and repeats its answer (the completion records of RIFL: Lee et al., SOSP 2015).
/// </summary>
/// <param name="Node">The process that asks; <see cref="Guid.Empty"/> for a caller without the client library, whose requests are not remembered.</param>
/// <param name="Channel">Which of the node's client objects asks; each counts its own sequence.</param>
/// <param name="Sequence">Counts up from 1 on each channel.</param>
/// <param name="OldestOpen">No answer below this number is awaited any more, so the authority may forget it.</param>
[GenerateSerializer, Immutable, Alias("rt.RequestId")]
internal readonly record struct RequestId(
    [property: Id(0)] Guid Node,
    [property: Id(1)] int Channel,
    [property: Id(2)] long Sequence,
    [property: Id(3)] long OldestOpen)
{
    /// <summary>
    /// How far a request may lag behind the newest of its channel: what an authority remembers of a channel is bounded by this. One that lags
    /// further is answered with the void answer and not done. A thread that sleeps for 16 ms between number and call, at a million calls per second, is still heard.
    /// </summary>
    public const int MaxOpen = 16_384;

    public bool IsAnonymous => Node == Guid.Empty;

    public RequestKey Key => new(Node, Channel, Sequence);
}

/// <summary>Which request it is, whatever else is told along with it.</summary>
internal readonly record struct RequestKey(Guid Node, int Channel, long Sequence);
