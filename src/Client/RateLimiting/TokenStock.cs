namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A node's part of a limiter, and the callers who wait for it. Not thread-safe, but for <see cref="Lot"/>: the shell guards it.
/// </summary>
/// <remarks>
/// The part earns its rate until its term ends, up to its room, and what it earned is added when somebody looks. Tokens that are on their way to it
/// have room kept free for them: else the part would fill up in the meantime, be spent, and then get them on top.
/// </remarks>
internal sealed class TokenStock(PartHolder holder, Instant now)
{
    private static readonly TimeSpan ShortestRenewal = TimeSpan.FromMilliseconds(50);

    // It looks no more often than that for what was earned.
    private static readonly TimeSpan FinestLook = TimeSpan.FromTicks(TimeSpan.TicksPerMillisecond / 2);

    // Renewals come so much sooner by chance, so that nodes do not come in step.
    private const double Spread = 0.3;

    private readonly LinkedList<TokenCaller> _line = new();
    private TokenLot _lot = TokenLot.None;
    private Demand _demand = new(now);
    private int _levelSeen; // at the last look; the difference has been taken by hits
    private long _epoch;
    private long _sequence;
    private long _taken;
    private long _givenBack;
    private int _room;
    private int _want;
    private int _slack;
    private long _rate;
    private long _cost = 1;
    private long _fraction;
    private int _atTheDoor; // callers in line when the open request was sent
    private bool _isAsking;
    private int _idleRenewals;
    private bool _isUsed;
    private double _hurry;
    private Instant _lookedAt = now;
    private Instant _endsAt = now;
    private Instant _askedAt = now;
    private Instant _renewAt = Instant.Never;
    private Instant _deniedUntil = now;
    private TimeSpan _roundTrip = TimeSpan.FromMilliseconds(1);

    public PartHolder Holder { get; } = holder;

    /// <summary>What a hit takes from; to be read before the clock is.</summary>
    public TokenLot Lot => Volatile.Read(ref _lot);

    /// <summary>The most tokens that the part holds now.</summary>
    public int Room => _room;

    /// <summary>Those in line.</summary>
    public int Waiting => _line.Count;

    /// <summary>When there is next something to do: <see cref="Advance"/>, then <see cref="TryAsk"/>.</summary>
    public Instant NextDueAt
    {
        get
        {
            var dueAt = _room > 0 ? _endsAt : Instant.Never;
            if (_line.First is { } first && _room > 0)
                dueAt = Earlier(dueAt, ReadyAt(first.Value.Tokens));
            if (!_isAsking)
                dueAt = Earlier(dueAt, _line.Count > 0 ? Earlier(_renewAt, _deniedUntil) : _renewAt);
            return dueAt;
        }
    }

    /// <summary>One who found nothing to take. He is admitted, refused, or in line; then the answer, or time, decides.</summary>
    public TokenCaller Acquire(int tokens, bool mayWait, Instant now)
    {
        Advance(now);
        var caller = new TokenCaller(tokens, mayWait);
        if (_line.Count == 0 && _lot.TryTake(tokens))
        {
            caller.Fate = CallerFate.AdmittedHere;
            return caller;
        }

        _demand.Add(tokens);
        _isUsed = true;
        if (!mayWait && now < _deniedUntil)
            Refuse(caller, now);
        else
            _line.AddLast(caller);
        return caller;
    }

    /// <summary>One in line has gone.</summary>
    public void Leave(TokenCaller caller)
    {
        if (caller.Fate == CallerFate.Undecided && _line.Remove(caller))
            caller.Fate = CallerFate.Gone;
    }

    /// <summary>Adds what was earned, serves the line, and ends the part when its term has ended.</summary>
    public void Advance(Instant now)
    {
        Look(now);
        if (now >= _endsAt && _taken != 0)
            End();
        Serve();
    }

    /// <summary>Whether there is something to tell the authority now; one request is open at a time.</summary>
    public bool TryAsk(Instant now, double chance, out PartRequest request)
    {
        Advance(now);
        var isNeeded = _line.Count > 0 && now >= _deniedUntil;
        var isDue = now >= _renewAt;
        var isLow = _isUsed && _lot.Tokens < _room / 5 && now >= _deniedUntil && now >= _askedAt + ShortestRenewal;
        request = default;
        if (_isAsking || !(isNeeded || isDue || isLow))
            return false;

        _idleRenewals = _isUsed ? 0 : _idleRenewals + 1;
        _isUsed = false;
        if (_idleRenewals > 1)
        {
            _givenBack += _lot.Close();
            _lot = TokenLot.None;
            (_room, _rate, _levelSeen) = (0, 0, 0);
        }

        (_isAsking, _askedAt, _atTheDoor) = (true, now, _line.Count);
        _hurry = 1 - (Spread * chance);
        var level = _lot.Tokens;
        var comes = (long)(_rate * (double)((_roundTrip * 1.2) + TimeSpan.FromMilliseconds(1)).Ticks / _cost) + 1;
        _want = (int)Math.Clamp(_room - level - _slack - comes, 0, _room);
        var needed = 0L;
        foreach (var caller in _line)
            needed += caller.Tokens;
        request = new PartRequest(
            Holder, ++_sequence, _epoch, _taken, _room, _givenBack, level, _want, _demand.PerSecond(now), (int)Math.Min(needed, int.MaxValue));
        return true;
    }

    /// <summary>Takes the answer to the newest request; of any other nothing.</summary>
    public void Take(in PartGrant grant, Instant now)
    {
        if (!_isAsking || grant.Sequence != _sequence)
            return;
        Advance(now);
        _isAsking = false;
        _epoch = grant.Epoch;
        _roundTrip = (_roundTrip * 0.8) + ((now - _askedAt) * 0.2);
        _renewAt = _askedAt + (LeaseTerm.RenewAfter(grant.Term) * _hurry);
        _deniedUntil = now + grant.RationedFor;
        TakePart(grant, now);
        ServeFromThere(grant.Served);
        Serve();
        if (_line.Count > 0)
            _deniedUntil = Instant.Later(_deniedUntil, now + grant.ReadyAfter);
        RefuseTheRest(now);
        if (grant.Room == 0 && _line.Count == 0)
            _renewAt = Instant.Never;
    }

    /// <summary>What could be taken from the part at this instant, in units, if somebody looked; for whoever checks the books.</summary>
    public Int128 UnitsAt(Instant now)
    {
        if (now >= _endsAt || _room == 0)
            return 0;
        var earned = now > _lookedAt ? (Int128)_rate * (now - _lookedAt).Ticks : 0;
        return Int128.Min(((Int128)_lot.Tokens * _cost) + _fraction + earned, (Int128)(_room - _want) * _cost);
    }

    /// <summary>Tokens given back in all, and the number of the answer that the node holds; likewise.</summary>
    public (long GivenBack, long Taken, long Sequence) Books => (_givenBack, _taken, _sequence);

    private static Instant Earlier(Instant left, Instant right) => left < right ? left : right;

    private void TakePart(in PartGrant grant, Instant now)
    {
        var endsAt = LeaseTerm.HeldUntil(_askedAt, grant.Term);
        var left = _lot.Close();
        if (endsAt <= now || (grant.Room == 0 && grant.Rate == 0))
        {
            _givenBack += left;
            End();
            return;
        }

        var kept = Math.Min(left, grant.Room);
        _givenBack += left - kept;
        if (grant.TokenCost != _cost)
            _fraction = 0;
        (_cost, _room, _want, _taken, _endsAt) = (grant.TokenCost, grant.Room, 0, grant.Sequence, endsAt);
        _rate = LeaseTerm.UsableRate(grant.Rate);
        _slack = (int)(_rate * FinestLook.Ticks / _cost) + 1;
        var lot = new TokenLot(kept + grant.Tokens);
        (_levelSeen, _lookedAt) = (kept + grant.Tokens, now);
        SetNextLook(lot, now);
        Volatile.Write(ref _lot, lot);
    }

    private void End()
    {
        _lot.Close();
        Volatile.Write(ref _lot, TokenLot.None);
        (_room, _rate, _fraction, _want, _taken, _levelSeen) = (0, 0, 0, 0, 0, 0);
    }

    // A part that is full earns nothing; so it must not be full between two looks, or what it earned before a hit would be credited after it. It
    // fills itself to a little below its room only, and while it is fuller than that each caller looks.
    private void Look(Instant now)
    {
        var level = _lot.Tokens;
        if (_levelSeen != level)
        {
            _isUsed = true;
            _demand.Add(_levelSeen - level);
        }

        var until = Earlier(now, _endsAt);
        if (until > _lookedAt)
        {
            var earned = ((Int128)_rate * (until - _lookedAt).Ticks) + _fraction;
            var space = Math.Max(_room - _want - _slack - level, 0);
            var isFull = earned >= (Int128)space * _cost;
            var whole = isFull ? space : (int)(earned / _cost);
            _fraction = isFull ? 0 : (long)(earned % _cost);
            _lot.Add(whole);
            level += whole;
            _lookedAt = until;
        }

        _levelSeen = level;
        SetNextLook(_lot, now);
    }

    private void SetNextLook(TokenLot lot, Instant now)
    {
        if (_room == 0)
            return;
        if (lot.Tokens > _room - _want - _slack)
        {
            lot.LookAt = _lookedAt;
            return;
        }

        var next = _rate == 0 ? _endsAt : _lookedAt + TimeSpan.FromTicks(((_cost - _fraction - 1) / _rate) + 1);
        lot.LookAt = Earlier(_endsAt, Instant.Later(next, now + FinestLook));
    }

    // When the part will have so many tokens.
    private Instant ReadyAt(int tokens)
    {
        var missing = ((Int128)(tokens - _lot.Tokens) * _cost) - _fraction;
        if (missing <= 0)
            return _lookedAt;
        if (_rate == 0)
            return Instant.Never;
        return _lookedAt + TimeSpan.FromTicks((long)Int128.Min(((missing - 1) / _rate) + 1, TimeSpan.TicksPerDay));
    }

    private void Serve()
    {
        while (_line.First is { } first && _lot.TryTake(first.Value.Tokens))
        {
            _levelSeen -= first.Value.Tokens; // counted when he came
            Decide(first, CallerFate.AdmittedHere);
        }
    }

    private void ServeFromThere(int served)
    {
        while (_line.First is { } first && first.Value.Tokens <= served)
        {
            served -= first.Value.Tokens;
            Decide(first, CallerFate.AdmittedThere);
        }
    }

    // Those who may not wait and were heard, or need not be.
    private void RefuseTheRest(Instant now)
    {
        for (var node = _line.First; node is not null;)
        {
            var next = node.Next;
            if (!node.Value.MayWait && (_atTheDoor > 0 || now < _deniedUntil))
            {
                Refuse(node.Value, now);
                _line.Remove(node);
            }

            _atTheDoor--;
            node = next;
        }
    }

    private void Decide(LinkedListNode<TokenCaller> node, CallerFate fate)
    {
        node.Value.Fate = fate;
        _line.Remove(node);
        _atTheDoor--;
    }

    private void Refuse(TokenCaller caller, Instant now)
    {
        caller.Fate = CallerFate.Refused;
        var ready = _room > 0 ? ReadyAt(caller.Tokens) : Instant.Never;
        caller.RetryAfter = Earlier(ready, Instant.Later(_deniedUntil, now)).After(now);
    }
}
