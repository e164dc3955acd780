namespace ReliabilityToolkit.Orleans;

/// <summary>For what a caller is ready to wait.</summary>
internal enum CallerPatience
{
    /// <summary>For nothing.</summary>
    None,

    /// <summary>For an answer of the authority, yes or no.</summary>
    ForAnAnswer,

    /// <summary>For his tokens.</summary>
    ForTokens,
}

/// <summary>What became of a caller.</summary>
internal enum CallerFate
{
    /// <summary>He waits in the node's line.</summary>
    InLine,

    /// <summary>The authority is to be asked for him, now or at <see cref="TokenCaller.At"/>.</summary>
    AsksThere,

    /// <summary>The authority has promised him his tokens for <see cref="TokenCaller.At"/>.</summary>
    Promised,

    /// <summary>He took his tokens from the part.</summary>
    AdmittedHere,

    /// <summary>The authority admitted him, at its instant.</summary>
    AdmittedThere,

    /// <summary>The node admitted him by itself: the authority does not answer.</summary>
    AdmittedAlone,

    /// <summary>No.</summary>
    Refused,

    /// <summary>He left.</summary>
    Gone,
}

/// <summary>One who did not find his tokens at once.</summary>
/// <param name="tokens">How many.</param>
/// <param name="patience">For what he is ready to wait.</param>
/// <param name="cameAt">On the node's clock.</param>
internal sealed class TokenCaller(int tokens, CallerPatience patience, Instant cameAt = default)
{
    public int Tokens { get; } = tokens;

    public CallerPatience Patience { get; } = patience;

    public Instant CameAt { get; } = cameAt;

    /// <summary>Where it was decided, once it has been.</summary>
    public DecisionSource Source { get; private set; }

    /// <summary>His, in the line.</summary>
    public LinkedListNode<TokenCaller>? Place { get; set; }

    public CallerFate Fate { get; private set; }

    /// <summary>When the authority is to be asked (again), or when the tokens are his.</summary>
    public Instant At { get; private set; }

    /// <summary>Of one who was refused.</summary>
    public TimeSpan RetryAfter { get; private set; }

    /// <summary>Of one who was refused.</summary>
    public RefusalReason Reason { get; private set; }

    public void Becomes(CallerFate fate, Instant at = default)
    {
        (Fate, At) = (fate, at);
        Source = fate switch
        {
            CallerFate.AsksThere or CallerFate.Promised or CallerFate.AdmittedThere => DecisionSource.Authority,
            CallerFate.AdmittedAlone => DecisionSource.Fallback,
            CallerFate.AdmittedHere => DecisionSource.Part,
            _ => Source,
        };
    }

    public void IsRefused(RefusalReason reason, TimeSpan retryAfter) => (Fate, Reason, RetryAfter) = (CallerFate.Refused, reason, retryAfter);

    public void IsRefusedAlone(RefusalReason reason, TimeSpan retryAfter)
    {
        IsRefused(reason, retryAfter);
        Source = DecisionSource.Fallback;
    }
}
