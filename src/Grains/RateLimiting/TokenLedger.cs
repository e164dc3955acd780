namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The authority of one rate limiter: a token bucket, and the callers to whom its coming tokens are promised, in order. Not thread-safe: the grain guards it.
/// </summary>
/// <remarks>
/// A wait is a reservation: "yours in 37 ms". The caller is told its instant at once and needs no second call. So the bucket is kept twice: as it stands
/// now, and as it will stand once the last of those who wait has been served; the next caller is served from the latter.
/// </remarks>
internal sealed class TokenLedger : IAuthority<RateLimiterPolicy>
{
    private readonly AnswerLog<Decision> _answers = new();
    private readonly LinkedList<Reservation> _waiting = new();
    private RateLimiterPolicy _policy;
    private TokenBucket _bucket;
    private TokenBucket _afterTheQueue;

    public TokenLedger(RateLimiterPolicy policy, Instant now)
    {
        _policy = policy;
        _bucket = _afterTheQueue = new TokenBucket(policy, now);
    }

    /// <inheritdoc/>
    public Instant MemorableUntil => _afterTheQueue.FullAt;

    /// <summary>Tokens for one caller, now or, if he may wait, at the first instant that is nobody else's.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 token or more than the burst; nothing has changed.</exception>
    public TokenGrant Acquire(in TokenRequest request, Instant now)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(request.Tokens, 1, "tokens");
        ArgumentOutOfRangeException.ThrowIfGreaterThan(request.Tokens, _policy.Burst, "tokens");
        if (_answers.TryRecall(request.Id, now, out var decision))
            return decision.SeenFrom(now);

        Settle(now);
        decision = Decide(request, now);
        _answers.Remember(request.Id, decision);
        return decision.SeenFrom(now);
    }

    /// <summary>
    /// Takes back what an earlier request was promised. Too late once its instant has come: that token counts as spent, for in the meantime the
    /// bucket may have overflowed in its place. (Burst 1: A is served at 1 s and goes at 2 s, when B was served too; a token given back now would be B's second.)
    /// </summary>
    public void Cancel(in TokenCancellation cancellation, Instant now)
    {
        // The cancellation may overtake the request: remembered as refused, the request then takes nothing.
        _answers.TryRecall(cancellation.Id, now, out _);
        _answers.Remember(cancellation.Id, default);

        Settle(now);
        for (var node = _waiting.First; node is not null; node = node.Next)
        {
            if (node.Value.Request != cancellation.Id.Key)
                continue;
            _waiting.Remove(node);
            ServeTheQueueAgain();
            return;
        }
    }

    /// <summary>Fills the bucket. Who waits keeps turn and instant.</summary>
    public void Reset(in RequestId id, Instant now)
    {
        if (_answers.TryRecall(id, now, out _))
            return;
        _answers.Remember(id, default);
        Settle(now);
        _bucket = new TokenBucket(_policy, now);
        ServeTheQueueAgain();
    }

    /// <summary>Goes on under another policy: tokens in the bucket stay (up to the new burst), and so does every instant that was promised.</summary>
    public void ChangeTo(RateLimiterPolicy policy, Instant now)
    {
        Settle(now);
        _policy = policy;
        _bucket.ChangeTo(policy);
        _afterTheQueue.ChangeTo(policy);
    }

    public RateLimiterStatus Describe(Instant now)
    {
        Settle(now);
        return new RateLimiterStatus(_waiting.Count > 0 ? 0 : _bucket.Tokens, _policy.Burst, _policy.TokensPerPeriod, _policy.Period, _waiting.Count);
    }

    private Decision Decide(in TokenRequest request, Instant now)
    {
        var readyAt = _afterTheQueue.ReadyAt(request.Tokens);
        if (readyAt > now)
        {
            if (!request.MayWait)
                return new Decision(false, readyAt, RefusalReason.RateLimited);
            if (_waiting.Count >= _policy.QueueLimit)
                return new Decision(false, readyAt, RefusalReason.QueueFull);
            _waiting.AddLast(new Reservation(request.Id.Key, request.Tokens, readyAt));
        }

        _afterTheQueue.Advance(readyAt);
        _afterTheQueue.Spend(request.Tokens);
        if (_waiting.Count == 0)
            _bucket = _afterTheQueue;
        return new Decision(true, readyAt, default);
    }

    // Those whose instant has come have been served; the clock may have stood still, and then nobody has.
    private void Settle(Instant now)
    {
        while (_waiting.First is { } first && first.Value.At <= now)
        {
            Serve(ref _bucket, first.Value);
            _waiting.RemoveFirst();
        }

        _bucket.Advance(now);
        _afterTheQueue.Advance(now);
    }

    private void ServeTheQueueAgain()
    {
        _afterTheQueue = _bucket;
        foreach (var reservation in _waiting)
            Serve(ref _afterTheQueue, reservation);
    }

    private static void Serve(ref TokenBucket bucket, in Reservation reservation)
    {
        bucket.Advance(reservation.At);
        bucket.Spend(reservation.Tokens);
    }

    private readonly record struct Reservation(RequestKey Request, int Tokens, Instant At);

    // What was decided, in instants: a repeated answer tells what is left of the wait.
    private readonly record struct Decision(bool IsGranted, Instant At, RefusalReason Reason)
    {
        public TokenGrant SeenFrom(Instant now) => IsGranted
            ? new TokenGrant(true, At.After(now), default, default)
            : new TokenGrant(false, default, At.After(now), Reason);
    }
}
