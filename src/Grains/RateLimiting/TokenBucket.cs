namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The arithmetic of a token bucket, as an integer debt in units in which nothing is rounded: a token costs <c>Period.Ticks</c>,
/// each elapsed tick repays <c>TokensPerPeriod</c>, and a full bucket owes nothing. Not thread-safe.
/// </summary>
internal struct TokenBucket
{
    private long _cost;      // of one token; at most 1 day of ticks
    private long _repay;     // per tick; at most 10^9
    private long _capacity;  // Burst · cost; at most 2^60
    private long _debt;      // 0 (full) to capacity (empty)

    public TokenBucket(RateLimiterPolicy policy, Instant now)
    {
        _cost = policy.Period.Ticks;
        _repay = policy.TokensPerPeriod;
        _capacity = policy.Burst * _cost;
        At = now;
    }

    /// <summary>The instant at which the level holds.</summary>
    public Instant At { get; private set; }

    /// <summary>Whole tokens in the bucket.</summary>
    public readonly long Tokens => (_capacity - _debt) / _cost;

    /// <summary>When the bucket is full again if nobody takes anything.</summary>
    public readonly Instant FullAt => At + TimeSpan.FromTicks(TicksToRepay(_debt));

    /// <summary>Whether it owes no more than <paramref name="limit"/>, which <see cref="LimitBefore"/> gave.</summary>
    public readonly bool OwesAtMost(long limit) => _debt <= limit;

    /// <summary>
    /// The most that may be owed at one instant, so that after <paramref name="pause"/> these tokens can be taken and no more than
    /// <paramref name="limitAfter"/> (or a whole bucket) is owed then; negative where nothing is little enough.
    /// </summary>
    public readonly long LimitBefore(TimeSpan pause, int tokens, long limitAfter)
    {
        var limit = Math.Min(limitAfter, _capacity) - ((Int128)tokens * _cost);
        return limit < 0 ? -1 : (long)Int128.Min(limit + ((Int128)pause.Ticks * _repay), _capacity);
    }

    /// <summary>Accrues up to <paramref name="now"/>. A clock that stood still or stepped back earns nothing.</summary>
    public void Advance(Instant now)
    {
        if (now <= At)
            return;
        var isMoreThanALong = Math.BigMul((now - At).Ticks, _repay, out var repaid) != 0 || repaid < 0;
        _debt = isMoreThanALong || repaid >= _debt ? 0 : _debt - repaid;
        At = now;
    }

    /// <summary>The first instant at which so many tokens are in the bucket, rounded up: never too early.</summary>
    public readonly Instant ReadyAt(int tokens) => At + TimeSpan.FromTicks(TicksToRepay(_debt + (tokens * _cost) - _capacity));

    /// <summary>
    /// Takes tokens out. It cannot owe more than all of it: only what an older, larger policy promised could, and that promise is kept.
    /// </summary>
    public void Spend(int tokens) => _debt = (long)Int128.Min(_debt + ((Int128)tokens * _cost), _capacity);

    /// <summary>
    /// Goes on under another policy with the tokens that are there: what the new bucket cannot hold is lost, and where it is larger the new room is
    /// empty. A fraction of a token is lost.
    /// </summary>
    public void ChangeTo(RateLimiterPolicy policy)
    {
        var tokens = Math.Min(Tokens, policy.Burst);
        _cost = policy.Period.Ticks;
        _repay = policy.TokensPerPeriod;
        _capacity = policy.Burst * _cost;
        _debt = _capacity - (tokens * _cost);
    }

    private readonly long TicksToRepay(long debt) => debt <= 0 ? 0 : ((debt - 1) / _repay) + 1;
}
