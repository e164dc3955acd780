namespace ReliabilityToolkit.Orleans;

/// <summary>What a limiter's node decides while the authority is known not to answer; at once, without a call.</summary>
public enum WhenUnavailable
{
    /// <summary>Nobody is admitted; the reason is <see cref="RefusalReason.AuthorityUnavailable"/>. The limit holds.</summary>
    Reject = 0,

    /// <summary>Everybody is admitted. There is no limit for as long.</summary>
    Admit = 1,

    /// <summary>
    /// The node admits its share of the limit: that part of rate and burst which was its due by the cluster's demand when it last heard from the
    /// authority, and no burst beyond what it had left. Who never heard from it admits nobody.
    /// </summary>
    LocalShare = 2,
}
