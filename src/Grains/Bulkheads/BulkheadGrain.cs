using Orleans.Concurrency;

namespace ReliabilityToolkit.Orleans;

/// <summary>The shell around <see cref="SlotLedger"/>: it holds the calls of those who wait. Reentrant: the machine is synchronous, and only waits are awaited.</summary>
[GrainType("rt.bulkhead"), Reentrant]
internal sealed class BulkheadGrain(NodeClock clock, PolicySource source, Random random)
    : AuthorityGrain<BulkheadPolicy, SlotLedger>(clock, source, random), IBulkheadGrain, IBulkheadProtocol
{
    private readonly Dictionary<RequestKey, TaskCompletionSource<SlotGrant>> _heldCalls = [];
    private IGrainTimer? _timer;
    private Instant _timerDueAt = Instant.Never;

    public async ValueTask<SlotPermit> AcquireAsync(int slots, CancellationToken cancellationToken)
    {
        var id = NewAnonymousId();
        try
        {
            return ToPermit(await Acquire(new SlotRequest(id, slots, MayWait: true, default)).WaitAsync(cancellationToken));
        }
        catch (OperationCanceledException)
        {
            Release(new SlotRelease(id));
            throw;
        }
    }

    public async ValueTask<SlotPermit> TryAcquireAsync(int slots) =>
        ToPermit(await Acquire(new SlotRequest(NewAnonymousId(), slots, MayWait: false, default)));

    public ValueTask<bool> RenewAsync(long permit)
    {
        var now = Clock.Now;
        var ledger = AuthorityAsItIs(now);
        var isHeld = ledger.Renew(permit, now, out _);
        Conclude(ledger, now);
        return new(isHeld);
    }

    public ValueTask<bool> ReleaseAsync(long permit)
    {
        var now = Clock.Now;
        var ledger = AuthorityAsItIs(now);
        var wasHeld = ledger.Release(permit, now);
        Conclude(ledger, now);
        return new(wasHeld);
    }

    public ValueTask CloseAsync()
    {
        Obey(new SlotOrder(default, SlotCommand.Close));
        return default;
    }

    public ValueTask ReopenAsync()
    {
        Obey(new SlotOrder(default, SlotCommand.Reopen));
        return default;
    }

    public ValueTask<BulkheadStatus> GetStatusAsync()
    {
        var now = Clock.Now;
        var ledger = Authority(now);
        var status = ledger.Describe(now);
        Conclude(ledger, now);
        return new(status);
    }

    ValueTask<SlotGrant> IBulkheadProtocol.AcquireAsync(SlotRequest request, CancellationToken cancellationToken) => new(Acquire(request));

    ValueTask<SlotGrant> IBulkheadProtocol.ReleaseAsync(SlotRelease release, CancellationToken cancellationToken) => new(Release(release));

    ValueTask<SlotRenewal> IBulkheadProtocol.RenewAsync(SlotRenewalRequest request, CancellationToken cancellationToken)
    {
        var now = Clock.Now;
        var ledger = AuthorityAsItIs(now);
        var renewal = ledger.Renew(request, now);
        Conclude(ledger, now);
        return new(renewal);
    }

    ValueTask<SlotGrant> IBulkheadProtocol.CommandAsync(SlotOrder order, CancellationToken cancellationToken) => new(Obey(order));

    ValueTask<BulkheadStatus> IBulkheadProtocol.GetStatusAsync(CancellationToken cancellationToken) => GetStatusAsync();

    protected override BulkheadPolicy Find(PolicySet policies, string policyName) => policies.Bulkhead(policyName);

    protected override SlotLedger Create(BulkheadPolicy policy, Instant now, long epoch) => new(policy, epoch);

    private Task<SlotGrant> Acquire(in SlotRequest request)
    {
        var now = Clock.Now;
        var ledger = Authority(now);
        var grant = ledger.Acquire(request, now);
        Conclude(ledger, now);
        if (grant is { } decided)
            return Task.FromResult(decided);
        var call = new TaskCompletionSource<SlotGrant>(TaskCreationOptions.RunContinuationsAsynchronously);
        _heldCalls[request.Id.Key] = call;
        return call.Task;
    }

    private SlotGrant Release(in SlotRelease release)
    {
        var now = Clock.Now;
        var ledger = AuthorityAsItIs(now);
        var answer = ledger.Release(release, now);
        Conclude(ledger, now);
        return answer;
    }

    private SlotGrant Obey(in SlotOrder order)
    {
        var now = Clock.Now;
        var ledger = Authority(now);
        var answer = order.Command switch
        {
            SlotCommand.Close => ledger.Close(order.Id, now),
            SlotCommand.Reopen => ledger.Reopen(order.Id, now),
            _ => throw new ArgumentOutOfRangeException(nameof(order), order.Command, "The command is Close or Reopen."),
        };
        Conclude(ledger, now);
        return answer;
    }

    // After every verb: answer the calls that need be held no longer, and wake up when the machine next has something to do.
    private void Conclude(SlotLedger ledger, Instant now)
    {
        while (ledger.TryTakeAnswer(out var request, out var grant))
        {
            if (_heldCalls.Remove(request, out var call))
                call.TrySetResult(grant);
        }

        KeepWhileMemorable(now);
        var dueAt = ledger.NextDueAt;
        if (dueAt >= _timerDueAt)
            return;
        _timerDueAt = dueAt;
        _timer ??= this.RegisterGrainTimer(static (grain, _) => grain.OnTimer(), this, new GrainTimerCreationOptions(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan) { Interleave = true });
        _timer.Change(dueAt.After(now), Timeout.InfiniteTimeSpan);
    }

    private Task OnTimer()
    {
        var now = Clock.Now;
        _timerDueAt = Instant.Never;
        var ledger = AuthorityAsItIs(now);
        ledger.Advance(now);
        Conclude(ledger, now);
        return Task.CompletedTask;
    }

    private SlotPermit ToPermit(SlotGrant grant) => grant.Verdict switch
    {
        SlotVerdict.Granted => new SlotPermit(true, grant.Permit, grant.Lease, default),
        SlotVerdict.Closed => throw new BulkheadClosedException(Name),
        SlotVerdict.StillWaiting => new SlotPermit(false, 0, default, RefusalReason.WaitExpired),
        _ => new SlotPermit(false, 0, default, grant.Reason),
    };
}
