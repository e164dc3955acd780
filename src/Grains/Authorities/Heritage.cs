namespace ReliabilityToolkit.Orleans;

/// <summary>Whether there was an authority of the same name before this one, and how it ended.</summary>
internal enum Predecessor
{
    /// <summary>There was none, or it left nothing to be remembered.</summary>
    None,

    /// <summary>Nothing is known: no record is kept, and a silo was lost lately.</summary>
    Possible,

    /// <summary>It has not said goodbye: it was lost, or lives on unseen. What it lent may be in use until it ends.</summary>
    Lost,

    /// <summary>It has stopped, and told all that it knew.</summary>
    Finished,
}

/// <summary>What a new authority takes over.</summary>
/// <param name="Epoch">Of the new one: that of a finished predecessor, whose work it carries on; above that of a lost one.</param>
/// <param name="Predecessor">How the one before it ended.</param>
/// <param name="Memory">
/// What is remembered: of a finished predecessor all, of a lost one what must never be forgotten. Null where there was nothing.
/// </param>
/// <param name="Elapsed">
/// Since then, at least. Only what a longer time makes more generous is reckoned by it, for it stems from the clocks of two silos; what is lent ends
/// as if no time had passed.
/// </param>
/// <param name="Fence">How long a lost predecessor may go on deciding, should it live on.</param>
internal readonly record struct Heritage<TMemory>(
    long Epoch, Predecessor Predecessor, TMemory? Memory = null, TimeSpan Elapsed = default, TimeSpan Fence = default)
    where TMemory : class;
