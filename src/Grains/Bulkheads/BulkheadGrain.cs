using Microsoft.Extensions.Logging;
using Orleans.Concurrency;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The shell around <see cref="SlotLedger"/>: it calls nodes whose turn has come, and holds the calls of those who wait without the client library.
/// Reentrant: the machine is synchronous, and only waits are awaited.
/// </summary>
[GrainType("rt.bulkhead"), Reentrant]
internal sealed class BulkheadGrain(AuthoritySurroundings around, ILogger<BulkheadGrain> logger)
    : AuthorityGrain<BulkheadPolicy, SlotLedger, Obedience, BulkheadMemory>(Kind, around, logger), IBulkheadGrain, IBulkheadProtocol
{
    private const string Kind = "bulkhead";

    private readonly HeldOrders _orders = new(around.Clock);
    private readonly Dictionary<Borrower, TaskCompletionSource> _called = []; // those who wait without the client library

    public async ValueTask<SlotPermit> AcquireAsync(int slots, CancellationToken cancellationToken)
    {
        var (grant, number) = await Acquire(slots, mayWait: true);
        if (grant.Slots > 0 || grant.Places == 0)
            return ToPermit(grant, number, RefusalReason.QueueFull);
        try
        {
            var until = Clock.Now + CallTimeouts.LongestHold;
            while (grant is { Slots: 0, Places: > 0 } && Clock.Now < until)
            {
                var called = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                _called[SlotLedger.Direct(number)] = called;
                await called.Task.WaitAsync(until.After(Clock.Now), Clock.Time, cancellationToken)
                    .ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
                cancellationToken.ThrowIfCancellationRequested();
                grant = await Do((number, slots), static (ledger, call, now) => ledger.AskAgain(call.number, call.slots, now), outlivesPolicy: true);
            }

            return ToPermit(grant, number, RefusalReason.WaitExpired);
        }
        finally
        {
            _called.Remove(SlotLedger.Direct(number));
            if (grant.Slots == 0 || cancellationToken.IsCancellationRequested)
                await Release(number);
        }
    }

    public async ValueTask<SlotPermit> TryAcquireAsync(int slots)
    {
        var (grant, number) = await Acquire(slots, mayWait: false);
        return ToPermit(grant, number, RefusalReason.NoFreeSlot);
    }

    public ValueTask<bool> RenewAsync(long permit) =>
        Do(permit, static (ledger, permit, now) => ledger.Renew(permit, now), outlivesPolicy: true);

    public ValueTask<bool> ReleaseAsync(long permit) => Release(permit);

    public async ValueTask CloseAsync() => await SwitchAsync(SlotCommand.Close);

    public async ValueTask ReopenAsync() => await SwitchAsync(SlotCommand.Reopen);

    public async ValueTask<BulkheadStatus> GetStatusAsync() =>
        await Do(0, static (ledger, _, now) => ledger.Describe(now)) with { PolicyVersion = PolicyVersion };

    ValueTask<SlotsGrant> IBulkheadProtocol.RenewAsync(SlotsRequest request) =>
        Do(request, static (ledger, request, now) => ledger.Renew(request, now), outlivesPolicy: request is { Asks: null, Spare: 0 });

    ValueTask<Obedience> IBulkheadProtocol.CommandAsync(SlotOrder order) => ObeyAsync(order);

    ValueTask<BulkheadStatus> IBulkheadProtocol.GetStatusAsync() => GetStatusAsync();

    protected override BulkheadPolicy Find(PolicySet policies, string policyName) => policies.Bulkhead(policyName);

    protected override SlotLedger Create(BulkheadPolicy policy, Instant now, in Heritage<BulkheadMemory> heritage) => new(policy, now, heritage);

    /// <inheritdoc/>
    protected override bool MayFollowAnother(BulkheadPolicy policy) => Around.Departures.WasThereOneWithin(policy.Lease);

    /// <inheritdoc/>
    protected override void Conclude(SlotLedger machine, Instant now)
    {
        base.Conclude(machine, now);
        foreach (var loan in machine.TakeHints(now))
        {
            if (loan.Observer is { } observer)
                Hint(observer, loan.Borrower.Channel, machine.Epoch, machine.Version, loan.ToldWanted);
            else if (_called.Remove(loan.Borrower, out var called))
                called.SetResult();
        }

        if (!machine.IsAwaitingObedience(now))
            _orders.Release();
    }

    private ValueTask<(SlotsGrant Grant, long Number)> Acquire(int slots, bool mayWait) => Do(
        (slots, mayWait),
        static (ledger, ask, now) => (ledger.Acquire(ask.slots, ask.mayWait, now, out var number), number));

    private ValueTask<bool> Release(long permit) => Do(permit, static (ledger, permit, now) => ledger.Release(permit, now), outlivesPolicy: true);

    private async ValueTask SwitchAsync(SlotCommand command)
    {
        var order = new SlotOrder(NewAnonymousId(), command, CallTimeouts.LongestHold);
        Obedience obedience;
        do
            obedience = await ObeyAsync(order);
        while (obedience is { IsGiven: true, IsObeyed: false });
        if (!obedience.IsGiven)
            throw AuthorityUnavailableException.ForVoidAnswer(Name);
    }

    private ValueTask<Obedience> ObeyAsync(SlotOrder order) => _orders.HoldAsync(
        () => DoOnce(order.Id, order, static (ledger, order, now) => ledger.Obey(order, now)), order.Hold);

    private SlotPermit ToPermit(in SlotsGrant grant, long number, RefusalReason refusal)
    {
        Around.Meter.Decided(Kind, PolicyName, grant.Slots > 0);
        return grant.Slots > 0 ? new SlotPermit(true, number, grant.Lease, default)
        : grant.IsShadow ? new SlotPermit(true, 0, grant.Lease, default) // in shadow mode everybody is admitted
        : grant.IsClosed ? throw new BulkheadClosedException(Name)
        : new SlotPermit(false, 0, default, grant.Sequence == 0 ? RefusalReason.AuthorityUnavailable : refusal);
    }
}
