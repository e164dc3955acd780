namespace SiloHost;

/// <summary>A call that was admitted, in ticks of 100 ns on the machine's monotonic clock.</summary>
/// <param name="SentAt">Not after the decision.</param>
/// <param name="AnsweredAt">Not before the decision.</param>
public readonly record struct Admission(long SentAt, long AnsweredAt);

/// <summary>What a token bucket promises: at most <c>Burst + TokensPerPeriod / Period · w</c> in every window of length w.</summary>
/// <param name="Burst">The most that the bucket holds.</param>
/// <param name="TokensPerPeriod">Tokens that accrue in each <paramref name="Period"/>.</param>
/// <param name="Period">The time in which they accrue.</param>
public sealed record TokenLimit(long Burst, long TokensPerPeriod, TimeSpan Period)
{
    /// <summary>One token, in the unit in which nothing is rounded: <see cref="TokensPerPeriod"/> of them accrue in a tick.</summary>
    internal Int128 TokenCost => Period.Ticks;

    /// <summary>The most that may be admitted in a window of this length.</summary>
    public double Over(TimeSpan window) => Burst + ((double)Accrued(window.Ticks) / (double)TokenCost);

    internal Int128 Accrued(long ticks) => (Int128)ticks * TokensPerPeriod;
}

/// <summary>A window and how much was admitted in it.</summary>
/// <param name="StartsAt">In the ticks of its admissions.</param>
/// <param name="EndsAt">In the ticks of its admissions.</param>
/// <param name="Admitted">How many admissions it certainly contains.</param>
/// <param name="Excess">Tokens above the limit; negative where it was kept, above zero where it was exceeded.</param>
public readonly record struct Window(long StartsAt, long EndsAt, int Admitted, double Excess)
{
    /// <summary>Its length.</summary>
    public TimeSpan Length => TimeSpan.FromTicks(EndsAt - StartsAt);

    /// <summary>Whether more was admitted than promised.</summary>
    public bool IsViolation => Excess > 0;
}
