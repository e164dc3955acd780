namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The authority of one rate limiter: a token bucket, and the callers to whom its coming tokens are promised, in order. Not thread-safe: the grain
/// guards it.
/// </summary>
/// <remarks>
/// A wait is a reservation: "yours in 37 ms". The caller is told its instant at once, needs no second call, and cannot be told of a better one. So
/// the bucket is kept twice: as it stands now, and as it will stand once the last of those who wait has been served; the next caller is served from
/// the latter. Only where a waiter went, and left tokens that none of those who wait can be told of, does a newcomer get an earlier instant, if that
/// delays nobody: a thousand callers give up after five seconds and one has the patience for a quarter of an hour; the limiter must not stand still
/// until his turn comes.
/// </remarks>
internal sealed class TokenLedger : IAuthorityMachine<RateLimiterPolicy, TokenGrant>
{
    /// <summary>Nobody is promised a token later than this: who would wait longer finds the queue full.</summary>
    public static readonly TimeSpan Horizon = TimeSpan.FromDays(365);

    // Who is silent for so long is forgotten: by then nobody repeats a request.
    private static readonly TimeSpan RememberedFor = CallTimeouts.AnswersKeptFor;

    private readonly long _epoch;
    private TokenParts? _parts; // there from the first part on: most limiters are small
    private TokenShares? _shares;
    private LinkedList<Reservation>? _waiting; // in order of their instants; there from the first who waits on
    private Dictionary<RequestKey, LinkedListNode<Reservation>>? _byRequest;
    private RateLimiterPolicy _policy;
    private TokenBucket _bucket;
    private TokenBucket _afterTheQueue; // kept while somebody waits
    private bool _isQueueChanged;
    private bool _mayHaveGaps;

    public TokenLedger(RateLimiterPolicy policy, Instant now, long epoch = 0)
    {
        (_policy, _epoch) = (policy, epoch);
        _bucket = new TokenBucket(policy, now);
    }

    /// <summary>The rest, as of the last verb; for whoever checks the books.</summary>
    public TokenBucket Rest => _bucket;

    /// <summary>What is lent; likewise.</summary>
    public TokenParts Parts => _parts ??= new TokenParts();

    private int WaitingCount => _waiting?.Count ?? 0;

    /// <inheritdoc/>
    public Instant MemorableUntil => WaitingCount == 0 ? _bucket.FullAt : AfterTheQueue().FullAt;

    /// <summary>Tokens for one caller, now or, if he may wait, at the first instant that is nobody else's.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 token or more than the burst; nothing has changed.</exception>
    public TokenGrant Acquire(in TokenRequest request, Instant now)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(request.Tokens, 1, "tokens");
        ArgumentOutOfRangeException.ThrowIfGreaterThan(request.Tokens, _policy.Burst, "tokens");
        Advance(now);
        var (readyAt, next) = FirstInstant(request.Tokens);
        var wait = readyAt.After(now);
        if (wait == TimeSpan.Zero)
        {
            _bucket.Spend(request.Tokens);
            _isQueueChanged = true;
        }
        else if (!request.MayWait)
        {
            return new TokenGrant(false, default, wait, RefusalReason.RateLimited, _policy.Burst);
        }
        else if (WaitingCount >= _policy.QueueLimit || wait > Horizon)
        {
            return new TokenGrant(false, default, wait, RefusalReason.QueueFull, _policy.Burst);
        }
        else
        {
            Queue(new Reservation(request.Id.Key, request.Tokens, readyAt), next);
        }

        return new TokenGrant(true, wait, default, default, _policy.Burst);
    }

    /// <summary>Takes a node's view of its part, and lends it what it is to have for the next term.</summary>
    public PartGrant Renew(in PartRequest request, Instant now)
    {
        Advance(now);
        (_parts, _shares) = (Parts, _shares ??= new TokenShares());
        _parts.ForgetSilent(new Instant(now.Ticks - RememberedFor.Ticks));
        if (!_parts.TryTake(request, now, out var part, out var givenBack))
            return request.Sequence == part.Answer.Sequence ? part.Answer : default;
        LendOut();
        _bucket.Add(givenBack);
        _isQueueChanged = true;

        var rate = _bucket.FullRate * (double)TimeSpan.TicksPerSecond / _bucket.Cost;
        _shares.Reckon(_parts, rate, _policy.Burst, now);
        var isFree = WaitingCount == 0;
        var served = isFree ? (int)Math.Min(request.AtTheDoor, _bucket.Tokens) : 0;
        _bucket.Spend(served);

        var room = NewRoom(part);
        var unit = _bucket.Cost / (double)TimeSpan.TicksPerSecond;
        var lent = (long)(_shares.Rate(part.Demand, room, rate, (_parts.LentRate - part.Rate) / unit) * unit);
        var (rest, isPlenty) = (_bucket.Tokens, TokenShares.IsPlenty(_bucket.Tokens, rate, _policy.Burst));
        var added = Math.Max(room - part.Room, 0);
        var share = isPlenty ? rest / 2 : rest / Math.Max(_shares.Askers, 1);
        var tokens = isFree ? (int)Math.Min(Math.Max(share, added - _bucket.Space), request.Want + added) : 0;
        _bucket.Spend(tokens);

        var isRationed = !isPlenty && _shares.Demand > rate && part.Demand >= _shares.FairRate(part.Demand);
        var answer = new PartGrant(
            request.Sequence,
            _epoch,
            room,
            tokens,
            served,
            lent,
            _bucket.Cost,
            TokenParts.Term,
            isRationed ? TokenShares.Renewal : default,
            _bucket.ReadyAt(1).After(now),
            _policy.Burst);
        _parts.Lend(part, answer, now);
        LendOut();
        return answer;
    }

    /// <inheritdoc/>
    public TokenGrant Repeat(in TokenGrant earlier, Instant answeredAt, Instant now) => earlier with
    {
        ReadyAfter = (answeredAt + earlier.ReadyAfter).After(now),
        RetryAfter = (answeredAt + earlier.RetryAfter).After(now),
    };

    /// <summary>
    /// Takes back what an earlier request was promised. Too late once its instant has come: that token counts as spent, for in the meantime the
    /// bucket may have overflowed in its place. (Burst 1: A is served at 1 s and goes at 2 s, when B was served too; a token given back now would be
    /// B's second.)
    /// </summary>
    public void Cancel(RequestKey request, Instant now)
    {
        Advance(now);
        if (_byRequest is null || !_byRequest.Remove(request, out var node))
            return;
        _mayHaveGaps |= node.Next is not null;
        _waiting!.Remove(node);
        _isQueueChanged = true;
    }

    /// <summary>Fills the bucket, not what is lent. Who waits keeps turn and instant.</summary>
    public void Reset(Instant now)
    {
        Advance(now);
        _bucket = new TokenBucket(_policy, now);
        LendOut();
        _isQueueChanged = _mayHaveGaps = true;
    }

    /// <summary>Goes on under another policy: tokens in the bucket stay (up to the new burst), and so does every instant that was promised.</summary>
    public void ChangeTo(RateLimiterPolicy policy, Instant now)
    {
        Advance(now);
        _policy = policy;
        _bucket.ChangeTo(policy);
        LendOut();
        _isQueueChanged = _mayHaveGaps = true;
    }

    public RateLimiterStatus Describe(Instant now)
    {
        Advance(now);
        return new RateLimiterStatus(WaitingCount > 0 ? 0 : _bucket.Tokens, _policy.Burst, _policy.TokensPerPeriod, _policy.Period, WaitingCount);
    }

    private void LendOut()
    {
        if (_parts is not null)
            _bucket.Lend(_parts.LentRoom, _parts.LentRate);
    }

    // As much as is to be had. It grows at once; how much smaller it is to be the node hears, and says when it is.
    private int NewRoom(TokenParts.Part part)
    {
        var wish = _shares!.Room(part.Demand);
        if (wish > part.Room)
            return part.Room + (int)Math.Clamp((_policy.Burst / 2) - Parts.LentRoom, 0, wish - part.Room);
        return wish > part.Room * 3 / 4 ? part.Room : wish;
    }

    private void Queue(in Reservation reservation, LinkedListNode<Reservation>? next)
    {
        if (next is null)
            Serve(ref AfterTheQueue(), reservation.At, reservation.Tokens);
        else
            _isQueueChanged = true;
        _waiting ??= [];
        _byRequest ??= [];
        _byRequest[reservation.Request] = next is null ? _waiting.AddLast(reservation) : _waiting.AddBefore(next, reservation);
    }

    // The first instant at which so many tokens are nobody else's, and who is served next after it: nobody, but for gaps.
    private (Instant At, LinkedListNode<Reservation>? Next) FirstInstant(int tokens)
    {
        if (_mayHaveGaps && _waiting is not null && FirstGap(_waiting, tokens) is { Next: not null } gap)
            return gap;
        _mayHaveGaps &= tokens > 1 && WaitingCount > 0; // where one token does not fit, none does
        return ((WaitingCount == 0 ? ref _bucket : ref AfterTheQueue()).ReadyAt(tokens), null);
    }

    private (Instant At, LinkedListNode<Reservation>? Next) FirstGap(LinkedList<Reservation> waiting, int tokens)
    {
        // From the end: how much may be owed right after each of those who wait, so that those after him get what they were promised.
        var limits = new long[waiting.Count];
        var (limit, i) = (long.MaxValue, waiting.Count);
        for (var node = waiting.Last; node is not null; node = node.Previous)
        {
            limits[--i] = limit;
            limit = _bucket.LimitBefore(node.Value.At - (node.Previous?.Value.At ?? _bucket.At), node.Value.Tokens, limit);
        }

        var bucket = _bucket;
        for (var node = waiting.First; node is not null; node = node.Next)
        {
            var at = bucket.ReadyAt(tokens);
            if (at < node.Value.At)
            {
                var inGap = bucket;
                Serve(ref inGap, at, tokens);
                if (inGap.OwesAtMost(_bucket.LimitBefore(node.Value.At - at, node.Value.Tokens, limits[i])))
                    return (at, node);
            }

            Serve(ref bucket, node.Value.At, node.Value.Tokens);
            i++;
        }

        return default;
    }

    // Those whose instant has come have been served, and what was lent until then is back; the clock may have stood still, and then nothing has
    // happened.
    private void Advance(Instant now)
    {
        while (true)
        {
            var servedAt = _waiting?.First is { } first ? first.Value.At : Instant.Never;
            var endAt = _parts?.NextEndAt ?? Instant.Never;
            if (servedAt > now && endAt > now)
                break;
            if (servedAt <= endAt)
            {
                Serve(ref _bucket, servedAt, _waiting!.First!.Value.Tokens);
                _byRequest!.Remove(_waiting.First.Value.Request);
                _waiting.RemoveFirst();
            }
            else
            {
                _bucket.Advance(endAt);
                _parts!.EndNext();
                LendOut();
                _isQueueChanged = true;
            }
        }

        _bucket.Advance(now);
    }

    // Empty of those who wait, it is the bucket itself; and what is taken from the bucket changes what is left after them.
    private ref TokenBucket AfterTheQueue()
    {
        if (!_isQueueChanged && WaitingCount > 0)
            return ref _afterTheQueue;
        _isQueueChanged = false;
        _afterTheQueue = _bucket;
        foreach (var reservation in _waiting ?? [])
            Serve(ref _afterTheQueue, reservation.At, reservation.Tokens);
        return ref _afterTheQueue;
    }

    private static void Serve(ref TokenBucket bucket, Instant at, int tokens)
    {
        bucket.Advance(at);
        bucket.Spend(tokens);
    }

    private readonly record struct Reservation(RequestKey Request, int Tokens, Instant At);
}
