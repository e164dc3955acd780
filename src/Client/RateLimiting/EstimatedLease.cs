using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Tokens that were taken for an estimate, to be settled when the real cost is known: bytes that were sent, tokens of a language model. Not settled,
/// the estimate is what it cost. Thread-safe.
/// </summary>
/// <remarks>
/// In every interval of w seconds the cluster's admissions, each at its estimate, less what was refunded and more what was owed in that interval, are
/// at most <c>Burst + rate · w</c>, and at any time each node owes at most a burst.
/// </remarks>
public sealed class EstimatedLease : RateLimitLease
{
    private readonly RateLimiterNode _limiter;
    private readonly RateLimitLease _lease;
    private readonly Instant _acquiredAt;
    private int _isSettled;

    internal EstimatedLease(RateLimiterNode limiter, RateLimitLease lease, int estimate, Instant acquiredAt) =>
        (_limiter, _lease, Estimate, _acquiredAt) = (limiter, lease, estimate, acquiredAt);

    /// <summary>How long after the acquire tokens can be refunded: 10 minutes.</summary>
    public static TimeSpan RefundableFor { get; } = TimeSpan.FromMinutes(10);

    /// <summary>The tokens that were asked for.</summary>
    public int Estimate { get; }

    /// <inheritdoc/>
    public override bool IsAcquired => _lease.IsAcquired;

    /// <inheritdoc/>
    public override IEnumerable<string> MetadataNames => _lease.MetadataNames;

    /// <summary>
    /// Tells the real cost, once. Less than the estimate: the difference is refunded, as far as the bucket has room, within
    /// <see cref="RefundableFor"/>; where none were taken (in shadow mode, or while the authority does not answer), nothing. More: the difference is
    /// owed by the node, up to a burst in all, and repaid over a minute, in sixty acquires that wait like any other; what is above that is forgiven.
    /// Returns at once; a refund that does not reach the authority is lost.
    /// </summary>
    /// <param name="cost">In tokens; 0 and above.</param>
    /// <exception cref="ArgumentOutOfRangeException">The cost is negative.</exception>
    /// <exception cref="InvalidOperationException">Nothing was acquired, or it has been settled.</exception>
    public Settlement Settle(long cost)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(cost);
        if (!IsAcquired)
            throw new InvalidOperationException("Nothing was acquired that could be settled.");
        if (Interlocked.Exchange(ref _isSettled, 1) != 0)
            throw new InvalidOperationException("It has been settled.");
        return _lease == TokenLease.Free ? default : _limiter.Settle(Estimate, cost, _acquiredAt);
    }

    /// <inheritdoc/>
    public override bool TryGetMetadata(string metadataName, out object? metadata) => _lease.TryGetMetadata(metadataName, out metadata);

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _lease.Dispose();
        base.Dispose(disposing);
    }
}

/// <summary>What came of a settlement.</summary>
/// <param name="Refunded">Tokens given back; those for which there is no room are lost.</param>
/// <param name="Owed">Tokens that are repaid over the next minute.</param>
/// <param name="Forgiven">
/// Tokens that nobody pays, for the node owed a burst already; or those that were paid in vain, for the settlement came too late.
/// </param>
public readonly record struct Settlement(long Refunded, long Owed, long Forgiven);
