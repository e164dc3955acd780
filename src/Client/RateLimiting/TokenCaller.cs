namespace ReliabilityToolkit.Orleans;

/// <summary>What became of a caller.</summary>
internal enum CallerFate
{
    /// <summary>He waits.</summary>
    Undecided,

    /// <summary>He took his tokens from the part.</summary>
    AdmittedHere,

    /// <summary>The authority admitted him, at its instant.</summary>
    AdmittedThere,

    /// <summary>No.</summary>
    Refused,

    /// <summary>He left.</summary>
    Gone,
}

/// <summary>One who waits at a node: for its part's next tokens, or for the authority's answer.</summary>
/// <param name="tokens">How many.</param>
/// <param name="mayWait">Whether a no of the authority is to be waited out.</param>
internal sealed class TokenCaller(int tokens, bool mayWait)
{
    public int Tokens { get; } = tokens;

    public bool MayWait { get; } = mayWait;

    public CallerFate Fate { get; set; }

    /// <summary>Of one who was refused.</summary>
    public TimeSpan RetryAfter { get; set; }
}
