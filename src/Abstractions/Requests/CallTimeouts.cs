namespace ReliabilityToolkit.Orleans;

/// <summary>How long a node repeats a request, and what follows from it for the authority.</summary>
internal static class CallTimeouts
{
    public static readonly TimeSpan Default = TimeSpan.FromSeconds(1);

    public static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(10);

    public static readonly TimeSpan Longest = TimeSpan.FromMinutes(1);

    /// <summary>
    /// How long an authority remembers the answers to a node that has fallen silent. A request is repeated for <see cref="Longest"/> at most, and its
    /// last copy may be under way as long again: after that no copy of it is left that could be done twice.
    /// </summary>
    public static readonly TimeSpan AnswersKeptFor = Longest * 2;

    /// <summary>
    /// How long an authority holds the call of a waiter who does not say otherwise: an activation that is to move waits for its held calls, and
    /// everybody else waits for it, so a hold must leave time to ask the successor.
    /// </summary>
    public static readonly TimeSpan LongestHold = Default / 2;
}
