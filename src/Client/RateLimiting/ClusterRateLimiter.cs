using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A rate limiter whose limit holds across the cluster: in every interval of w seconds all nodes together admit at most <c>Burst + rate · w</c>.
/// Get it from <see cref="IReliabilityToolkit"/>; it is shared, thread-safe, and takes part wherever a <see cref="RateLimiter"/> does.
/// </summary>
/// <remarks>
/// The toolkit owns it: disposing it does nothing. Where the authority does not answer in time, or this node's host has stopped, the lease is not
/// acquired and its reason is <see cref="RefusalReason.AuthorityUnavailable"/>.
/// </remarks>
public sealed class ClusterRateLimiter : RateLimiter
{
    private readonly RateLimiterNode _node;
    private LimiterWithoutWaiting? _withoutWaiting;

    internal ClusterRateLimiter(RateLimiterNode node) => _node = node;

    /// <summary>How long ago it was last asked for anything on this node; absent while callers wait here.</summary>
    public override TimeSpan? IdleDuration => _node.IdleFor;

    /// <summary>
    /// Answers now: from what the node holds where it can, by one grain call where not, and without a wait for tokens.
    /// </summary>
    /// <param name="permitCount">Tokens; 1 to the policy's burst.</param>
    /// <param name="cancellationToken">Ends the call; whether the tokens were spent is then unknown.</param>
    /// <returns>A lease; not acquired, it carries <see cref="MetadataName.RetryAfter"/> and <see cref="ToolkitMetadata.Reason"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 or more than the burst.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ValueTask<RateLimitLease> TryAcquireAsync(int permitCount = 1, CancellationToken cancellationToken = default)
    {
        PermitCount.ThrowIfBelowOne(permitCount);
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<RateLimitLease>(cancellationToken);
        return _node.TryTake(permitCount)
            ? new(TokenLease.Acquired)
            : _node.AcquireAsync(permitCount, CallerPatience.ForAnAnswer, cancellationToken);
    }

    /// <summary>
    /// This limiter for whoever would wait in <see cref="RateLimiter.AcquireAsync"/> where nobody should, as ASP.NET Core's middleware and Polly do:
    /// its <c>AcquireAsync</c> is <see cref="TryAcquireAsync"/>. Tokens and statistics are those of this one.
    /// </summary>
    public RateLimiter WithoutWaiting() => _withoutWaiting ??= new LimiterWithoutWaiting(this);

    /// <summary>Reads the level at the authority; changes nothing.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="AuthorityUnavailableException">No answer in time.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    public ValueTask<RateLimiterStatus> GetStatusAsync(CancellationToken cancellationToken = default) => _node.GetStatusAsync(cancellationToken);

    /// <summary>Fills the bucket, but for what is lent to nodes. Who waits keeps turn and instant.</summary>
    /// <param name="cancellationToken">Ends the call; whether it was carried out is then unknown.</param>
    /// <exception cref="AuthorityUnavailableException">No answer in time.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    public Task ResetAsync(CancellationToken cancellationToken = default) => _node.ResetAsync(cancellationToken);

    /// <summary>
    /// What this node counted: leases given and refused here, those who wait here, and the tokens that it has at hand. One who is refused by
    /// <see cref="RateLimiter.AttemptAcquire"/> and asks again at once, ready to wait, is counted once. What is available in the cluster tells
    /// <see cref="GetStatusAsync"/>.
    /// </summary>
    public override RateLimiterStatistics GetStatistics() => _node.Statistics;

    /// <summary>
    /// Answers from what the node holds, without a call and without waiting. Where it holds nothing, which is so until shortly after the first use,
    /// and where the limit is too small to be cut into parts, the answer is no with <see cref="RefusalReason.NoLocalStock"/>: await
    /// <see cref="TryAcquireAsync"/> or <see cref="RateLimiter.AcquireAsync"/> then.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1, or more than the burst that the node has last heard of.</exception>
    protected override RateLimitLease AttemptAcquireCore(int permitCount)
    {
        PermitCount.ThrowIfBelowOne(permitCount);
        return _node.TryTake(permitCount) ? TokenLease.Acquired : _node.Attempt(permitCount);
    }

    /// <summary>
    /// Takes the tokens that the node holds, or waits for them: on the node, first come first served, where it has a part of the limiter, and else in
    /// the cluster's line, by a grain call that tells when they will be there. A cancelled wait leaves nothing behind.
    /// </summary>
    protected override ValueTask<RateLimitLease> AcquireAsyncCore(int permitCount, CancellationToken cancellationToken)
    {
        PermitCount.ThrowIfBelowOne(permitCount);
        return _node.TryTake(permitCount)
            ? new(TokenLease.Acquired)
            : _node.AcquireAsync(permitCount, CallerPatience.ForTokens, cancellationToken);
    }
}
