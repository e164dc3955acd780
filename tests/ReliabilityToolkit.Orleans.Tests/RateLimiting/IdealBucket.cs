using System.Numerics;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>
/// The oracle: one token bucket in unbounded integers, replayed from the beginning each time. Level in token-ticks: a token is Period.Ticks of them.
/// </summary>
internal static class IdealBucket
{
    /// <summary>The level after all of these admissions and the time until <paramref name="at"/>; negative where one of them had no cover.</summary>
    public static BigInteger Level(RateLimiterPolicy policy, IEnumerable<(Instant At, int Tokens)> admissions, Instant at)
    {
        BigInteger burst = (BigInteger)policy.Burst * policy.Period.Ticks;
        var level = burst;
        var time = 0L;
        foreach (var admission in admissions.OrderBy(admission => admission.At).Append((At: at, Tokens: 0)))
        {
            level = BigInteger.Min(burst, level + ((BigInteger)(admission.At.Ticks - time) * policy.TokensPerPeriod));
            time = admission.At.Ticks;
            level -= (BigInteger)admission.Tokens * policy.Period.Ticks;
        }

        return level;
    }

    /// <summary>The first admission that the bucket could not have covered; null where the ceiling burst + rate · w holds in every window.</summary>
    public static (Instant At, int Tokens)? FirstExcess(RateLimiterPolicy policy, IReadOnlyList<(Instant At, int Tokens)> admissions)
    {
        var ordered = admissions.OrderBy(admission => admission.At).ToArray();
        for (var i = 0; i < ordered.Length; i++)
        {
            if (Level(policy, ordered.Take(i + 1), ordered[i].At) < 0)
                return ordered[i];
        }

        return null;
    }
}
