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

    /// <summary>The policy.</summary>
    public string Policy => _node.Resource.Policy;

    /// <summary>The key under the policy; absent where it has none.</summary>
    public string? Key => _node.Resource.Key;

    internal string Name => _node.Name;

    /// <summary>The limit, as this node last heard; absent before it has heard of it. Costs no call.</summary>
    public RateLimiterQuota? Quota => _node.Quota;

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
    /// Takes tokens for an estimate, as <see cref="TryAcquireAsync"/> does (or, where <paramref name="mayWait"/>, as
    /// <see cref="RateLimiter.AcquireAsync"/>), to be settled to the real cost by <see cref="EstimatedLease.Settle"/>: for bytes, or tokens of a
    /// language model, that are only known afterwards.
    /// </summary>
    /// <param name="permitCount">The estimate; 1 to the policy's burst.</param>
    /// <param name="mayWait">Whether to wait for them. Default: no.</param>
    /// <param name="cancellationToken">Ends the call, or the wait.</param>
    /// <inheritdoc cref="TryAcquireAsync"/>
    public ValueTask<EstimatedLease> AcquireEstimatedAsync(int permitCount, bool mayWait = false, CancellationToken cancellationToken = default)
    {
        PermitCount.ThrowIfBelowOne(permitCount);
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<EstimatedLease>(cancellationToken);
        return _node.AcquireEstimatedAsync(permitCount, mayWait ? CallerPatience.ForTokens : CallerPatience.ForAnAnswer, cancellationToken);
    }

    /// <summary>For one who asks again at once, ready for an answer, where the node holds nothing.</summary>
    internal RateLimitLease AttemptFirst(int permitCount) =>
        _node.TryTake(permitCount) ? TokenLease.Acquired : _node.Attempt(permitCount, comesBack: true);

    internal EstimatedLease AttemptEstimated(int permitCount, bool comesBack = false) =>
        _node.Estimate(comesBack ? AttemptFirst(permitCount) : AttemptAcquire(permitCount), permitCount);

    /// <summary>
    /// This limiter for whoever would wait in <see cref="RateLimiter.AcquireAsync"/> where nobody should, as ASP.NET Core's middleware and Polly do:
    /// its <c>AcquireAsync</c> is <see cref="TryAcquireAsync"/>. Tokens and statistics are those of this one; a no of its <c>AttemptAcquire</c> is
    /// not counted, for whoever uses it asks again.
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
    /// Gives this name a policy of its own, in place of the configured one, until it is cleared: what was spent, lent or counted stays so. It is
    /// recorded where records are kept, and else lasts as long as the activation. <c>Durability</c> and <c>RecordLate</c> stay those configured.
    /// </summary>
    /// <param name="policy">The whole policy.</param>
    /// <param name="version">1 and above: what was set or cleared with a higher one stays.</param>
    /// <param name="cancellationToken">Ends the call; whether it was carried out is then unknown, and the same may be said again.</param>
    /// <returns>Whether it is in force: false where a newer one is.</returns>
    /// <exception cref="ArgumentException">The policy has faults; the message tells all of them, and nothing has changed.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The version is below 1.</exception>
    /// <exception cref="AuthorityUnavailableException">No answer in time.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    public ValueTask<bool> SetPolicyAsync(RateLimiterPolicy policy, long version, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(policy);
        return _node.SetPolicyAsync(policy, version, cancellationToken);
    }

    /// <summary>The configured policy holds again. That it was cleared, and with which version, is remembered.</summary>
    /// <inheritdoc cref="SetPolicyAsync"/>
    public ValueTask<bool> ClearPolicyAsync(long version, CancellationToken cancellationToken = default) =>
        _node.SetPolicyAsync(null, version, cancellationToken);

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
