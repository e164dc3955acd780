using System.Numerics;

namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>
/// One central bucket, as plain as it can be told: what every promise of the limiter is held against. Its level is counted in units of which a token
/// costs the policy's period in ticks.
/// </summary>
internal sealed class IdealBucket(RateLimiterPolicy policy)
{
    private RateLimiterPolicy _policy = policy;
    private Int128 _level = (Int128)policy.Burst * policy.Period.Ticks;
    private Int128 _capacity = (Int128)policy.Burst * policy.Period.Ticks;
    private Instant _at;

    public Int128 LevelAt(Instant now) =>
        now <= _at ? _level : Int128.Max(_level, Int128.Min(_level + ((Int128)(now - _at).Ticks * _policy.TokensPerPeriod), _capacity));

    public double TokensAt(Instant now) => (double)LevelAt(now) / _policy.Period.Ticks;

    /// <summary>Takes the tokens if they are there.</summary>
    public bool TryTake(int tokens, Instant now)
    {
        if (LevelAt(now) < (Int128)tokens * _policy.Period.Ticks)
            return false;
        Take(tokens, now);
        return true;
    }

    /// <summary>Takes the tokens whether they are there or not.</summary>
    public void Take(int tokens, Instant now) => Set(LevelAt(now) - ((Int128)tokens * _policy.Period.Ticks), now);

    /// <summary>Some come back; what is above the bucket is lost.</summary>
    public void Return(Int128 units, Instant now)
    {
        var level = LevelAt(now);
        Set(Int128.Max(level, Int128.Min(level + units, _capacity)), now);
    }

    /// <summary>When the level will be zero again that is below it; else now.</summary>
    public TimeSpan OwedFor(Instant now)
    {
        var level = LevelAt(now);
        return level >= 0 ? TimeSpan.Zero : TimeSpan.FromTicks((long)((-level + _policy.TokensPerPeriod - 1) / _policy.TokensPerPeriod));
    }

    /// <summary>Goes on under another policy of the same period with the tokens that are there.</summary>
    public void ChangeTo(RateLimiterPolicy policy, Instant now)
    {
        Set(LevelAt(now), now);
        _policy = policy;
        _capacity = (Int128)policy.Burst * policy.Period.Ticks;
        _level = Int128.Min(_level, _capacity);
    }

    /// <summary>Has so many tokens more, for which there is room until it is told otherwise.</summary>
    public void Raise(int tokens, Instant now)
    {
        Set(LevelAt(now) + ((Int128)tokens * _policy.Period.Ticks), now);
        _capacity += (Int128)tokens * _policy.Period.Ticks;
    }

    /// <summary>The first admission that a bucket could not have covered, by replay in unbounded integers; null where there is none.</summary>
    public static (Instant At, int Tokens)? FirstExcess(RateLimiterPolicy policy, IEnumerable<(Instant At, int Tokens)> admissions) =>
        FirstExcess([(default, policy)], admissions);

    /// <summary>As the other, where the policy changes: each holds from its instant on, all have the same period.</summary>
    public static (Instant At, int Tokens)? FirstExcess(
        IReadOnlyList<(Instant From, RateLimiterPolicy Policy)> policies, IEnumerable<(Instant At, int Tokens)> admissions)
    {
        foreach (var (admission, level) in Replay(policies, admissions))
        {
            if (level < 0)
                return admission;
        }

        return null;
    }

    /// <summary>The level after all of these admissions and the time until <paramref name="at"/>, by replay in unbounded integers.</summary>
    public static BigInteger Level(RateLimiterPolicy policy, IEnumerable<(Instant At, int Tokens)> admissions, Instant at) =>
        Replay([(default, policy)], admissions.Append((at, 0))).Last().Level;

    private static IEnumerable<((Instant At, int Tokens) Admission, BigInteger Level)> Replay(
        IReadOnlyList<(Instant From, RateLimiterPolicy Policy)> policies, IEnumerable<(Instant At, int Tokens)> admissions)
    {
        var (policy, next, time) = (policies[0].Policy, 1, default(Instant));
        var level = Full(policy);
        foreach (var admission in admissions.OrderBy(admission => admission.At))
        {
            for (; next < policies.Count && policies[next].From <= admission.At; next++)
            {
                Pass(policies[next].From);
                policy = policies[next].Policy;
                level = BigInteger.Min(level, Full(policy));
            }

            Pass(admission.At);
            level -= (BigInteger)admission.Tokens * policy.Period.Ticks;
            yield return (admission, level);
        }

        void Pass(Instant until)
        {
            level = BigInteger.Min(Full(policy), level + ((BigInteger)(until - time).Ticks * policy.TokensPerPeriod));
            time = until;
        }

        static BigInteger Full(RateLimiterPolicy policy) => (BigInteger)policy.Burst * policy.Period.Ticks;
    }

    private void Set(Int128 level, Instant now) => (_level, _at) = (level, now > _at ? now : _at);
}
