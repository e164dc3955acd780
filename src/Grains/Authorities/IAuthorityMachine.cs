namespace ReliabilityToolkit.Orleans;

/// <summary>
/// What every authority machine can do beside its own verbs. A machine is handed the time; its grain guards it, reads the clock, and sees to it that
/// each request is done once.
/// </summary>
internal interface IAuthorityMachine<in TPolicy, TAnswer, out TMemory> : IAnswers<TAnswer>, IRemembers<TMemory>
{
    /// <summary>Until then it lends nothing, or less, for an authority before it may have lent what there is.</summary>
    Instant WithheldUntil { get; }

    /// <summary>Goes on under another policy, and keeps what was promised.</summary>
    void ChangeTo(TPolicy policy, Instant now);
}

/// <summary>A machine whose work a successor carries on.</summary>
internal interface IRemembers<out TMemory>
{
    /// <summary>Of the activation, and of those that it carries on; higher than those of all others before it.</summary>
    long Epoch { get; }

    /// <summary>Whether it has heard that another activation has taken its place: it decides nothing any more.</summary>
    bool HasSuccessor { get; }

    /// <summary>After this instant a new machine would answer as this one does: until then the activation is worth keeping.</summary>
    Instant MemorableUntil { get; }

    /// <summary>Whether a successor that knows nothing of it would be more generous than is promised even where a record may be made late.</summary>
    bool IsWorthRecording { get; }

    /// <summary>How often, since it began, it has decided something that must outlive it: nobody hears of that before it is recorded.</summary>
    long Decrees { get; }

    /// <summary>What it knows, for a successor.</summary>
    /// <param name="now">The grain's instant.</param>
    /// <param name="isWhole">All, for one that carries on; else what must outlive it though it be lost.</param>
    TMemory Capture(Instant now, bool isWhole);
}

/// <summary>A machine whose answers can be asked for again.</summary>
internal interface IAnswers<TAnswer>
{
    /// <summary>What an earlier answer comes to by now: the rest of a wait, a verdict if it still stands.</summary>
    /// <param name="earlier">What was answered.</param>
    /// <param name="answeredAt">When.</param>
    /// <param name="now">When the same request came again.</param>
    TAnswer Repeat(in TAnswer earlier, Instant answeredAt, Instant now);

    /// <summary>Whether it decides the request. If not, the same is asked again, and is no repetition.</summary>
    bool IsFinal(in TAnswer answer) => true;
}
