namespace ReliabilityToolkit.Orleans;

/// <summary>What becomes of a caller at a breaker's door.</summary>
internal enum CircuitFate
{
    /// <summary>He waits for the authority's answer.</summary>
    AtTheDoor,

    /// <summary>He may make his call.</summary>
    Admitted,

    /// <summary>He may not.</summary>
    Refused,

    /// <summary>He may not, because the authority does not answer.</summary>
    Unavailable,

    /// <summary>The authority answered with an error.</summary>
    Failed,

    /// <summary>He has gone.</summary>
    Gone,
}

/// <summary>A caller who waits for the authority's answer. The machine decides him; the shell tells him.</summary>
internal sealed class CircuitCaller
{
    public CircuitFate Fate { get; set; }

    /// <summary>Where he is admitted or refused.</summary>
    public CircuitPass Pass { get; set; }
}

/// <summary>How some calls went, on its way to the authority; told calls of one kind that end one after the other are told as one.</summary>
internal sealed class CircuitTelling(in CircuitNews news, Instant until)
{
    public CircuitNews News { get; set; } = news;

    /// <summary>Of a trial: by then the authority does not wait for it any more.</summary>
    public Instant Until { get; } = until;

    /// <summary>The authority knows, or is not expected to know any more.</summary>
    public bool IsOver { get; set; }
}
