namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The part of a limiter that a node holds: a bucket with a room, a rate and a term of its own. It earns its rate until its term ends, and what it
/// earned is added when somebody looks. Not thread-safe, but for <see cref="Lot"/>: the shell guards it.
/// </summary>
/// <remarks>
/// A part that is full earns nothing, and when between two looks the hits were nobody knows. So they count as if they all had been at the end: then
/// there was the least room for what was earned. Tokens that are on their way to it have room kept free for them: else the part would fill up in the
/// meantime, be spent, and then get them on top. Hits go by a clock that may be behind, and so end that much sooner than the part.
/// </remarks>
internal sealed class HeldPart(Instant now)
{
    // It looks no more often than that for what was earned.
    private static readonly TimeSpan FinestLook = TimeSpan.FromTicks(TimeSpan.TicksPerMillisecond / 2);

    private static readonly Instant NoHits = new(long.MinValue);

    private TokenLot _lot = TokenLot.None;
    private int _levelSeen; // at the last look; the difference has been taken by hits
    private int _keptFree;
    private long _rate;
    private long _cost = 1;
    private long _fraction;
    private Instant _lookedAt = now;

    /// <summary>What a hit takes from; to be read before the clock is.</summary>
    public TokenLot Lot => Volatile.Read(ref _lot);

    /// <summary>The most tokens that it holds; 0: there is none.</summary>
    public int Room { get; private set; }

    /// <summary>The answer that lent it; 0: there is none.</summary>
    public long Sequence { get; private set; }

    /// <summary>Of the authority that lent it.</summary>
    public long Epoch { get; private set; }

    /// <summary>By the holder's clock.</summary>
    public Instant EndsAt { get; private set; } = now;

    public int Level => _lot.Tokens;

    /// <summary>Tokens that hits have taken, as of the last look.</summary>
    public long Hits { get; private set; }

    /// <summary>Tokens that came into it, by a grant or by its rate.</summary>
    public long Lent { get; private set; }

    /// <summary>What it earns in a tick.</summary>
    public long Rate => _rate;

    /// <summary>Of a token, in the units of its rate.</summary>
    public long Cost => _cost;

    /// <summary>So many it comes to hold by itself.</summary>
    public int Reach => _rate == 0 ? Level : Room;

    /// <summary>Adds what was earned, up to the end of the term.</summary>
    public void Look(Instant now)
    {
        var level = _lot.Tokens;
        Hits += _levelSeen - level;
        var until = now < EndsAt ? now : EndsAt;
        if (until > _lookedAt)
        {
            StopHits();
            var earned = ((Int128)_rate * (until - _lookedAt).Ticks) + _fraction;
            var space = Math.Max(Room - _keptFree - _levelSeen, 0);
            var isFull = earned >= (Int128)space * _cost;
            var whole = isFull ? space : (int)(earned / _cost);
            _fraction = isFull ? 0 : (long)(earned % _cost);
            _lot.Add(whole);
            Lent += whole;
            level += whole;
            _lookedAt = until;
        }

        _levelSeen = level;
    }

    /// <summary>For one who has looked.</summary>
    public bool TryTake(int tokens)
    {
        if (!_lot.TryTake(tokens))
            return false;
        _levelSeen -= tokens;
        return true;
    }

    /// <summary>Nobody takes anything without looking first.</summary>
    public void StopHits() => _lot.LookAt = NoHits;

    /// <summary>Hits need not look until there is more to take, or the term ends; for one who has looked.</summary>
    public void AllowHits(Instant now)
    {
        if (Room == 0)
            return;
        var last = new Instant(EndsAt.Ticks - NodeClock.MostBehind.Ticks);
        var next = last;
        if (_rate > 0)
            next = Instant.Later(now + FinestLook, _lookedAt + TimeSpan.FromTicks(((_cost - _fraction - 1) / _rate) + 1));
        _lot.LookAt = next <= last ? next : NoHits; // never the same twice, unless nothing was earned in between
    }

    /// <summary>Keeps room free for tokens that are asked for now, but for what the rate brings in the meantime.</summary>
    /// <param name="arriveAfter">When they are expected.</param>
    /// <returns>For how many.</returns>
    public int KeepFree(TimeSpan arriveAfter)
    {
        var comes = (long)((((Int128)_rate * arriveAfter.Ticks) + _fraction) / _cost) + 1;
        return _keptFree = (int)Math.Clamp(Room - Level - comes, 0, Room);
    }

    /// <summary>Nothing is on its way any more.</summary>
    public void ExpectNothing() => _keptFree = 0;

    /// <summary>A grant takes the place of what was held.</summary>
    /// <param name="grant">Of a part.</param>
    /// <param name="endsAt">After <paramref name="now"/>.</param>
    /// <param name="now">When it came.</param>
    /// <returns>Tokens for which there is no room any more.</returns>
    public int Replace(in PartGrant grant, Instant endsAt, Instant now)
    {
        var tokens = Close() + grant.Tokens;
        Lent += grant.Tokens;
        if (grant.TokenCost != _cost)
            _fraction = 0;
        (_cost, Room, _keptFree, EndsAt, Epoch, Sequence) = (grant.TokenCost, grant.Room, 0, endsAt, grant.Epoch, grant.Sequence);
        _rate = LeaseTerm.UsableRate(grant.Rate);
        (_levelSeen, _lookedAt) = (Math.Min(tokens, grant.Room), now);
        Volatile.Write(ref _lot, new TokenLot(_levelSeen));
        return tokens - _levelSeen;
    }

    /// <summary>Takes tokens back that were taken from it, as far as there is room; for one who has looked.</summary>
    /// <returns>How many.</returns>
    public int Refund(int tokens)
    {
        // In a lot of their own: a thread that fell asleep before must not take them, and date that back.
        var left = Close();
        var space = Math.Max(Room - _keptFree - left, 0);
        var back = Math.Min(tokens, space);
        if (back == space)
            _fraction = 0; // a part that is full has earned nothing (seed 1243: 3.5 tokens in a room of 5, and 2 came back)
        Lent += back;
        _levelSeen = left + back;
        Volatile.Write(ref _lot, new TokenLot(_levelSeen));
        return back;
    }

    /// <summary>Lets go of everything.</summary>
    /// <returns>The tokens that were in it.</returns>
    public int Drop()
    {
        var left = Close();
        Volatile.Write(ref _lot, TokenLot.None);
        (Room, _rate, _fraction, _keptFree, _levelSeen, Sequence) = (0, 0, 0, 0, 0, 0);
        return left;
    }

    /// <summary>Makes it as small as can be, for one who has no use for it: the authority is to hear of that, and of the tokens.</summary>
    /// <returns>The tokens that were in it.</returns>
    public int LetGo()
    {
        var sequence = Sequence;
        var left = Drop();
        Sequence = sequence;
        return left;
    }

    private int Close()
    {
        var left = _lot.Close();
        Hits += _levelSeen - left;
        return left;
    }

    /// <summary>When it will have so many tokens.</summary>
    public Instant ReadyAt(int tokens)
    {
        var missing = ((Int128)(tokens - Level) * _cost) - _fraction;
        if (missing <= 0)
            return _lookedAt;
        if (_rate == 0 || tokens > Reach)
            return Instant.Never;
        return _lookedAt + TimeSpan.FromTicks((long)Int128.Min(((missing - 1) / _rate) + 1, TimeSpan.TicksPerDay));
    }

    /// <summary>What could be taken from it at this instant, in units, if somebody looked; for whoever checks the books.</summary>
    public Int128 UnitsAt(Instant now)
    {
        if (now >= EndsAt || Room == 0)
            return 0;
        var earned = now > _lookedAt ? (Int128)_rate * (now - _lookedAt).Ticks : 0;
        return ((Int128)Level * _cost) + Int128.Min(_fraction + earned, (Int128)Math.Max(Room - _keptFree - _levelSeen, 0) * _cost);
    }
}
