using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A bulkhead whose capacity holds across the cluster. Get it from <see cref="IReliabilityToolkit"/>; it is shared, thread-safe, and takes part
/// wherever a <see cref="RateLimiter"/> does.
/// </summary>
/// <remarks>
/// The toolkit owns it: disposing it does nothing. Where the authority does not answer in time, the permit is not acquired and its reason is
/// <see cref="RefusalReason.AuthorityUnavailable"/>.
/// </remarks>
public sealed class ClusterBulkhead : RateLimiter
{
    private readonly BulkheadNode _node;

    internal ClusterBulkhead(BulkheadNode node) => _node = node;

    /// <summary>The policy.</summary>
    public string Policy => _node.Resource.Policy;

    /// <summary>The key under the policy; absent where it has none.</summary>
    public string? Key => _node.Resource.Key;

    internal string Name => _node.Resource.ToString();

    /// <summary>
    /// How long ago it was last asked for anything on this node, to within a second; absent while permits are held or callers wait here.
    /// </summary>
    public override TimeSpan? IdleDuration => _node.IdleFor;

    /// <summary>
    /// Takes slots that the node holds, or waits for them: first come first served on the node, and among nodes one caller of each in turn, for as
    /// long as the policy's <c>MaxWait</c> and <paramref name="cancellationToken"/> allow.
    /// </summary>
    /// <param name="permitCount">Slots; 1 to the policy's capacity.</param>
    /// <param name="cancellationToken">Ends the wait and leaves the line.</param>
    /// <returns>A permit; not acquired where the queue is full, the wait too long, or the authority unavailable.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 or more than the capacity.</exception>
    /// <exception cref="BulkheadClosedException">The bulkhead is closed, or was closed during the wait.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public new ValueTask<BulkheadPermit> AcquireAsync(int permitCount = 1, CancellationToken cancellationToken = default) =>
        AcquireAsync(permitCount, mayWait: true, cancellationToken);

    /// <summary>
    /// Answers now: from what the node holds, or by one grain call; where slots lie idle on other nodes, they are called back first, for 100 ms at
    /// most. Never overtakes those who wait.
    /// </summary>
    /// <param name="permitCount">Slots; 1 to the policy's capacity.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns>A permit; not acquired where too few slots are free, others wait, or the authority is unavailable.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 or more than the capacity.</exception>
    /// <exception cref="BulkheadClosedException">The bulkhead is closed.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ValueTask<BulkheadPermit> TryAcquireAsync(int permitCount = 1, CancellationToken cancellationToken = default) =>
        AcquireAsync(permitCount, mayWait: false, cancellationToken);

    /// <summary>
    /// This bulkhead for whoever would wait in <see cref="AcquireAsync(int, CancellationToken)"/> where nobody should, as ASP.NET Core's middleware
    /// and Polly do: its <c>AcquireAsync</c> is <see cref="TryAcquireAsync"/>.
    /// </summary>
    public RateLimiter WithoutWaiting() => new BulkheadWithoutWaiting(this);

    /// <summary>
    /// Pending and later acquires fail with <see cref="BulkheadClosedException"/>; held permits run out. Done when no node admits anybody any more:
    /// each that held slots or had waiters has said that it knows, or its lease has run out.
    /// </summary>
    /// <param name="cancellationToken">Ends the call; whether it was carried out is then unknown.</param>
    /// <exception cref="AuthorityUnavailableException">No answer in time.</exception>
    public Task CloseAsync(CancellationToken cancellationToken = default) => _node.CommandAsync(SlotCommand.Close, cancellationToken);

    /// <summary>Ends <see cref="CloseAsync"/>.</summary>
    /// <inheritdoc cref="CloseAsync"/>
    public Task ReopenAsync(CancellationToken cancellationToken = default) => _node.CommandAsync(SlotCommand.Reopen, cancellationToken);

    /// <summary>Reads the bulkhead at the authority; changes nothing.</summary>
    /// <inheritdoc cref="CloseAsync"/>
    public ValueTask<BulkheadStatus> GetStatusAsync(CancellationToken cancellationToken = default) =>
        _node.GetStatusAsync(cancellationToken);

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
    public ValueTask<bool> SetPolicyAsync(BulkheadPolicy policy, long version, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(policy);
        return _node.SetPolicyAsync(policy, version, cancellationToken);
    }

    /// <summary>The configured policy holds again. That it was cleared, and with which version, is remembered.</summary>
    /// <inheritdoc cref="SetPolicyAsync"/>
    public ValueTask<bool> ClearPolicyAsync(long version, CancellationToken cancellationToken = default) =>
        _node.SetPolicyAsync(null, version, cancellationToken);

    /// <summary>
    /// What this node counted: permits given and refused here, those who wait here, and the slots that it has at hand. What is available in the
    /// cluster tells <see cref="GetStatusAsync"/>.
    /// </summary>
    public override RateLimiterStatistics GetStatistics() => _node.Statistics;

    /// <summary>
    /// Answers from what the node holds, without a call and without waiting. Where it holds nothing, which is so at the first use, the answer is no
    /// with <see cref="RefusalReason.NoLocalStock"/>, and slots are asked for in the background so that the next may have them: await
    /// <see cref="TryAcquireAsync"/> or <see cref="AcquireAsync(int, CancellationToken)"/> instead.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1, or more than the capacity that the node has last heard of.</exception>
    protected override RateLimitLease AttemptAcquireCore(int permitCount)
    {
        PermitCount.ThrowIfBelowOne(permitCount);
        return _node.TryTake(permitCount) ?? _node.Attempt(permitCount);
    }

    /// <inheritdoc cref="AcquireAsync(int, CancellationToken)"/>
    protected override ValueTask<RateLimitLease> AcquireAsyncCore(int permitCount, CancellationToken cancellationToken)
    {
        var permit = AcquireAsync(permitCount, mayWait: true, cancellationToken);
        return permit.IsCompletedSuccessfully ? new(permit.Result) : Convert(permit);

        static async ValueTask<RateLimitLease> Convert(ValueTask<BulkheadPermit> permit) => await permit.ConfigureAwait(false);
    }

    /// <summary>For one who asks again at once, ready for an answer, where the node holds nothing.</summary>
    internal RateLimitLease AttemptFirst(int permitCount) => _node.TryTake(permitCount) ?? _node.Attempt(permitCount, comesBack: true);

    private ValueTask<BulkheadPermit> AcquireAsync(int permitCount, bool mayWait, CancellationToken cancellationToken)
    {
        PermitCount.ThrowIfBelowOne(permitCount);
        return !cancellationToken.IsCancellationRequested && _node.TryTake(permitCount) is { } permit
            ? new(permit)
            : _node.AcquireAsync(permitCount, mayWait, cancellationToken);
    }
}
