namespace ReliabilityToolkit.Orleans;

/// <summary>What a breaker does on a node while its authority is known not to answer.</summary>
public enum CircuitFallback
{
    /// <summary>
    /// The node goes by a breaker of its own, of the same policy: it begins in the state that the node knew last, and hears of the node's calls only.
    /// A kill switch that is thrown meanwhile does not reach it.
    /// </summary>
    LocalBreaker = 0,

    /// <summary>No call is made: a kill switch is obeyed also where the authority is out of reach.</summary>
    Reject = 1,
}
