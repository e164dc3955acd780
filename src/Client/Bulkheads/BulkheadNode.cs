using System.Collections.Immutable;
using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The shell of a bulkhead on its node: one per node and name, whatever objects point to it. It asks the authority, renews what <see
/// cref="HeldPermits"/> says is due, and tells permits that they are lost.
/// </summary>
internal sealed class BulkheadNode
{
    private static readonly Question<IBulkheadProtocol, (int Slots, bool MayWait, TimeSpan Hold), SlotGrant> Acquire = new()
    {
        Send = static (authority, id, ask, token) => authority.AcquireAsync(new SlotRequest(id, ask.Slots, ask.MayWait, ask.Hold), token),
        IsUndecided = static (_, grant) => grant.Verdict == SlotVerdict.StillWaiting,
        TakeBack = static (conversation, id) => GiveBackAsync(conversation, id),
    };

    private static readonly Question<IBulkheadProtocol, SlotCommand, Acknowledgement> Command = new()
    {
        Send = static (authority, id, command, token) => authority.CommandAsync(new SlotOrder(id, command), token),
    };

    private readonly Conversation<IBulkheadProtocol> _conversation;
    private readonly NodeClock _clock;
    private readonly Lock _lock = new();
    private readonly HeldPermits _held = new();
    private readonly Dictionary<long, BulkheadPermit> _permits = [];
    private readonly ITimer _timer;
    private long _admitted;
    private long _refused;
    private int _waiting;
    private long _lastUsedAt;

    public BulkheadNode(Conversation<IBulkheadProtocol> conversation)
    {
        _conversation = conversation;
        _clock = conversation.Caller.Clock;
        _lastUsedAt = _clock.Now.Ticks;
        _timer = _clock.CreateTimer(static node => ((BulkheadNode)node!).OnTimer(), this);
        Bulkhead = new ClusterBulkhead(this);
    }

    /// <summary>The public face.</summary>
    public ClusterBulkhead Bulkhead { get; }

    /// <summary>Null while permits are held or callers wait here.</summary>
    public TimeSpan? IdleFor =>
        Volatile.Read(ref _waiting) > 0 || HeldCount > 0 ? null : _clock.Now - new Instant(Volatile.Read(ref _lastUsedAt));

    public RateLimiterStatistics Statistics => new()
    {
        TotalSuccessfulLeases = Interlocked.Read(ref _admitted),
        TotalFailedLeases = Interlocked.Read(ref _refused),
        CurrentQueuedCount = Volatile.Read(ref _waiting),
    };

    private int HeldCount
    {
        get
        {
            lock (_lock)
                return _permits.Count;
        }
    }

    /// <summary>Without a call.</summary>
    public BulkheadPermit Attempt() => Refused(BulkheadPermit.NoLocalStock);

    public async ValueTask<BulkheadPermit> AcquireAsync(int permitCount, bool mayWait, CancellationToken cancellationToken)
    {
        Interlocked.Increment(ref _waiting);
        try
        {
            var reply = await _conversation.AskAsync((permitCount, mayWait, _conversation.Caller.Hold), Acquire, cancellationToken)
                .ConfigureAwait(false);
            return reply.Answer.Verdict switch
            {
                SlotVerdict.Granted => Admit(reply),
                SlotVerdict.Closed => throw new BulkheadClosedException(_conversation.Name),
                _ => Refused(new BulkheadPermit(reply.Answer.Reason)),
            };
        }
        catch (AuthorityUnavailableException)
        {
            return Refused(BulkheadPermit.Unavailable);
        }
        catch (ArgumentOutOfRangeException e)
        {
            throw PermitCount.IsRefused(e, permitCount);
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    public async Task CommandAsync(SlotCommand command, CancellationToken cancellationToken) =>
        await _conversation.AskAsync(command, Command, cancellationToken).ConfigureAwait(false);

    public ValueTask<BulkheadStatus> GetStatusAsync(CancellationToken cancellationToken) =>
        _conversation.CallAsync(true, static (authority, _, token) => authority.GetStatusAsync(token), cancellationToken);

    /// <summary>Frees what a permit held.</summary>
    public void Release(BulkheadPermit permit, RequestId id)
    {
        lock (_lock)
        {
            _permits.Remove(permit.Number);
            _held.Remove(permit.Number);
        }

        _conversation.Tell(GiveBackAsync(_conversation, id));
    }

    // The slots are free when it arrives, or when the lease ends.
    private static async ValueTask GiveBackAsync(Conversation<IBulkheadProtocol> conversation, RequestId id) =>
        await conversation.CallAsync(
            new SlotRelease(id),
            static (authority, release, token) => authority.ReleaseAsync(release, token),
            CancellationToken.None).ConfigureAwait(false);

    private BulkheadPermit Admit(in Reply<SlotGrant> reply)
    {
        var now = _clock.Now;
        var grant = reply.Answer;
        if (LeaseTerm.HeldUntil(reply.AskedAt, grant.Lease) <= now)
        {
            // The answer took longer than the lease: the slot may be somebody else's by now.
            _conversation.Tell(GiveBackAsync(_conversation, reply.Id));
            return Refused(BulkheadPermit.Unavailable);
        }

        var permit = new BulkheadPermit(this, reply.Id, grant.Permit);
        lock (_lock)
        {
            _permits.Add(grant.Permit, permit);
            _held.Add(grant.Permit, reply.AskedAt, grant.Lease);
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
            renewal = _held.TakeRenewal(now, _conversation.Caller.Timeout);
            SetTimer(now);
        }

        foreach (var permit in lost)
            permit.Lose();
        if (renewal.Length > 0)
            _conversation.Tell(RenewAsync(renewal, now));
    }

    // Where it fails it is tried again at the next timer, and what is not renewed by the end of its lease is lost then.
    private async ValueTask RenewAsync(ImmutableArray<long> permits, Instant askedAt)
    {
        var renewal = await _conversation.CallAsync(
            new SlotRenewalRequest(permits),
            static (authority, request, token) => authority.RenewAsync(request, token),
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
