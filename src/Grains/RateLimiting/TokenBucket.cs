using System.Numerics;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The arithmetic of a token bucket, as an integer debt in units in which nothing is rounded: a token costs <c>Period.Ticks</c>, each elapsed tick
/// repays <c>TokensPerPeriod</c> (both times a power of two, so that also a slow rate can be cut), and a full bucket owes nothing. Of its room and
/// its rate some may be lent; the bucket is what is left. Not thread-safe.
/// </summary>
internal struct TokenBucket
{
    // A millionth of the policy's rate is fine enough to lend.
    private const int FinestScale = 20;

    private long _cost;      // of one token; at most 2^60
    private long _fullRate;  // of the whole policy, per tick; at most 2^50
    private long _fullRoom;  // Burst · cost; at most 2^60
    private long _repay;     // per tick; what is not lent of the full rate
    private long _capacity;  // what is not lent of the full room
    private long _debt;      // 0 (full) to capacity (empty)

    public TokenBucket(RateLimiterPolicy policy, Instant now)
    {
        Measure(policy);
        At = now;
    }

    /// <summary>The instant at which the level holds.</summary>
    public Instant At { get; private set; }

    /// <summary>Whole tokens in the bucket.</summary>
    public readonly long Tokens => (_capacity - _debt) / _cost;

    /// <summary>What is in the bucket, in units.</summary>
    public readonly long Units => _capacity - _debt;

    /// <summary>What a token costs, in units.</summary>
    public readonly long Cost => _cost;

    /// <summary>The policy's rate, in units per tick.</summary>
    public readonly long FullRate => _fullRate;

    /// <summary>Whole tokens that the bucket could hold besides those in it.</summary>
    public readonly long Space => _debt / _cost;

    /// <summary>Whole tokens that it can hold at most, now that some of its room is lent.</summary>
    public readonly long Room => _capacity / _cost;

    /// <summary>When the bucket is full again if nobody takes anything.</summary>
    public readonly Instant FullAt => At + TimeSpan.FromTicks(TicksToRepay(_debt));

    /// <summary>Accrues up to <paramref name="now"/>. A clock that stood still or stepped back earns nothing.</summary>
    public void Advance(Instant now)
    {
        if (now <= At)
            return;
        var isMoreThanALong = Math.BigMul((now - At).Ticks, _repay, out var repaid) != 0 || repaid < 0;
        _debt = isMoreThanALong || repaid >= _debt ? 0 : _debt - repaid;
        At = now;
    }

    /// <summary>
    /// The first instant at which so many tokens have come, rounded up: never too early. They may be more than the bucket holds, for callers one
    /// after the other.
    /// </summary>
    public readonly Instant ReadyAt(long tokens) => At + TimeSpan.FromTicks(TicksToRepay(_debt + ((Int128)tokens * _cost) - _capacity));

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
        Measure(policy);
        _debt = _capacity - (tokens * _cost);
    }

    /// <summary>Says how much is lent in all from now on. Tokens that have no room any more are lost.</summary>
    /// <param name="room">Tokens' room; where an older, larger policy lent more than there is, nothing is left.</param>
    /// <param name="rate">Units per tick; likewise.</param>
    public void Lend(long room, Int128 rate)
    {
        var level = _capacity - _debt;
        _capacity = (long)Int128.Max(_fullRoom - ((Int128)room * _cost), 0);
        _repay = (long)Int128.Max(_fullRate - rate, 0);
        _debt = Math.Max(_capacity - level, 0);
    }

    /// <summary>Holds what another bucket held; of what was told in other units, whole tokens.</summary>
    /// <param name="units">That were in it.</param>
    /// <param name="cost">Of a token, there.</param>
    public void Hold(long units, long cost) =>
        _debt = (long)Int128.Clamp(_capacity - (cost == _cost ? units : (Int128)(units / cost) * _cost), 0, _capacity);

    /// <summary>Takes tokens in; what has no room is lost.</summary>
    public void Add(long tokens) => _debt = (long)Int128.Max(_debt - ((Int128)tokens * _cost), 0);

    private void Measure(RateLimiterPolicy policy)
    {
        var room = policy.Burst * policy.Period.Ticks;
        var scale = Math.Clamp(BitOperations.LeadingZeroCount((ulong)room) - 4, 0, FinestScale);
        _cost = policy.Period.Ticks << scale;
        _fullRate = _repay = (long)policy.TokensPerPeriod << scale;
        _fullRoom = _capacity = room << scale;
    }

    // Beyond the horizon nothing is promised, so what lies there need not be told apart.
    private readonly long TicksToRepay(Int128 debt)
    {
        var beyond = TokenLedger.Horizon.Ticks + 1;
        if (debt <= 0 || _repay == 0)
            return debt <= 0 ? 0 : beyond;
        return debt <= long.MaxValue ? Math.Min((((long)debt - 1) / _repay) + 1, beyond) : (long)Int128.Min(((debt - 1) / _repay) + 1, beyond);
    }
}
