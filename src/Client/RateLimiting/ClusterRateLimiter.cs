using System.Runtime.CompilerServices;
using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A rate limiter whose limit holds across the cluster: in every interval of w seconds all nodes together admit at most <c>Burst + rate · w</c>.
/// Get it from <see cref="IReliabilityToolkit"/>; it is shared, thread-safe, and takes part wherever a <see cref="RateLimiter"/> does.
/// </summary>
/// <remarks>
/// The toolkit owns it: disposing it does nothing. Where the authority does not answer in time, the lease is not acquired and its reason is
/// <see cref="RefusalReason.AuthorityUnavailable"/>.
/// </remarks>
public sealed class ClusterRateLimiter : RateLimiter
{
    private readonly string _name;
    private readonly IRateLimiterProtocol _authority;
    private readonly AuthorityCaller _caller;
    private readonly RequestChannel _channel;
    private readonly NodeClock _clock;
    private long _admitted;
    private long _refused;
    private int _waiting;
    private long _lastUsedAt;

    internal ClusterRateLimiter(string name, IRateLimiterProtocol authority, AuthorityCaller caller, RequestChannel channel, NodeClock clock)
    {
        _name = name;
        _authority = authority;
        _caller = caller;
        _channel = channel;
        _clock = clock;
        _lastUsedAt = clock.Now.Ticks;
    }

    /// <summary>How long ago it was last asked for anything on this node.</summary>
    public override TimeSpan? IdleDuration => _clock.Now - new Instant(Volatile.Read(ref _lastUsedAt));

    /// <summary>Answers now: one grain call at most, and no wait for tokens.</summary>
    /// <param name="permitCount">Tokens; 1 to the policy's burst.</param>
    /// <param name="cancellationToken">Ends the call; whether the tokens were spent is then unknown.</param>
    /// <returns>A lease; not acquired, it carries <see cref="MetadataName.RetryAfter"/> and <see cref="ToolkitMetadata.Reason"/>.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 or more than the burst.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ValueTask<RateLimitLease> TryAcquireAsync(int permitCount = 1, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(permitCount, 1);
        return cancellationToken.IsCancellationRequested
            ? ValueTask.FromCanceled<RateLimitLease>(cancellationToken)
            : AskAsync(permitCount, mayWait: false, cancellationToken);
    }

    /// <summary>Reads the level at the authority; changes nothing.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="AuthorityUnavailableException">No answer in time.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    public ValueTask<RateLimiterStatus> GetStatusAsync(CancellationToken cancellationToken = default) =>
        _caller.CallAsync(_name, _authority, static (authority, token) => authority.GetStatusAsync(token), cancellationToken);

    /// <summary>Fills the bucket. Who waits keeps turn and instant.</summary>
    /// <param name="cancellationToken">Ends the call; whether it was carried out is then unknown.</param>
    /// <exception cref="AuthorityUnavailableException">No answer in time.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    public async Task ResetAsync(CancellationToken cancellationToken = default)
    {
        var id = _channel.Open();
        try
        {
            var answer = await _caller.CallAsync(_name, (_authority, id), static (call, token) => call._authority.ResetAsync(call.id, token), cancellationToken).ConfigureAwait(false);
            if (!answer.IsGranted)
                throw AuthorityUnavailableException.ForVoidAnswer(_name);
        }
        finally
        {
            _channel.Close(id);
        }
    }

    /// <summary>What this node counted: leases given and refused here, and those who wait here. What is available is the cluster's to know: <see cref="GetStatusAsync"/>.</summary>
    public override RateLimiterStatistics GetStatistics() => new()
    {
        TotalSuccessfulLeases = Interlocked.Read(ref _admitted),
        TotalFailedLeases = Interlocked.Read(ref _refused),
        CurrentQueuedCount = Volatile.Read(ref _waiting),
    };

    /// <summary>
    /// Answers from what the node holds, without a call. Today a node holds nothing: the answer is always no, with <see cref="RefusalReason.NoLocalStock"/>.
    /// Await <see cref="TryAcquireAsync"/> or <see cref="RateLimiter.AcquireAsync"/> instead.
    /// </summary>
    protected override RateLimitLease AttemptAcquireCore(int permitCount)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(permitCount, 1);
        Count(isAdmitted: false);
        return TokenLease.NoLocalStock;
    }

    /// <summary>Waits in the cluster's line for the tokens: one grain call, which tells when they will be there. A cancelled wait gives them back.</summary>
    protected override ValueTask<RateLimitLease> AcquireAsyncCore(int permitCount, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(permitCount, 1);
        return AskAsync(permitCount, mayWait: true, cancellationToken);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<RateLimitLease> AskAsync(int tokens, bool mayWait, CancellationToken cancellationToken)
    {
        var id = _channel.Open();
        TokenGrant grant;
        try
        {
            grant = await _caller.CallAsync(
                _name,
                (_authority, request: new TokenRequest(id, tokens, mayWait)),
                static (call, token) => call._authority.AcquireAsync(call.request, token),
                cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (mayWait)
        {
            _ = GiveBackAsync(id);
            throw;
        }
        catch (AuthorityUnavailableException)
        {
            _ = GiveBackAsync(id);
            Count(isAdmitted: false);
            return TokenLease.Unavailable;
        }
        finally
        {
            _channel.Close(id);
        }

        if (grant.ReadyAfter > TimeSpan.Zero)
            await WaitAsync(id, grant.ReadyAfter, cancellationToken).ConfigureAwait(false);
        Count(grant.IsGranted);
        return TokenLease.From(grant);
    }

    private async Task WaitAsync(RequestId id, TimeSpan readyAfter, CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _waiting);
        try
        {
            await _clock.WaitAsync(readyAfter, cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            _ = GiveBackAsync(id);
            throw;
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    // In the background: the caller has gone. Where it fails the tokens are lost, and nobody is admitted too many.
    private async Task GiveBackAsync(RequestId id)
    {
        try
        {
            await _caller.CallAsync(
                _name,
                (_authority, cancellation: new TokenCancellation(id)),
                static (call, token) => call._authority.CancelAsync(call.cancellation, token),
                CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // Nobody is left to be told.
        }
    }

    private void Count(bool isAdmitted)
    {
        Interlocked.Increment(ref isAdmitted ? ref _admitted : ref _refused);
        Volatile.Write(ref _lastUsedAt, _clock.Now.Ticks);
    }
}
