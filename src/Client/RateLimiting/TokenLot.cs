using System.Runtime.InteropServices;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The whole tokens of a part during one of its terms: what a hit needs. Thread-safe without a lock. One that has been replaced is closed, so that a
/// thread which slept in between gets nothing from it.
/// </summary>
/// <remarks>
/// What all hits write lies apart from what all hits read: where threads meet, each hit waits for one line of memory, and not for two.
/// </remarks>
[StructLayout(LayoutKind.Explicit, Size = 2 * Line)]
internal sealed class TokenLot
{
    public static readonly TokenLot None = new(0);

    // Two, for processors fetch them in pairs.
    private const int Line = 128;

    // Far below nothing, however many threads still try.
    private const int Closed = int.MinValue / 2;

    [FieldOffset(0)]
    private long _lookAt;

    [FieldOffset(Line)]
    private int _tokens;

    public TokenLot(int tokens) => _tokens = tokens;

    public int Tokens => Math.Max(0, Volatile.Read(ref _tokens));

    /// <summary>Up to this instant the tokens may be taken without a further look: then more have been earned, or the term has ended.</summary>
    public Instant LookAt
    {
        get => new(Volatile.Read(ref _lookAt));
        set => Volatile.Write(ref _lookAt, value.Ticks);
    }

    /// <summary>
    /// Takes tokens that were there at an instant. A thread that slept since then may find that somebody has looked in the meantime: what it takes
    /// may have been earned later, so it must not date it back, and leaves it.
    /// </summary>
    /// <param name="tokens">At least 1.</param>
    /// <param name="lookAt"><see cref="LookAt"/>, read before the clock was.</param>
    /// <param name="now">Read after the lot was.</param>
    public bool TryTake(int tokens, Instant lookAt, Instant now)
    {
        if (now >= lookAt || !TryTake(tokens))
            return false;
        if (LookAt == lookAt)
            return true;
        Add(tokens);
        return false;
    }

    /// <summary>For one who has looked himself.</summary>
    public bool TryTake(int tokens)
    {
        if (Interlocked.Add(ref _tokens, -tokens) >= 0)
            return true;
        Add(tokens);
        return false;
    }

    public void Add(int tokens) => Interlocked.Add(ref _tokens, tokens);

    /// <summary>Nothing can be taken from it any more; what was left is the caller's.</summary>
    public int Close() => Math.Max(0, Interlocked.Exchange(ref _tokens, Closed));
}
