namespace ReliabilityToolkit.Orleans;

/// <summary>
/// When what is lent ends, and when it is renewed: the same at both ends. The holder counts from before it asked and lets go 1 % early, the lender
/// counts from when it answered and takes back no sooner: so the holder has let go before anybody else is given it, if the clocks of two nodes run at
/// speeds within 1 % of each other.
/// </summary>
internal static class LeaseTerm
{
    // One hundredth.
    private const int TermMargin = 100;

    // One thousandth: monotonic clocks are slewed by at most 500 ppm each.
    private const int RateMargin = 1_000;

    /// <summary>How long a part of a limiter is lent.</summary>
    public static readonly TimeSpan OfPart = TimeSpan.FromMilliseconds(750);

    /// <summary>How long a breaker's verdict may be believed, and a kill switch may take where a node does not answer.</summary>
    public static readonly TimeSpan OfVerdict = TimeSpan.FromSeconds(2);

    /// <summary>How long a node that waits for slots of a bulkhead is reckoned with, without a word from it; then it is passed over.</summary>
    public static readonly TimeSpan OfPlace = TimeSpan.FromSeconds(1);

    /// <summary>How long a fenced authority decides without having shown anew that it is still the one.</summary>
    public static readonly TimeSpan OfOwnership = TimeSpan.FromSeconds(3);

    /// <summary>
    /// How far the wall clocks of two silos may be apart. Nothing that is lent ends by them; a bucket that is filled again, and a cool-down, count
    /// so much less of the time between two authorities.
    /// </summary>
    public static readonly TimeSpan ClocksApart = TimeSpan.FromSeconds(1);

    // Two renewals may be lost.
    private const int RenewalsPerTerm = 3;

    /// <summary>Until when the holder may use it.</summary>
    /// <param name="askedAt">Before the request was sent, on the holder's clock.</param>
    /// <param name="term">What the lender said.</param>
    public static Instant HeldUntil(Instant askedAt, TimeSpan term) => askedAt + (term - (term / TermMargin));

    /// <summary>When the holder asks for the next term.</summary>
    /// <param name="askedAt">Before the request was sent, on the holder's clock.</param>
    /// <param name="term">What the lender said.</param>
    public static Instant RenewAt(Instant askedAt, TimeSpan term) => askedAt + RenewAfter(term);

    /// <summary>How long after it has asked the holder asks for the next term.</summary>
    /// <param name="term">What the lender said.</param>
    public static TimeSpan RenewAfter(TimeSpan term) => term / RenewalsPerTerm;

    /// <summary>
    /// What the holder may use of a rate that it was lent: 0.1 % less, rounded down, so that by a fast clock it earns no more than was set aside.
    /// </summary>
    /// <param name="rate">What the lender said; at least 0.</param>
    public static long UsableRate(long rate) => rate - ((rate + RateMargin - 1) / RateMargin);

    /// <summary>From when the lender may lend it to somebody else.</summary>
    /// <param name="answeredAt">When it answered, on the lender's clock.</param>
    /// <param name="term">What it said.</param>
    public static Instant LentUntil(Instant answeredAt, TimeSpan term) => answeredAt + term;
}
