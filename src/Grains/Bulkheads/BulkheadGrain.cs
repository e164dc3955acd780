using Microsoft.Extensions.Logging;
using Orleans.Concurrency;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The shell around <see cref="SlotLedger"/>: it holds the calls of those who wait. Reentrant: the machine is synchronous, and only waits are
/// awaited.
/// </summary>
[GrainType("rt.bulkhead"), Reentrant]
internal sealed class BulkheadGrain(NodeClock clock, PolicySource source, Chance chance, ILogger<BulkheadGrain> logger)
    : AuthorityGrain<BulkheadPolicy, SlotLedger, SlotGrant>(clock, source, chance, logger), IBulkheadGrain, IBulkheadProtocol
{
    private readonly Dictionary<RequestKey, TaskCompletionSource<SlotGrant>> _heldCalls = [];
    private IGrainTimer? _timer;
    private Instant _timerDueAt = Instant.Never;

    public async ValueTask<SlotPermit> AcquireAsync(int slots, CancellationToken cancellationToken)
    {
        var id = NewAnonymousId();
        try
        {
            return ToPermit(await Acquire(new SlotRequest(id, slots, MayWait: true, default), cancellationToken));
        }
        catch (OperationCanceledException)
        {
            Release(id);
            throw;
        }
    }

    public async ValueTask<SlotPermit> TryAcquireAsync(int slots) =>
        ToPermit(await Acquire(new SlotRequest(NewAnonymousId(), slots, MayWait: false, default)));

    public ValueTask<bool> RenewAsync(long permit) =>
        new(Do(permit, static (ledger, permit, now) => ledger.Renew(permit, now, out _), outlivesPolicy: true));

    public ValueTask<bool> ReleaseAsync(long permit) =>
        new(Do(permit, static (ledger, permit, now) => ledger.Release(permit, now), outlivesPolicy: true));

    public ValueTask CloseAsync() => Switch(SlotCommand.Close);

    public ValueTask ReopenAsync() => Switch(SlotCommand.Reopen);

    public ValueTask<BulkheadStatus> GetStatusAsync() => new(Do(0, static (ledger, _, now) => ledger.Describe(now)));

    ValueTask<SlotGrant> IBulkheadProtocol.AcquireAsync(SlotRequest request, CancellationToken cancellationToken) =>
        Acquire(request, cancellationToken);

    ValueTask<Acknowledgement> IBulkheadProtocol.ReleaseAsync(SlotRelease release, CancellationToken cancellationToken) => new(Release(release.Id));

    ValueTask<SlotRenewal> IBulkheadProtocol.RenewAsync(SlotRenewalRequest request, CancellationToken cancellationToken) =>
        new(Do(request, static (ledger, request, now) => ledger.Renew(request, now), outlivesPolicy: true));

    ValueTask<Acknowledgement> IBulkheadProtocol.CommandAsync(SlotOrder order, CancellationToken cancellationToken) => new(Obey(order));

    ValueTask<BulkheadStatus> IBulkheadProtocol.GetStatusAsync(CancellationToken cancellationToken) => GetStatusAsync();

    /// <summary>An acquire, once. One who waits has no answer yet (null), and keeps his place by asking again under the same number.</summary>
    internal static SlotGrant? AcquireOnce(SlotLedger ledger, AnswerLog<SlotGrant> answers, in SlotRequest request, Instant now)
    {
        switch (answers.Find(request.Id, now, out var earlier))
        {
            case RequestState.Void:
                return default(SlotGrant);
            case RequestState.Done:
                return ledger.Repeat(earlier.Answer, earlier.At, now);
        }

        var answer = ledger.Acquire(request, now);
        if (answer is { } decided)
            answers.Remember(request.Id, decided, now);
        return answer;
    }

    /// <summary>What a held call was told is its answer, unless it was only that he still waits.</summary>
    internal static void RememberTold(AnswerLog<SlotGrant> answers, in RequestId request, in SlotGrant grant, Instant now)
    {
        if (grant.Verdict != SlotVerdict.StillWaiting)
            answers.Remember(request, grant, now);
    }

    protected override BulkheadPolicy Find(PolicySet policies, string policyName) => policies.Bulkhead(policyName);

    protected override SlotLedger Create(BulkheadPolicy policy, Instant now, long epoch) => new(policy, epoch);

    /// <summary>Answers the calls that need be held no longer, and wakes up when the machine next has something to do.</summary>
    protected override void Conclude(SlotLedger machine, Instant now)
    {
        while (machine.TryTakeAnswer(out var request, out var grant))
        {
            RememberTold(Answers, request, grant, now);
            if (_heldCalls.Remove(request.Key, out var call))
                call.TrySetResult(grant);
        }

        base.Conclude(machine, now);
        WakeAt(machine.NextDueAt, now);
    }

    private ValueTask<SlotGrant> Acquire(in SlotRequest request, CancellationToken cancellationToken = default)
    {
        if (Do((Answers, request), static (ledger, call, now) => AcquireOnce(ledger, call.Answers, call.request, now)) is { } decided)
            return new(decided);
        var held = new TaskCompletionSource<SlotGrant>(TaskCreationOptions.RunContinuationsAsynchronously);
        _heldCalls[request.Id.Key] = held;
        var isShorter = request.HoldFor > TimeSpan.Zero && request.HoldFor < CallTimeouts.LongestHold;
        return new(HoldAsync(held.Task, isShorter ? request.HoldFor : CallTimeouts.LongestHold, cancellationToken));
    }

    // The machine answers in time, by the grain's timer. But an activation that is to move lets no tick pass once another call stands in its queue,
    // and does not move until this call has ended: a timer that needs no turn of the grain sees to that.
    private async Task<SlotGrant> HoldAsync(Task<SlotGrant> held, TimeSpan hold, CancellationToken cancellationToken)
    {
        await ((Task)held).WaitAsync(hold, Clock.Time, cancellationToken)
            .ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
        return held.IsCompletedSuccessfully ? await held : new SlotGrant(SlotVerdict.StillWaiting, 0, default, default);
    }

    private Acknowledgement Release(RequestId earlier) => TakeBack(earlier, static (ledger, request, now) => ledger.Release(request, now));

    private ValueTask Switch(SlotCommand command)
    {
        Obey(new SlotOrder(default, command));
        return default;
    }

    private Acknowledgement Obey(in SlotOrder order) => DoOnce(order.Id, 0, order.Command switch
    {
        SlotCommand.Close => static (ledger, _, now) => ledger.Close(now),
        SlotCommand.Reopen => static (ledger, _, now) => ledger.Reopen(now),
        _ => throw new ArgumentOutOfRangeException(nameof(order), order.Command, "The command is Close or Reopen."),
    });

    private void WakeAt(Instant dueAt, Instant now)
    {
        if (dueAt >= _timerDueAt)
            return;
        _timerDueAt = dueAt;
        _timer ??= this.RegisterGrainTimer(
            static (grain, _) => grain.OnTimer(),
            this,
            new GrainTimerCreationOptions(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan) { Interleave = true });
        _timer.Change(dueAt.After(now), Timeout.InfiniteTimeSpan);
    }

    private Task OnTimer()
    {
        _timerDueAt = Instant.Never;
        Do(0, static (ledger, _, now) => ledger.Advance(now), outlivesPolicy: true);
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
