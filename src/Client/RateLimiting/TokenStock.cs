namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A node's end of a limiter: the part that it holds, the callers who wait for it, and what is to be said to the authority. Not thread-safe, but for
/// <see cref="Lot"/>: the shell guards it.
/// </summary>
/// <remarks>
/// Where the node has a part, its callers are served from that, and wait here. Where it has none, and for more tokens than it comes to hold, or than
/// it has where the caller will not wait, each is one exact call. An answer of the authority says whether a part is to be had.
/// </remarks>
/// <param name="holder">Under what name something is lent to it.</param>
/// <param name="now">The node's instant.</param>
/// <param name="whenUnavailable">What becomes of callers while the authority does not answer.</param>
internal sealed class TokenStock(Borrower holder, Instant now, WhenUnavailable whenUnavailable = WhenUnavailable.Reject)
{
    private static readonly TimeSpan ShortestRenewal = TimeSpan.FromMilliseconds(50);

    // What an authority lent has ended by then, so that nobody need be told of it.
    private static readonly TimeSpan AuthorityRememberedFor = LeaseTerm.OfPart * 2;

    // That nothing is to be had, whatever the authority says: its policy may change meanwhile.
    private static readonly TimeSpan BelievedFor = TimeSpan.FromSeconds(1);

    // What a node says that it wants whose callers cannot ask, so that it gets a part at once.
    private const double LeastDemandForStock = 25;

    // Renewals come so much sooner by chance, so that nodes do not come in step.
    private const double Spread = 0.3;

    private readonly HeldPart _part = new(now);
    private readonly LinkedList<TokenCaller> _line = new();
    private readonly LocalShare? _share = whenUnavailable == WhenUnavailable.LocalShare ? new LocalShare(now) : null;
    private Outage _outage;
    private long _alone; // tokens admitted without the authority, since its last answer
    private long _aloneTold;
    private long _hitsNoted;
    private long _runOut;
    private long _asked; // tokens, since it was last told
    private Demand _demand = new(now);
    private long _epoch;
    private Instant _heardAt = now;
    private long _sequence;
    private long _givenBack;
    private int _queueLimit;
    private int _mostInLine; // nobody in line wants more
    private int _atTheDoor; // callers in line when the open request was sent
    private bool _isAsking;
    private bool _wantsPart;
    private bool _isForStock;
    private bool _isUsed;
    private bool _isLeaving; // what it holds, as soon as it may ask
    private int _idleRenewals;
    private double _hurry = 1;
    private Instant _askedAt = now;
    private Instant _renewAt = Instant.Never;
    private Instant _noPartUntil = now;
    private Instant _deniedUntil = now; // to those at the door
    private Instant _inVainUntil = now; // is it to ask for a caller who wants so many or fewer
    private int _inVainTokens;
    private Instant _inVainReadyAt = now;
    private TimeSpan _askEvery;
    private Instant _pacedUntil = now;
    private TimeSpan _roundTrip = TimeSpan.FromMilliseconds(1);

    public Borrower Holder { get; } = holder;

    /// <summary>What a hit takes from; to be read before the clock is.</summary>
    public TokenLot Lot => _part.Lot;

    /// <summary>For whoever checks the books.</summary>
    public HeldPart Part => _part;

    /// <summary>Tokens that hits have taken, as of the last <see cref="Advance"/>.</summary>
    public long Hits => _part.Hits;

    /// <summary>Tokens that came into the part, and of these those that were still in it when its term ended.</summary>
    public (long Lent, long RunOut) Passed => (_part.Lent, _runOut);

    /// <summary>What its callers ask for in a second, as of the last look.</summary>
    public double DemandPerSecond => _demand.Average;

    /// <summary>What is its due in a second, as it last heard.</summary>
    public double FairRate { get; private set; }

    /// <summary>Those in line.</summary>
    public int Waiting => _line.Count;

    /// <summary>Nothing is lent to it, nor may be on its way.</summary>
    public bool HoldsNothing => _part.Room == 0 && !_isAsking;

    /// <summary>When there is next something to do: <see cref="Advance"/>, then <see cref="TryAsk"/>.</summary>
    public Instant NextDueAt
    {
        get
        {
            var dueAt = _part.Room > 0 ? _part.EndsAt : Instant.Never;
            if (_line.First is { } first)
                dueAt = Sooner(dueAt, _part.ReadyAt(first.Value.Tokens));
            if (!_isAsking && IsCutOff)
                dueAt = Sooner(dueAt, _isUsed ? _outage.ProbeAt : Instant.Never);
            else if (!_isAsking)
                dueAt = Sooner(dueAt, Sooner(_line.Count > 0 ? NeededAt : Instant.Never, _wantsPart ? _noPartUntil : _renewAt));
            return dueAt;
        }
    }

    // While it has a part it goes on renewing that.
    private bool IsCutOff => _outage.IsOn && _part.Room == 0;

    // When those in line are worth a call.
    private Instant NeededAt => _line.Last!.Value.Patience == CallerPatience.ForTokens
        ? Instant.Later(_deniedUntil, _askedAt + ShortestRenewal)
        : _deniedUntil;

    /// <summary>One who found nothing to take. He is admitted, refused, in line, or the authority is to be asked for him.</summary>
    /// <param name="tokens">At least 1.</param>
    /// <param name="patience">For what he is ready to wait.</param>
    /// <param name="now">The node's instant.</param>
    /// <param name="isBack">Whether he was refused just now, with less patience: he wants his tokens once.</param>
    public TokenCaller Acquire(int tokens, CallerPatience patience, Instant now, bool isBack = false)
    {
        Advance(now);
        var isOut = IsOut(now);
        _demand.PerSecond(now);
        if (!isBack)
        {
            _demand.AddNow(tokens);
            _asked += tokens;
        }

        var caller = new TokenCaller(tokens, patience, now);
        if (_line.Count == 0 && _part.TryTake(tokens))
        {
            _isUsed = true;
            Admit(caller, CallerFate.AdmittedHere, now);
            return caller;
        }

        _isUsed = true;
        if (isOut)
        {
            DecideAlone(caller, now);
            return caller;
        }

        var isForLine = tokens <= _part.Reach && (tokens == 1 || patience == CallerPatience.ForTokens);
        if (patience == CallerPatience.None)
        {
            _isForStock = true;
            _wantsPart |= _part.Room == 0;
            Refuse(caller, _part.Room == 0 ? RefusalReason.NoLocalStock : RefusalReason.RateLimited, _deniedUntil, now);
        }
        else if (!isForLine)
        {
            if (patience == CallerPatience.ForAnAnswer && now < _inVainUntil && tokens <= _inVainTokens)
                Refuse(caller, RefusalReason.RateLimited, _inVainReadyAt, now);
            else if (patience == CallerPatience.ForAnAnswer && now < _pacedUntil && tokens <= _inVainTokens)
                Refuse(caller, RefusalReason.RateLimited, Instant.Later(_pacedUntil, _inVainReadyAt), now);
            else
                SendThere(caller, now);
        }
        else if (patience == CallerPatience.ForAnAnswer && now < _deniedUntil)
        {
            Refuse(caller, RefusalReason.RateLimited, _deniedUntil, now);
        }
        else if (patience == CallerPatience.ForTokens && _line.Count >= _queueLimit)
        {
            Refuse(caller, RefusalReason.QueueFull, _deniedUntil, now);
        }
        else
        {
            caller.Place = _line.AddLast(caller);
            _mostInLine = Math.Max(_mostInLine, tokens);
            _part.StopHits();
        }

        return caller;
    }

    /// <summary>Tokens come back that were spent in vain.</summary>
    /// <returns>So many have room here; the others are the authority's.</returns>
    public int Refund(int tokens, Instant now)
    {
        Advance(now);
        var back = _part.Room > 0 ? _part.Refund(tokens) : 0;
        Serve(now);
        Settle(now);
        return back;
    }

    /// <summary>One has gone who waited here. Of one for whom the authority was asked the shell tells the authority.</summary>
    public void Leave(TokenCaller caller)
    {
        if (caller.Fate == CallerFate.InLine)
            _line.Remove(caller.Place!);
        caller.Becomes(CallerFate.Gone);
    }

    /// <summary>Adds what was earned, serves the line, and ends the part when its term has ended.</summary>
    public void Advance(Instant now)
    {
        _part.Look(now);
        if (_part.Hits - _hitsNoted is > 0 and var taken)
        {
            _isUsed = true;
            _demand.Add(taken);
            _asked += taken;
            _hitsNoted += taken;
            _share?.Charge(taken, now);
        }

        if (now >= _part.EndsAt && _part.Sequence != 0)
            _runOut += _part.Drop();
        Serve(now);
        Settle(now);
    }

    /// <summary>What the authority is asked for one caller.</summary>
    public TokenRequest Ask(TokenCaller caller, RequestId id, Instant now)
    {
        var mayWait = caller.Patience == CallerPatience.ForTokens;
        return new TokenRequest(id, caller.Tokens, mayWait, Math.Max(_demand.PerSecond(now), double.Epsilon), EpochAt(now), TellAsked());
    }

    /// <summary>The answer to that.</summary>
    public void Hear(TokenCaller caller, in TokenGrant grant, Instant now)
    {
        if (!HearOf(grant.Epoch, grant.Share, now))
        {
            Fail(caller, isSilent: false, now);
            return;
        }

        _wantsPart |= grant.MayHavePart && _part.Room == 0;
        _askEvery = grant.AskEvery;
        if (_askEvery == TimeSpan.Zero)
            _pacedUntil = now;
        var saysWhen = grant.ComeBackAfter > TimeSpan.Zero || grant.AskEvery > TimeSpan.Zero;
        if (saysWhen && (now >= _inVainUntil || caller.Tokens >= _inVainTokens))
        {
            _inVainTokens = grant.IsGranted ? 1 : caller.Tokens;
            (_inVainUntil, _inVainReadyAt) = (now + Shorter(grant.ComeBackAfter, BelievedFor), now + Later(grant.RetryAfter, grant.ComeBackAfter));
        }

        if (caller.Fate != CallerFate.AsksThere)
            return;
        if (grant.IsGranted)
        {
            Admit(caller, grant.ReadyAfter == TimeSpan.Zero ? CallerFate.AdmittedThere : CallerFate.Promised, now, now + grant.ReadyAfter);
        }
        else if (grant.AskAgainAfter > TimeSpan.Zero)
        {
            caller.Becomes(CallerFate.AsksThere, now + grant.AskAgainAfter);
        }
        else
        {
            Refuse(caller, grant.Reason, Instant.Later(now + Later(grant.RetryAfter, grant.ComeBackAfter), _pacedUntil), now);
        }
    }

    /// <summary>No answer to that came, or none that says anything.</summary>
    /// <param name="caller">For whom it was asked.</param>
    /// <param name="isSilent">Whether the authority did not answer at all: that is known from now on, and those who come are decided at once.</param>
    /// <param name="now">The node's instant.</param>
    public void Fail(TokenCaller caller, bool isSilent, Instant now)
    {
        if (isSilent)
            _outage.Begin(now, _hurry);
        if (caller.Fate == CallerFate.AsksThere)
            DecideAlone(caller, now);
    }

    /// <summary>Gives back what it holds, or is about to hold: by the next request. Callers who come later begin anew.</summary>
    public void LetGo() => _isLeaving = !HoldsNothing;

    /// <summary>Whether there is something to tell the authority of the part now; one request is open at a time.</summary>
    public bool TryAsk(Instant now, double chance, out PartRequest request)
    {
        Advance(now);
        if (!_isAsking)
            _hurry = 1 - (Spread * chance);
        var isNeeded = _line.Count > 0 && now >= NeededAt;
        var isWanted = _wantsPart && now >= _noPartUntil;
        var isLow = _isUsed && _part.Level < _part.Room / 5 && now >= _deniedUntil && now >= _askedAt + ShortestRenewal;
        request = default;
        var isDue = IsCutOff ? _isUsed && now >= _outage.ProbeAt : isNeeded || isWanted || isLow || now >= _renewAt;
        if (_isAsking || !(isDue || _isLeaving))
            return false;

        var demand = _demand.PerSecond(now);
        if (_isForStock)
            demand = Math.Max(demand, LeastDemandForStock);
        _idleRenewals = _isUsed ? 0 : _idleRenewals + 1;
        if (_isLeaving || _idleRenewals > 1)
        {
            _givenBack += _part.LetGo();
            (_isForStock, demand) = (false, 0);
        }

        (_isUsed, _wantsPart, _isLeaving) = (false, false, false);
        (_isAsking, _askedAt, _atTheDoor, _aloneTold) = (true, now, _line.Count, _alone);
        var want = _part.KeepFree((_roundTrip * 1.2) + TimeSpan.FromMilliseconds(1));
        var atTheDoor = 0;
        for (var node = _line.First; node is not null && node.Value.Tokens == 1; node = node.Next)
            atTheDoor++;
        request = new PartRequest(
            Holder,
            ++_sequence,
            EpochAt(now),
            _part.Sequence,
            _part.Room,
            _givenBack,
            _part.Level,
            want,
            demand,
            TellAsked(),
            atTheDoor,
            _alone);
        return true;
    }

    /// <summary>Takes the answer to the newest request; of any other nothing.</summary>
    public void Take(in PartGrant grant, Instant now)
    {
        if (!_isAsking || grant.Sequence != _sequence)
            return;
        Advance(now);
        if (!HearOf(grant.Epoch, grant.Share, now))
        {
            Fail(grant.Sequence, isSilent: false, now);
            return;
        }

        _isAsking = false;
        _alone -= _aloneTold;
        _roundTrip = Later(now - _askedAt, (_roundTrip * 0.8) + ((now - _askedAt) * 0.2));
        if (grant.Term == TimeSpan.Zero)
        {
            _part.ExpectNothing();
            (_renewAt, _deniedUntil) = (now + grant.ReadyAfter, now + grant.ReadyAfter);
        }
        else
        {
            _queueLimit = grant.QueueLimit;
            _renewAt = grant.Room > 0 ? _askedAt + (LeaseTerm.RenewAfter(grant.Term) * _hurry)
                : _part.Room > 0 ? now // until it says that it has let go nobody else has what it had
                : Instant.Never;
            if (grant.RationedFor > TimeSpan.Zero && grant.Room > 0 && grant.Rate < _part.Rate / 100 * 97 && grant.TokenCost == _part.Cost)
                _renewAt = Sooner(_renewAt, now + ShortestRenewal);
            _noPartUntil = grant.Room == 0 ? now + LeaseTerm.RenewAfter(grant.Term) : now;
            _deniedUntil = now + grant.RationedFor;
            TakePart(grant, now);
            ServeFromThere(grant.Served, now);
            Serve(now);
            if (_line.Count > 0)
                _deniedUntil = Instant.Later(_deniedUntil, now + Shorter(grant.ReadyAfter, BelievedFor));
        }

        _wantsPart &= _part.Room == 0;
        DecideTheRest(isHeard: true, now);
        Settle(now);
    }

    /// <summary>No answer came to a request, or none that says anything, and none is awaited any more.</summary>
    /// <param name="sequence">Of the request.</param>
    /// <param name="isSilent">Whether the authority did not answer at all.</param>
    /// <param name="now">The node's instant.</param>
    public void Fail(long sequence, bool isSilent, Instant now)
    {
        if (!_isAsking || sequence != _sequence)
            return;
        Advance(now);
        if (isSilent)
            _outage.Begin(now, _hurry);
        (_isAsking, _renewAt) = (false, now + (LeaseTerm.RenewAfter(LeaseTerm.OfPart) * _hurry));
        _deniedUntil = Instant.Later(_deniedUntil, now + ShortestRenewal);
        _part.ExpectNothing();
        DecideTheRest(isHeard: false, now);
        Settle(now);
    }

    /// <summary>Tokens given back in all, and the number of the request whose answer is awaited; for whoever checks the books.</summary>
    public (long GivenBack, long Awaited) Books => (_givenBack, _isAsking ? _sequence : 0);

    private static Instant Sooner(Instant left, Instant right) => left < right ? left : right;

    private static TimeSpan Shorter(TimeSpan left, TimeSpan right) => left < right ? left : right;

    private static TimeSpan Later(TimeSpan left, TimeSpan right) => left > right ? left : right;

    private long TellAsked()
    {
        var asked = _asked;
        _asked = 0;
        return asked;
    }

    private long EpochAt(Instant now) => now - _heardAt < AuthorityRememberedFor ? _epoch : 0;

    // An authority that has a successor is not listened to.
    private bool HearOf(long epoch, FairShare share, Instant now)
    {
        if (epoch < EpochAt(now))
            return false;
        (_epoch, _heardAt) = (epoch, now);
        _outage.End();
        if (share.Rate > 0)
        {
            FairRate = share.Rate;
            _share?.ChangeTo(share, now);
        }

        return true;
    }

    // What is known of an authority that nobody has asked since is out of date: the next asks it.
    private bool IsOut(Instant now) => _outage.IsOn && (_isAsking || _isUsed || now < _outage.ProbeAt);

    private void DecideAlone(TokenCaller caller, Instant now)
    {
        if (whenUnavailable == WhenUnavailable.Admit || _share?.TryTake(caller.Tokens, now) == true)
        {
            caller.Becomes(CallerFate.AdmittedAlone);
            _alone += caller.Tokens;
            return;
        }

        if (_share?.ReadyAt(caller.Tokens) is { } at && at != Instant.Never)
            caller.IsRefusedAlone(RefusalReason.RateLimited, at.After(now));
        else
            caller.IsRefusedAlone(RefusalReason.AuthorityUnavailable, default);
    }

    private void Admit(TokenCaller caller, CallerFate fate, Instant now, Instant at = default)
    {
        caller.Becomes(fate, at);
        _share?.Charge(caller.Tokens, now);
    }

    private void TakePart(in PartGrant grant, Instant now)
    {
        var endsAt = LeaseTerm.HeldUntil(_askedAt, grant.Term);
        if (_part.Epoch != grant.Epoch)
            _runOut += _part.Drop(); // it was lent by another authority, and this one knows nothing of it
        if (endsAt <= now)
            _runOut += _part.Drop();
        else
            _givenBack += _part.Replace(grant, endsAt, now);
    }

    private void Serve(Instant now)
    {
        while (_line.First is { } first && _part.TryTake(first.Value.Tokens))
        {
            LeaveLine(first);
            Admit(first.Value, CallerFate.AdmittedHere, now);
        }
    }

    private void ServeFromThere(int served, Instant now)
    {
        while (_line.First is { } first && first.Value.Tokens <= served)
        {
            served -= first.Value.Tokens;
            LeaveLine(first);
            Admit(first.Value, CallerFate.AdmittedThere, now);
        }
    }

    private void SendThere(TokenCaller caller, Instant now)
    {
        caller.Becomes(CallerFate.AsksThere, now);
        _pacedUntil = now + _askEvery;
    }

    // Those who wait for more than the part comes to hold wait at the authority. While others are in line, nobody takes anything ahead of them.
    private void Settle(Instant now)
    {
        if (_mostInLine > _part.Reach)
            SendThere(now);

        if (_line.Count > 0)
            _part.StopHits();
        else
            _part.AllowHits(now);
    }

    private void SendThere(Instant now)
    {
        _mostInLine = 0;
        for (var node = _line.First; node is not null;)
        {
            var next = node.Next;
            if (node.Value.Tokens > _part.Reach)
            {
                LeaveLine(node);
                if (IsOut(now))
                    DecideAlone(node.Value, now);
                else
                    node.Value.Becomes(CallerFate.AsksThere, now);
            }
            else
            {
                _mostInLine = Math.Max(_mostInLine, node.Value.Tokens);
            }

            node = next;
        }
    }

    // Those who wait for an answer only, and were heard, or need not be.
    private void DecideTheRest(bool isHeard, Instant now)
    {
        for (var node = _line.First; node is not null;)
        {
            var next = node.Next;
            if (node.Value.Patience != CallerPatience.ForTokens && (_atTheDoor > 0 || now < _deniedUntil))
            {
                _line.Remove(node);
                if (isHeard)
                    Refuse(node.Value, RefusalReason.RateLimited, _deniedUntil, now);
                else
                    DecideAlone(node.Value, now);
            }

            _atTheDoor--;
            node = next;
        }
    }

    private void LeaveLine(LinkedListNode<TokenCaller> node)
    {
        _line.Remove(node);
        _atTheDoor--;
    }

    // He is told when the part has what he wants; where it never will, when it is worth asking again.
    private void Refuse(TokenCaller caller, RefusalReason reason, Instant otherwiseAt, Instant now)
    {
        var readyAt = _part.ReadyAt(caller.Tokens);
        caller.IsRefused(reason, (readyAt == Instant.Never ? otherwiseAt : readyAt).After(now));
    }
}
