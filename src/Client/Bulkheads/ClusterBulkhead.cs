using System.Collections.Immutable;
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
    // A held call is answered within a third of the lease or this, whichever is shorter: so long it takes a waiter to notice that the authority has gone.
    private static readonly TimeSpan LongestHold = TimeSpan.FromSeconds(5);

    private readonly string _name;
    private readonly IBulkheadProtocol _authority;
    private readonly AuthorityCaller _caller;
    private readonly RequestChannel _channel;
    private readonly NodeClock _clock;
    private readonly Lock _lock = new();
    private readonly HeldPermits _held = new();
    private readonly Dictionary<long, BulkheadPermit> _permits = [];
    private readonly ITimer _timer;
    private long _admitted;
    private long _refused;
    private int _waiting;
    private long _lastUsedAt;

    internal ClusterBulkhead(string name, IBulkheadProtocol authority, AuthorityCaller caller, RequestChannel channel, NodeClock clock)
    {
        _name = name;
        _authority = authority;
        _caller = caller;
        _channel = channel;
        _clock = clock;
        _lastUsedAt = clock.Now.Ticks;
        _timer = clock.Time.CreateTimer(static bulkhead => ((ClusterBulkhead)bulkhead!).OnTimer(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>How long ago it was last asked for anything on this node; absent while permits are held or callers wait here.</summary>
    public override TimeSpan? IdleDuration => Volatile.Read(ref _waiting) > 0 || HeldCount > 0 ? null : _clock.Now - new Instant(Volatile.Read(ref _lastUsedAt));

    private int HeldCount
    {
        get
        {
            lock (_lock)
                return _permits.Count;
        }
    }

    /// <summary>Waits in the cluster's line, first come first served, for as long as <paramref name="cancellationToken"/> allows.</summary>
    /// <param name="permitCount">Slots; 1 to the policy's capacity.</param>
    /// <param name="cancellationToken">Ends the wait and leaves the line.</param>
    /// <returns>A permit; not acquired where the queue is full or the authority unavailable.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 or more than the capacity.</exception>
    /// <exception cref="BulkheadClosedException">The bulkhead is closed, or was closed during the wait.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public new ValueTask<BulkheadPermit> AcquireAsync(int permitCount = 1, CancellationToken cancellationToken = default) =>
        AskAsync(permitCount, mayWait: true, cancellationToken);

    /// <summary>Answers now: one grain call at most. Never overtakes those who wait.</summary>
    /// <param name="permitCount">Slots; 1 to the policy's capacity.</param>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <returns>A permit; not acquired where too few slots are free, others wait, or the authority is unavailable.</returns>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 or more than the capacity.</exception>
    /// <exception cref="BulkheadClosedException">The bulkhead is closed.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ValueTask<BulkheadPermit> TryAcquireAsync(int permitCount = 1, CancellationToken cancellationToken = default) =>
        AskAsync(permitCount, mayWait: false, cancellationToken);

    /// <summary>Pending and later acquires fail with <see cref="BulkheadClosedException"/>; held permits run out.</summary>
    /// <param name="cancellationToken">Ends the call; whether it was carried out is then unknown.</param>
    /// <exception cref="AuthorityUnavailableException">No answer in time.</exception>
    public Task CloseAsync(CancellationToken cancellationToken = default) => CommandAsync(SlotCommand.Close, cancellationToken);

    /// <summary>Ends <see cref="CloseAsync"/>.</summary>
    /// <inheritdoc cref="CloseAsync"/>
    public Task ReopenAsync(CancellationToken cancellationToken = default) => CommandAsync(SlotCommand.Reopen, cancellationToken);

    /// <summary>Reads the bulkhead at the authority; changes nothing.</summary>
    /// <inheritdoc cref="CloseAsync"/>
    public ValueTask<BulkheadStatus> GetStatusAsync(CancellationToken cancellationToken = default) =>
        _caller.CallAsync(_name, _authority, static (authority, token) => authority.GetStatusAsync(token), cancellationToken);

    /// <summary>What this node counted: permits given and refused here, and those who wait here. What is available is the cluster's to know: <see cref="GetStatusAsync"/>.</summary>
    public override RateLimiterStatistics GetStatistics() => new()
    {
        TotalSuccessfulLeases = Interlocked.Read(ref _admitted),
        TotalFailedLeases = Interlocked.Read(ref _refused),
        CurrentQueuedCount = Volatile.Read(ref _waiting),
    };

    /// <summary>Frees what a permit held.</summary>
    internal void Release(BulkheadPermit permit, RequestId id)
    {
        lock (_lock)
        {
            _permits.Remove(permit.Number);
            _held.Remove(permit.Number);
        }

        _ = GiveBackAsync(id);
    }

    /// <summary>
    /// Answers from what the node holds, without a call. Today a node keeps no slots in hand: the answer is always no, with
    /// <see cref="RefusalReason.NoLocalStock"/>. Await <see cref="TryAcquireAsync"/> or <see cref="AcquireAsync"/> instead.
    /// </summary>
    protected override RateLimitLease AttemptAcquireCore(int permitCount)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(permitCount, 1);
        return Refused(BulkheadPermit.NoLocalStock);
    }

    /// <inheritdoc cref="AcquireAsync"/>
    protected override async ValueTask<RateLimitLease> AcquireAsyncCore(int permitCount, CancellationToken cancellationToken) =>
        await AskAsync(permitCount, mayWait: true, cancellationToken).ConfigureAwait(false);

    private ValueTask<BulkheadPermit> AskAsync(int slots, bool mayWait, CancellationToken cancellationToken)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(slots, 1, "permitCount");
        return cancellationToken.IsCancellationRequested
            ? ValueTask.FromCanceled<BulkheadPermit>(cancellationToken)
            : AskOrWaitAsync(slots, mayWait, cancellationToken);
    }

    private async ValueTask<BulkheadPermit> AskOrWaitAsync(int slots, bool mayWait, CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _waiting);
        var id = _channel.Open();
        try
        {
            while (true)
            {
                var askedAt = _clock.Now;
                var grant = await AskOnceAsync(new SlotRequest(id, slots, mayWait, LongestHold), cancellationToken).ConfigureAwait(false);
                switch (grant.Verdict)
                {
                    case SlotVerdict.Granted:
                        return Admit(id, grant, askedAt);
                    case SlotVerdict.StillWaiting:
                        continue;
                    case SlotVerdict.Closed:
                        throw new BulkheadClosedException(_name);
                    default:
                        return Refused(grant.Reason == RefusalReason.Unspecified ? BulkheadPermit.Unavailable : new BulkheadPermit(grant.Reason));
                }
            }
        }
        catch (OperationCanceledException)
        {
            _ = GiveBackAsync(id);
            throw;
        }
        catch (AuthorityUnavailableException)
        {
            _ = GiveBackAsync(id);
            return Refused(BulkheadPermit.Unavailable);
        }
        finally
        {
            _channel.Close(id);
            Interlocked.Decrement(ref _waiting);
        }
    }

    private ValueTask<SlotGrant> AskOnceAsync(in SlotRequest request, CancellationToken cancellationToken)
    {
        static ValueTask<SlotGrant> Send((IBulkheadProtocol Authority, SlotRequest Request) call, CancellationToken token) => call.Authority.AcquireAsync(call.Request, token);

        return request.MayWait
            ? _caller.CallHeldAsync(_name, (_authority, request), Send, request.HoldFor, cancellationToken)
            : _caller.CallAsync(_name, (_authority, request), Send, cancellationToken);
    }

    private BulkheadPermit Admit(in RequestId id, in SlotGrant grant, Instant askedAt)
    {
        var now = _clock.Now;
        if (HeldPermits.ValidUntil(askedAt, grant.Lease) <= now)
        {
            // The answer took longer than the lease: the slot may be somebody else's by now.
            _ = GiveBackAsync(id);
            return Refused(BulkheadPermit.Unavailable);
        }

        var permit = new BulkheadPermit(this, id, grant.Permit);
        lock (_lock)
        {
            _permits.Add(grant.Permit, permit);
            _held.Add(grant.Permit, askedAt, grant.Lease);
            SetTimer(now);
        }

        Interlocked.Increment(ref _admitted);
        Volatile.Write(ref _lastUsedAt, now.Ticks);
        return permit;
    }

    private BulkheadPermit Refused(BulkheadPermit refusal)
    {
        Interlocked.Increment(ref _refused);
        Volatile.Write(ref _lastUsedAt, _clock.Now.Ticks);
        return refusal;
    }

    private void OnTimer()
    {
        var now = _clock.Now;
        BulkheadPermit[] lost;
        ImmutableArray<long> renewal;
        lock (_lock)
        {
            lost = Forget(_held.TakeLost(now));
            renewal = _held.TakeRenewal(now, _caller.Timeout);
            SetTimer(now);
        }

        foreach (var permit in lost)
            permit.Lose();
        if (renewal.Length > 0)
            _ = RenewAsync(renewal, now);
    }

    private async Task RenewAsync(ImmutableArray<long> permits, Instant askedAt)
    {
        try
        {
            var renewal = await _caller.CallAsync(
                _name,
                (_authority, request: new SlotRenewalRequest(permits)),
                static (call, token) => call._authority.RenewAsync(call.request, token),
                CancellationToken.None).ConfigureAwait(false);
            BulkheadPermit[] lost;
            lock (_lock)
            {
                lost = Forget(_held.Renew(permits, renewal, askedAt));
                SetTimer(_clock.Now);
            }

            foreach (var permit in lost)
                permit.Lose();
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // Tried again at the next timer; what is not renewed by the end of its lease is lost then.
        }
    }

    // In the background: the slots are free when it arrives, or when the lease ends.
    private async Task GiveBackAsync(RequestId id)
    {
        try
        {
            await _caller.CallAsync(
                _name,
                (_authority, release: new SlotRelease(id)),
                static (call, token) => call._authority.ReleaseAsync(call.release, token),
                CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // Nobody is left to be told.
        }
    }

    private async Task CommandAsync(SlotCommand command, CancellationToken cancellationToken)
    {
        var id = _channel.Open();
        try
        {
            var answer = await _caller.CallAsync(
                _name,
                (_authority, order: new SlotOrder(id, command)),
                static (call, token) => call._authority.CommandAsync(call.order, token),
                cancellationToken).ConfigureAwait(false);
            if (answer.Verdict != SlotVerdict.Done)
                throw AuthorityUnavailableException.ForVoidAnswer(_name);
        }
        finally
        {
            _channel.Close(id);
        }
    }

    private BulkheadPermit[] Forget(ImmutableArray<long> lost)
    {
        var permits = new BulkheadPermit[lost.Length];
        for (var i = 0; i < lost.Length; i++)
            _permits.Remove(lost[i], out permits[i]!);
        return permits;
    }

    private void SetTimer(Instant now)
    {
        var dueAt = _held.NextDueAt;
        _timer.Change(dueAt == Instant.Never ? Timeout.InfiniteTimeSpan : dueAt.After(now), Timeout.InfiniteTimeSpan);
    }
}
