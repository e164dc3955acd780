using System.Numerics;

namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>
/// One central bucket, as plain as it can be told: what every promise of the limiter is held against. Its level is counted in units of which a token
/// costs the policy's period in ticks.
/// </summary>
internal sealed class IdealBucket(RateLimiterPolicy policy)
{
    private readonly Int128 _capacity = (Int128)policy.Burst * policy.Period.Ticks;
    private Int128 _level = (Int128)policy.Burst * policy.Period.Ticks;
    private Instant _at;

    public Int128 LevelAt(Instant now) => Int128.Min(_level + ((Int128)(now - _at).Ticks * policy.TokensPerPeriod), _capacity);

    /// <summary>Takes the tokens if they are there.</summary>
    public bool TryTake(int tokens, Instant now)
    {
        if (LevelAt(now) < (Int128)tokens * policy.Period.Ticks)
            return false;
        Take(tokens, now);
        return true;
    }

    /// <summary>Takes the tokens whether they are there or not.</summary>
    public void Take(int tokens, Instant now) => (_level, _at) = (LevelAt(now) - ((Int128)tokens * policy.Period.Ticks), now);

    /// <summary>The level after all of these admissions and the time until <paramref name="at"/>, by replay in unbounded integers.</summary>
    public static BigInteger Level(RateLimiterPolicy policy, IEnumerable<(Instant At, int Tokens)> admissions, Instant at) =>
        Replay(policy, admissions.Append((at, 0))).Last().Level;

    /// <summary>
    /// The first admission that the bucket could not have covered, by replay; null where the ceiling burst + rate · w holds in every window.
    /// </summary>
    public static (Instant At, int Tokens)? FirstExcess(RateLimiterPolicy policy, IEnumerable<(Instant At, int Tokens)> admissions)
    {
        foreach (var (admission, level) in Replay(policy, admissions))
        {
            if (level < 0)
                return admission;
        }

        return null;
    }

    private static IEnumerable<((Instant At, int Tokens) Admission, BigInteger Level)> Replay(
        RateLimiterPolicy policy, IEnumerable<(Instant At, int Tokens)> admissions)
    {
        var burst = (BigInteger)policy.Burst * policy.Period.Ticks;
        var (level, time) = (burst, default(Instant));
        foreach (var admission in admissions.OrderBy(admission => admission.At))
        {
            level = BigInteger.Min(burst, level + ((BigInteger)(admission.At - time).Ticks * policy.TokensPerPeriod));
            level -= (BigInteger)admission.Tokens * policy.Period.Ticks;
            time = admission.At;
            yield return (admission, level);
        }
    }
}
