using System.Numerics;

namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>One central bucket, as plain as it can be told: what every promise of the limiter is held against.</summary>
internal sealed class IdealBucket(RateLimiterPolicy policy)
{
    private readonly Int128 _capacity = (Int128)policy.Burst * policy.Period.Ticks;
    private Int128 _level = (Int128)policy.Burst * policy.Period.Ticks;
    private long _at;

    /// <summary>In units of which a token costs the policy's period in ticks.</summary>
    public Int128 LevelAt(long now) => Int128.Min(_level + ((Int128)(now - _at) * policy.TokensPerPeriod), _capacity);

    /// <summary>Takes the tokens if they are there.</summary>
    public bool TryTake(int tokens, long now)
    {
        var level = LevelAt(now);
        if (level < (Int128)tokens * policy.Period.Ticks)
            return false;
        Take(tokens, now);
        return true;
    }

    /// <summary>Takes the tokens whether they are there or not.</summary>
    public void Take(int tokens, long now) => (_level, _at) = (LevelAt(now) - ((Int128)tokens * policy.Period.Ticks), now);

    /// <summary>The first admission that one bucket would not have made, by replay in unbounded integers; null: there is none.</summary>
    public static (long At, int Tokens)? FirstExcess(RateLimiterPolicy policy, IEnumerable<(long At, int Tokens)> admissions)
    {
        BigInteger capacity = policy.Burst * (BigInteger)policy.Period.Ticks;
        var (level, at) = (capacity, 0L);
        foreach (var admission in admissions.OrderBy(admission => admission.At))
        {
            level = BigInteger.Min(capacity, level + ((admission.At - at) * (BigInteger)policy.TokensPerPeriod));
            level -= admission.Tokens * (BigInteger)policy.Period.Ticks;
            at = admission.At;
            if (level < 0)
                return admission;
        }

        return null;
    }
}
