namespace ReliabilityToolkit.Orleans;

/// <summary>
/// What a node owes a limiter, because calls turned out to cost more than was taken for them: bounded, and repaid in sixty pieces over a minute, each
/// an acquire like any other, so that those who come meanwhile are not kept out. Not thread-safe.
/// </summary>
internal sealed class TokenDebt
{
    public const int Pieces = 60;

    public static readonly TimeSpan Every = TimeSpan.FromSeconds(1);

    private long _piece;
    private Instant _nextAt = Instant.Never;
    private bool _isRepaying;

    /// <summary>Tokens.</summary>
    public long Owed { get; private set; }

    /// <summary>When a piece is due.</summary>
    public Instant NextAt => Owed > 0 && !_isRepaying ? _nextAt : Instant.Never;

    /// <summary>More was spent than taken.</summary>
    /// <param name="tokens">So much.</param>
    /// <param name="most">That may be owed in all.</param>
    /// <param name="now">The node's instant.</param>
    /// <returns>So much is owed; the rest is forgiven.</returns>
    public long Owe(long tokens, long most, Instant now)
    {
        var taken = Math.Clamp(most - Owed, 0, tokens);
        if (taken == 0)
            return 0;
        if (Owed == 0)
            _nextAt = now + Every;
        Owed += taken;
        _piece = ((Owed - 1) / Pieces) + 1;
        return taken;
    }

    /// <summary>The piece that is due, to be acquired; 0: none is.</summary>
    /// <param name="most">That one acquire may ask for.</param>
    /// <param name="now">The node's instant.</param>
    public int TakePiece(int most, Instant now)
    {
        if (now < NextAt)
            return 0;
        _isRepaying = true;
        return (int)Math.Min(Math.Min(_piece, Owed), most);
    }

    /// <summary>It was acquired, or could not be, and is tried again.</summary>
    public void Repaid(int tokens, bool isAcquired, Instant now)
    {
        (_isRepaying, _nextAt) = (false, now + Every);
        if (isAcquired)
            Owed -= tokens;
    }
}
