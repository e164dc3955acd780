namespace ReliabilityToolkit.Orleans;

/// <summary>
/// What a node may admit by itself while the authority does not answer: a bucket of the last share that it heard of. It is charged with all that the
/// node admits, also while the authority answers: so going over to it and back opens no second burst. Not thread-safe.
/// </summary>
internal sealed class LocalShare(Instant now)
{
    private FairShare _share;
    private double _level; // begins empty: what was not earned here is not the node's
    private Instant _lookedAt = now;

    /// <summary>What the authority said last; tokens stay, up to the new burst.</summary>
    public void ChangeTo(FairShare share, Instant now)
    {
        Look(now);
        _share = share;
    }

    /// <summary>Something was admitted; below nothing it does not fall.</summary>
    public void Charge(long tokens, Instant now)
    {
        Look(now);
        _level = Math.Max(0, _level - tokens);
    }

    public bool TryTake(int tokens, Instant now)
    {
        Look(now);
        if (_level < tokens)
            return false;
        _level -= tokens;
        return true;
    }

    /// <summary>When it has so many; never, where it cannot hold them.</summary>
    public Instant ReadyAt(int tokens) =>
        tokens > Room || _share.Rate <= 0 ? Instant.Never : _lookedAt + TimeSpan.FromSeconds(Math.Max(0, (tokens - _level) / _share.Rate) + 1e-6);

    // One token at least, else a small share would never have one.
    private double Room => Math.Max(1, _share.Burst);

    private void Look(Instant now)
    {
        _level = Math.Min(_level + (_share.Rate * Math.Max(0, (now - _lookedAt).TotalSeconds)), Room);
        _lookedAt = Instant.Later(_lookedAt, now);
    }
}
