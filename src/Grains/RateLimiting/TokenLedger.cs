namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The authority of one rate limiter: the rest of its bucket, the parts of it that nodes hold, and the callers to whom its coming tokens are
/// promised. Not thread-safe: the grain guards it.
/// </summary>
/// <remarks>
/// It may have had a predecessor of which it knows nothing, and whose parts may still be alive for a term. Where its grain cannot rule that out, it
/// earns nothing for one term, and lends no rate: so the two together admit one burst too many at most. Where a node tells it of one, it also loses
/// what it has, and lends nothing at all.
/// </remarks>
internal sealed class TokenLedger : IAuthorityMachine<RateLimiterPolicy, TokenGrant, LimiterMemory>
{
    /// <summary>Nobody waits longer than this: who would have to finds the queue full.</summary>
    public static readonly TimeSpan Horizon = TimeSpan.FromDays(365);

    // Who is silent for so long is forgotten: by then nobody repeats a request.
    private static readonly TimeSpan RememberedFor = CallTimeouts.AnswersKeptFor;

    private readonly long _epoch;
    private TokenParts? _parts; // there from the first part on, as are the others from their first use: most limiters are small
    private TokenShares? _shares;
    private Reservations? _waiting;
    private RateLimiterPolicy _policy;
    private TokenBucket _rest;
    private Instant _withheldUntil; // until then its rate is not its own
    private bool _isWhollyWithheld; // nor is its room
    private long _predecessor;

    /// <param name="policy">Legal.</param>
    /// <param name="now">The grain's instant.</param>
    /// <param name="heritage">What it takes over.</param>
    /// <param name="shares">Who decides how much each is to get; null: as they do.</param>
    public TokenLedger(RateLimiterPolicy policy, Instant now, in Heritage<LimiterMemory> heritage = default, TokenShares? shares = null)
    {
        (_policy, _epoch, _withheldUntil, _shares) = (policy, heritage.Epoch, now, shares);
        _rest = new TokenBucket(policy, now);
        if (heritage is { Predecessor: Predecessor.Finished, Memory: { } memory })
            Resume(memory, now, heritage.Elapsed);
        else if (heritage.Predecessor is Predecessor.Possible or Predecessor.Lost)
            (_withheldUntil, _isWhollyWithheld) = (now + LeaseTerm.OfPart + heritage.Fence, heritage.Predecessor == Predecessor.Lost);
        LendOut();
    }

    /// <summary>The rest, as of the last verb; for whoever checks the books.</summary>
    public TokenBucket Rest => _rest;

    /// <summary>What is lent; likewise.</summary>
    public TokenParts Parts => _parts ??= new TokenParts();

    /// <summary>Who is to get how much, as of the last reckoning; likewise.</summary>
    public TokenShares? Shares => _shares;

    /// <inheritdoc/>
    public long Epoch => _epoch;

    /// <inheritdoc/>
    public bool HasSuccessor { get; private set; }

    /// <inheritdoc/>
    /// <remarks>What is forgotten of one that has none is at most half a burst.</remarks>
    public bool IsWorthRecording => HasLent || _rest.Tokens < (_policy.Burst + 1) / 2;

    /// <inheritdoc/>
    /// <remarks>A limiter has none: a successor of a lost one begins with nothing, whatever that had.</remarks>
    public long Decrees => 0;

    /// <summary>Whether anything is lent or promised, as of the last verb.</summary>
    public bool HasLent => WaitingCount > 0 || _parts?.LastEndAt > _rest.At;

    /// <inheritdoc/>
    public Instant WithheldUntil => _withheldUntil;

    private int WaitingCount => _waiting?.Count ?? 0;

    private bool IsWithheld => _withheldUntil > _rest.At;

    /// <inheritdoc/>
    public Instant MemorableUntil
    {
        get
        {
            var until = Instant.Later(_rest.FullAt, Instant.Later(_withheldUntil, _parts?.LastEndAt ?? default));
            return WaitingCount == 0 ? until : Instant.Later(until, _waiting!.ForgottenAt(_rest));
        }
    }

    /// <summary>Tokens for one caller, now or, if he may wait, when they are nobody else's.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 token or more than the burst; nothing has changed.</exception>
    public TokenGrant Acquire(in TokenRequest request, Instant now)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(request.Tokens, 1, "tokens");
        ArgumentOutOfRangeException.ThrowIfGreaterThan(request.Tokens, _policy.Burst, "tokens");
        Advance(now);
        if (!HearOf(request.Epoch, now))
            return new TokenGrant(false, default, default, RefusalReason.AuthorityUnavailable, _policy.Burst) { Epoch = _epoch };
        var answer = Decide(request, now) with
        {
            Epoch = _epoch,
            IsShadow = !_policy.Enforce,
            FillsWithin = _policy.FillsWithin,
        };
        if (request.Demand <= 0)
            return answer;

        var asker = Hear(request, now);
        Reckon(now).Count(request.Asked, now);
        if (answer.Reason == RefusalReason.RateLimited)
            Reckon(now).NoteDry(now);
        var askEvery = Reckon(now).AskEvery(asker.Demand, _rest.Room, now);
        return answer with
        {
            AskEvery = askEvery,
            Share = Reckon(now).Share(asker.Demand),
            MayHavePart = !IsWithheld && WaitingCount == 0 && Reckon(now).Room(asker.Demand, 0, Parts.LentRoom) > 0,
            ComeBackAfter = (answer.IsGranted && askEvery == default) || answer.AskAgainAfter > default(TimeSpan) ? default : FirstAt(1).After(now),
        };
    }

    /// <summary>Takes a node's view of its part, and lends it what it is to have for the next term.</summary>
    /// <exception cref="ArgumentException">No node has such a view; nothing has changed.</exception>
    public PartGrant Renew(in PartRequest request, Instant now)
    {
        var isBelowZero = Math.Min(request.Room, request.Level) < 0 || Math.Min(request.Want, request.AtTheDoor) < 0 || request.Alone < 0;
        if (request.Sequence < 1 || isBelowZero)
            throw new ArgumentException($"No node has such a part: {request}.", nameof(request));
        Advance(now);
        if (!HearOf(request.Epoch, now) || (IsWithheld && _isWhollyWithheld))
            return new PartGrant { Sequence = request.Sequence, Epoch = _epoch, ReadyAfter = _withheldUntil.After(now), Burst = _policy.Burst };
        Parts.ForgetSilent(new Instant(now.Ticks - RememberedFor.Ticks));
        if (!Parts.TryTake(request, now, out var part, out var givenBack))
            return request.Sequence == part.Answer.Sequence ? part.Answer : default;
        LendOut();
        _rest.Add(givenBack);
        _waiting?.NoteMore();

        var shares = Reckon(now);
        shares.Count(request.Asked, now);
        var isFree = WaitingCount == 0;
        var alone = TokenParts.TakeAlone(part, request.Alone);
        _rest.Spend(isFree ? (int)Math.Min(alone, _rest.Tokens) : 0); // who waits has been promised what there is
        var served = isFree ? (int)Math.Min(request.AtTheDoor, _rest.Tokens) : 0;
        _rest.Spend(served);

        var room = NewRoom(part, shares.Room(part.Demand, part.Room, Parts.LentRoom - part.Room));
        var added = room - part.Room;
        var space = Math.Clamp(Math.Min(request.Want, part.Room) + added, 0, room); // what the node has kept free, if it still has its part, and more
        var level = part.IsEnded ? 0 : Math.Clamp(request.Level, 0, room);
        var topUp = Math.Max(added - _rest.Space, shares.TopUp(_rest.Tokens, part.Demand, room, level));
        var tokens = isFree ? (int)Math.Clamp(topUp, 0, Math.Min(space, _rest.Tokens)) : 0;
        var lentToOthers = ToPerSecond(Parts.LentRate - part.Rate);
        var rate = NewRate(part, shares.Rate(part.Demand, room, level + tokens, ToPerSecond(part.HeldRate), lentToOthers));
        _rest.Spend(tokens);
        var answer = new PartGrant(
            request.Sequence,
            _epoch,
            room,
            tokens,
            served,
            rate,
            _rest.Cost,
            LeaseTerm.OfPart,
            shares.IsRationed(_rest.Tokens) ? Sooner(TokenShares.Renewal, _rest.FullAt.After(now)) : default,
            FirstAt(1).After(now),
            _policy.Burst,
            _policy.Places,
            shares.Share(part.Demand),
            IsShadow: !_policy.Enforce,
            FillsWithin: _policy.FillsWithin);
        Parts.Lend(part, answer, now);
        LendOut();
        return answer;
    }

    /// <inheritdoc/>
    public TokenGrant Repeat(in TokenGrant earlier, Instant answeredAt, Instant now) => earlier with
    {
        ReadyAfter = (answeredAt + earlier.ReadyAfter).After(now),
        RetryAfter = (answeredAt + earlier.RetryAfter).After(now),
        ComeBackAfter = (answeredAt + earlier.ComeBackAfter).After(now),
    };

    /// <inheritdoc/>
    public bool IsFinal(in TokenGrant answer) => answer.AskAgainAfter == TimeSpan.Zero;

    /// <summary>
    /// Takes back what an earlier request was promised. Too late once its instant has come: that token counts as spent, for in the meantime the
    /// bucket may have overflowed in its place. (Burst 1: A is served at 1 s and goes at 2 s, when B was served too; a token given back now would be
    /// B's second.)
    /// </summary>
    public void Cancel(RequestKey request, Instant now)
    {
        Advance(now);
        _waiting?.Cancel(request);
    }

    /// <summary>Takes tokens back that were spent in vain, as far as the rest has room.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1; nothing has changed.</exception>
    public void Refund(int tokens, Instant now)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(tokens, 1);
        Advance(now);
        if (IsWithheld && _isWhollyWithheld)
            return; // what came before it is not known, and may be in use
        _rest.Add(tokens);
        _waiting?.NoteMore();
    }

    /// <summary>Fills the rest, not what is lent. Who waits keeps turn and instant.</summary>
    public void Reset(Instant now)
    {
        Advance(now);
        _rest = new TokenBucket(_policy, now);
        LendOut();
        _waiting?.NoteChange();
    }

    /// <summary>Goes on under another policy: tokens in the rest stay (up to the new burst), and so does every instant that was promised.</summary>
    public void ChangeTo(RateLimiterPolicy policy, Instant now)
    {
        Advance(now);
        _policy = policy;
        var costBefore = _rest.Cost;
        _rest.ChangeTo(policy);
        _parts?.ChangeUnit(costBefore, _rest.Cost, _rest.FullRate);
        LendOut();
        _waiting?.NoteChange();
    }

    public RateLimiterStatus Describe(Instant now)
    {
        Advance(now);
        return new RateLimiterStatus(WaitingCount > 0 ? 0 : _rest.Tokens, _policy.Burst, _policy.TokensPerPeriod, _policy.Period, WaitingCount);
    }

    /// <inheritdoc/>
    public LimiterMemory Capture(Instant now, bool isWhole)
    {
        Advance(now);
        var (told, line) = _waiting?.Capture(now) ?? ([], []);
        return new LimiterMemory(
            _epoch,
            _predecessor,
            _withheldUntil.After(now),
            _isWhollyWithheld,
            _rest.Cost,
            _rest.Units,
            isWhole ? _parts?.Capture(now) ?? [] : [],
            isWhole ? told : [],
            isWhole ? line : [],
            _rest.FullRate);
    }

    private void Resume(LimiterMemory memory, Instant now, TimeSpan elapsed)
    {
        // By the slower of the two policies: nobody knows since when the new one holds.
        var rest = new TokenBucket(_policy, now);
        var slower = Math.Min(1, (double)memory.FullRate * rest.Cost / ((double)memory.TokenCost * rest.FullRate));
        var then = new Instant(now.Ticks - (long)(elapsed.Ticks * slower));
        (_predecessor, _isWhollyWithheld) = (memory.Predecessor, memory.IsWhollyWithheld);
        _withheldUntil = memory.WithheldFor > TimeSpan.Zero ? now + memory.WithheldFor : then;
        _rest = new TokenBucket(_policy, then);
        Parts.Resume(memory.Parts, now);
        Parts.ChangeUnit(memory.TokenCost, _rest.Cost, _rest.FullRate);
        LendOut();
        _rest.Hold(memory.Units, memory.TokenCost);
        _rest.Advance(now);
        if (memory.Told.Length + memory.Line.Length > 0)
            (_waiting = new Reservations()).Resume(memory.Told, memory.Line, now);
    }

    private TokenGrant Decide(in TokenRequest request, Instant now)
    {
        var isKnown = _waiting is not null && _waiting.Knows(request.Id.Key);
        if (!isKnown && WaitingCount == 0 && _rest.Tokens >= request.Tokens)
        {
            _rest.Spend(request.Tokens);
            return new TokenGrant(true, default, default, default, _policy.Burst);
        }

        var retryAfter = FirstAt(request.Tokens).After(now);
        if (!request.MayWait)
            return new TokenGrant(false, default, retryAfter, RefusalReason.RateLimited, _policy.Burst);
        if (!isKnown && (WaitingCount >= _policy.Places || retryAfter > Horizon))
            return new TokenGrant(false, default, retryAfter, RefusalReason.QueueFull, _policy.Burst);
        _waiting ??= new Reservations();
        if (!_waiting.Ask(request.Id.Key, request.Tokens, _rest, now, out var at))
            return new TokenGrant(false, default, retryAfter, default, _policy.Burst) { AskAgainAfter = at.After(now) };
        Advance(now); // his instant may have come
        return new TokenGrant(true, at.After(now), default, default, _policy.Burst);
    }

    // When one is served who comes next and wants so many, if nobody else comes: from the rest as it is, or when all is back that is lent.
    private Instant FirstAt(int tokens)
    {
        var rest = WaitingCount == 0 ? _rest : _waiting!.RestAfter(_rest);
        var all = tokens + (_waiting?.TokensInLine ?? 0);
        var whole = rest;
        whole.Advance(Instant.Later(_withheldUntil, _parts?.LastEndAt ?? default));
        whole.Lend(0, 0);
        var whenAllIsBack = whole.ReadyAt(all);
        var fromTheRest = tokens > rest.Room || IsWithheld ? Instant.Never : rest.ReadyAt(all);
        return fromTheRest < whenAllIsBack ? fromTheRest : whenAllIsBack;
    }

    // Whether it may answer at all. A predecessor that it hears of while it may still have parts has taken all there is.
    private bool HearOf(long epoch, Instant now)
    {
        HasSuccessor |= epoch > _epoch;
        if (HasSuccessor)
            return false;
        if (epoch == 0 || epoch == _epoch || epoch <= _predecessor)
            return true;
        (_predecessor, _isWhollyWithheld) = (epoch, true);
        _withheldUntil = Instant.Later(_withheldUntil, now + LeaseTerm.OfPart);
        LendOut();
        _waiting?.NoteChange();
        return true;
    }

    private TokenParts.Part Hear(in TokenRequest request, Instant now)
    {
        Parts.ForgetSilent(new Instant(now.Ticks - RememberedFor.Ticks));
        var demand = Math.Max(request.Demand, TokenShares.LeastDemand(request.Tokens));
        return Parts.Hear(new Borrower(request.Id.Node, request.Id.Channel), demand, now);
    }

    // As much as is to be had; how much smaller it is to be the node hears, and says when it is. Promises were made from the rest as it was: while
    // anybody waits no more is lent than was, and less where the next wants more than the rest can hold. (Under a smaller policy than that under
    // which they were lent, the other parts may leave less than nothing.)
    private int NewRoom(TokenParts.Part part, int wish)
    {
        var most = _policy.Burst - (Parts.LentRoom - part.Room);
        if (WaitingCount > 0)
            most = Math.Min(most, part.Room - Math.Max(_waiting!.NextInLine - _rest.Room, 0));
        return (int)Math.Clamp(most, 0, wish);
    }

    // Likewise. Whatever is wished, what is lent is never more than there is.
    private long NewRate(TokenParts.Part part, double wish)
    {
        var most = IsWithheld ? 0 : _rest.FullRate - (Parts.LentRate - part.Rate);
        if (WaitingCount > 0)
            most = Int128.Min(most, part.HeldRate);
        return (long)Int128.Clamp(ToUnits(wish), 0, Int128.Max(most, 0));
    }

    private TokenShares Reckon(Instant now)
    {
        _shares ??= new TokenShares();
        _shares.Reckon(Parts, ToPerSecond(_rest.FullRate), _policy.Burst, _rest.Tokens, now);
        return _shares;
    }

    private double ToPerSecond(Int128 units) => (double)units * TimeSpan.TicksPerSecond / _rest.Cost;

    private long ToUnits(double perSecond) => (long)(perSecond * _rest.Cost / TimeSpan.TicksPerSecond);

    private void LendOut()
    {
        if (IsWithheld)
            _rest.Lend(_isWhollyWithheld ? _policy.Burst : _parts?.LentRoom ?? 0, _rest.FullRate);
        else
            _rest.Lend(_parts?.LentRoom ?? 0, _parts?.LentRate ?? 0);
    }

    // Up to now: those whose instant has come have been served, and what was lent until then is back. The clock may have stood still, and then
    // nothing has happened.
    private void Advance(Instant now)
    {
        while (true)
        {
            var servedAt = _waiting?.NextAt ?? Instant.Never;
            var backAt = _parts?.NextEndAt ?? Instant.Never;
            if (IsWithheld && _withheldUntil < backAt)
                backAt = _withheldUntil;
            if (servedAt > now && backAt > now)
                break;
            if (servedAt <= backAt)
            {
                _waiting!.ServeNext(ref _rest);
                continue;
            }

            _rest.Advance(backAt);
            if (_parts?.NextEndAt == backAt)
                _parts.EndNext();
            LendOut();
            _waiting?.NoteMore();
        }

        _rest.Advance(now);
    }

    private static TimeSpan Sooner(TimeSpan left, TimeSpan right) => left < right ? left : right;
}
