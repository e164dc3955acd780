namespace ReliabilityToolkit.Orleans;

/// <summary>
/// What every authority machine can do beside its own verbs. A machine is handed the time; its grain guards it, reads the clock, and sees to it that
/// each request is done once.
/// </summary>
internal interface IAuthorityMachine<in TPolicy, TAnswer> : IAnswers<TAnswer>
{
    /// <summary>After this instant a new machine would answer as this one does: until then the activation is worth keeping.</summary>
    Instant MemorableUntil { get; }

    /// <summary>Goes on under another policy, and keeps what was promised.</summary>
    void ChangeTo(TPolicy policy, Instant now);
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
