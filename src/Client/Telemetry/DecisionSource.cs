namespace ReliabilityToolkit.Orleans;

/// <summary>Where it was decided whether a caller is admitted.</summary>
internal enum DecisionSource
{
    /// <summary>On the node, by what it was lent.</summary>
    Part,

    /// <summary>By the authority, for this caller.</summary>
    Authority,

    /// <summary>On the node, because the authority does not answer.</summary>
    Fallback,
}
