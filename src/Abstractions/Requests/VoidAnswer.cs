namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The void answer: what an authority gives to a request that nobody awaits any more, and what an older or newer side's unknown answer reads as. It
/// is the default value of every answer, admits nothing and confirms nothing; no real answer equals it. Who gets it does not know whether the request
/// was done.
/// </summary>
internal static class VoidAnswer
{
    public static bool IsVoid<TAnswer>(this TAnswer answer)
        where TAnswer : struct, IEquatable<TAnswer> => answer.Equals(default);
}
