namespace ReliabilityToolkit.Orleans;

/// <summary>
/// One kind of numbered request: how it is sent, and what is to be done when nobody waits for its answer any more. Made once per kind.
/// </summary>
internal sealed class Question<TAuthority, TMessage, TAnswer>
{
    /// <summary>Makes the grain call; invoked afresh for each attempt.</summary>
    public required Func<TAuthority, RequestId, TMessage, ValueTask<TAnswer>> Send { get; init; }

    /// <summary>
    /// Hears an answer, and tells whether it leaves the matter undecided: the same is then asked again, under the same number. Not asked of the void
    /// answer.
    /// </summary>
    public Func<TMessage, TAnswer, bool> IsUndecided { get; init; } = static (_, _) => false;

    /// <summary>How long after an undecided answer it is asked again; by default at once, for authorities that hold the call.</summary>
    public Func<TMessage, TimeSpan> AskAgainAfter { get; init; } = static _ => TimeSpan.Zero;

    /// <summary>
    /// The caller has gone, or no answer came: gives back what the request may have got, now or when it arrives after all. Absent: nothing to give
    /// back.
    /// </summary>
    public Func<Conversation<TAuthority>, RequestId, ValueTask>? TakeBack { get; init; }
}

/// <summary>An answer, and from when to count what it lends.</summary>
/// <param name="Answer">What the authority said.</param>
/// <param name="Id">The number under which it was asked.</param>
/// <param name="AskedAt">Before the request was sent that it answers.</param>
internal readonly record struct Reply<TAnswer>(TAnswer Answer, RequestId Id, Instant AskedAt);
