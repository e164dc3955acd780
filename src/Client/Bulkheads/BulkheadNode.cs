using System.Diagnostics;
using System.Threading.RateLimiting;
using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The shell of a bulkhead on its node: one per node and name, whatever objects point to it. It guards the machine, reads the clock, carries what the
/// machine and the authority say to each other, wakes those who wait, and tells permits that they are lost.
/// </summary>
internal sealed partial class BulkheadNode : IHasDueTime, IHearsHints
{
    // Two renewals may be lost, and each be repeated once.
    private const int AttemptsPerLease = 6;

    private static readonly Question<IBulkheadProtocol, (SlotCommand Command, TimeSpan Hold), Obedience> Order = new()
    {
        Send = static (authority, id, order) => authority.CommandAsync(new SlotOrder(id, order.Command, order.Hold)),
        IsUndecided = static (_, obedience) => !obedience.IsObeyed,
    };

    private readonly Conversation<IBulkheadProtocol> _conversation;
    private readonly NodeMeter _meter;
    private readonly DecisionCounts _decisions;
    private readonly NodeClock _clock;
    private readonly RenewalTimer _timer;
    private readonly NodeObserver _observer;
    private readonly Lock _lock = new();
    private readonly SlotStock _stock;
    private volatile SlotLot _lot = SlotLot.None; // the machine's, as of its last verb
    private TaskCompletionSource? _isLetGo;
    private Instant _lastUsedAt;
    private long _hitsSeen;
    private (long Lost, long Returned) _countedSlots;
    private long _admitted;
    private long _refused;
    private long _plannedAt = Instant.Never.Ticks;
    private BulkheadPermit? _unavailable; // made once, and the other likewise
    private BulkheadPermit? _noLocalStock;
    private volatile bool _isShadow; // refusals are only counted

    public BulkheadNode(Conversation<IBulkheadProtocol> conversation, RenewalTimer timer, NodeObserver observer, string? nodeName = null)
    {
        (_conversation, _timer, _observer, _clock) = (conversation, timer, observer, conversation.Caller.Clock);
        _lastUsedAt = _clock.Now;
        _meter = conversation.Caller.Meter;
        _decisions = _meter.Bulkheads.Of(Resource.Policy);
        _stock = new SlotStock(conversation.Holder, nodeName);
        Bulkhead = new ClusterBulkhead(this);
        observer.Add(conversation.Holder.Channel, this);
    }

    /// <summary>The public face.</summary>
    public ClusterBulkhead Bulkhead { get; }

    public ResourceName Resource => _conversation.Resource;

    public Instant Now => _clock.Now;

    /// <summary>For whoever looks: callers who wait here, slots that the node holds, and of these those in use.</summary>
    public (int Waiting, int Held, int InUse) Levels
    {
        get
        {
            lock (_lock)
            {
                NoteHits(_clock.Now);
                return (_stock.InLine, _stock.Held, _stock.Held - _stock.Idle);
            }
        }
    }

    /// <inheritdoc/>
    public Instant PlannedAt
    {
        get => new(Volatile.Read(ref _plannedAt));
        set => Volatile.Write(ref _plannedAt, value.Ticks);
    }

    /// <summary>Null while permits are held or callers wait here.</summary>
    public TimeSpan? IdleFor
    {
        get
        {
            lock (_lock)
            {
                var now = _clock.Now;
                NoteHits(now);
                return _stock.InLine > 0 || _stock.Held > _stock.Idle ? null : now - _lastUsedAt;
            }
        }
    }

    public RateLimiterStatistics Statistics
    {
        get
        {
            lock (_lock)
            {
                return new RateLimiterStatistics
                {
                    TotalSuccessfulLeases = _admitted + _stock.Hits,
                    TotalFailedLeases = Interlocked.Read(ref _refused),
                    CurrentQueuedCount = _stock.InLine,
                    CurrentAvailablePermits = _stock.Idle,
                };
            }
        }
    }

    /// <summary>From what is at hand, without a lock.</summary>
    public BulkheadPermit? TryTake(int slots)
    {
        var lot = _lot;
        return lot.TryTake(slots, _clock.Glance) ? new BulkheadPermit(this, lot, slots) : null;
    }

    /// <summary>Without a call.</summary>
    /// <exception cref="ArgumentOutOfRangeException">More than the capacity that the node has last heard of.</exception>
    /// <param name="slots">How many.</param>
    /// <param name="comesBack">
    /// Whether he asks again at once, ready for an answer: then a no is none yet. It is not counted, nor is it, in shadow mode, a yes.
    /// </param>
    public BulkheadPermit Attempt(int slots, bool comesBack = false)
    {
        SlotLot? lot;
        SlotsRequest? request;
        lock (_lock)
        {
            if (_stock.Capacity > 0 && slots > _stock.Capacity)
                throw PermitCount.IsAbove(_stock.Capacity, slots);
            var now = _lastUsedAt = _clock.Now;
            lot = _stock.Attempt(slots, now);
            request = Follow(now);
        }

        Send(request);
        return lot is null ? Refuse(RefusalReason.NoLocalStock, DecisionSource.Part, comesBack) : new BulkheadPermit(this, lot, slots);
    }

    /// <exception cref="ArgumentOutOfRangeException">More than the capacity.</exception>
    /// <exception cref="BulkheadClosedException">It is closed.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    /// <exception cref="OperationCanceledException">The caller cancelled.</exception>
    public ValueTask<BulkheadPermit> AcquireAsync(int slots, bool mayWait, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<BulkheadPermit>(cancellationToken);
        Waiter? waiter = null;
        SlotCaller caller;
        SlotsRequest? request;
        lock (_lock)
        {
            var now = _lastUsedAt = _clock.Now;
            caller = _stock.Acquire(slots, mayWait, now);
            if (caller.Fate == SlotFate.InLine)
                caller.Tag = waiter = new Waiter();
            request = Follow(now);
        }

        Send(request);
        return waiter is null ? new(Conclude(caller)) : WaitAsync(caller, waiter, cancellationToken);
    }

    /// <exception cref="AuthorityUnavailableException">No answer in time.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    public async Task CommandAsync(SlotCommand command, CancellationToken cancellationToken) =>
        await _conversation.AskAsync((command, _conversation.Caller.Hold), Order, cancellationToken).ConfigureAwait(false);

    public ValueTask<bool> SetPolicyAsync(BulkheadPolicy? policy, long version, CancellationToken cancellationToken)
    {
        PolicyOverride<BulkheadPolicy>.Check(policy, version);
        return _conversation.CallAsync(
            new PolicyOverride<BulkheadPolicy>(policy, version), static (authority, order) => authority.SetPolicyAsync(order), cancellationToken);
    }

    public ValueTask<BulkheadStatus> GetStatusAsync(CancellationToken cancellationToken) =>
        _conversation.CallAsync(true, static (authority, _) => authority.GetStatusAsync(), cancellationToken);

    /// <summary>A permit is disposed, and its lot is shut.</summary>
    public void Release(SlotLot lot, int slots) => Do((lot, slots), static (stock, freed, now) => stock.Release(freed.lot, freed.slots, now));

    /// <inheritdoc/>
    public void Hint(long epoch, long version, int wanted) =>
        Do((epoch, version, wanted), static (stock, hint, now) => stock.Hint(hint.epoch, hint.version, hint.wanted, now));

    /// <inheritdoc/>
    public void OnTime() => Do(0, static (stock, _, now) => stock.Advance(now));

    /// <summary>Gives back what lies idle. What is in use goes on, and whoever asks later is served as before.</summary>
    /// <returns>Done when the authority has answered, or is not expected to any more.</returns>
    public Task LetGoAsync()
    {
        Task isLetGo;
        SlotsRequest? request;
        lock (_lock)
        {
            var now = _clock.Now;
            isLetGo = (_isLetGo ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            _stock.LetGo(now);
            request = Follow(now);
        }

        Send(request);
        return isLetGo;
    }

    private void Do<TArgument>(TArgument argument, Action<SlotStock, TArgument, Instant> verb)
    {
        SlotsRequest? request;
        lock (_lock)
        {
            var now = _clock.Now;
            verb(_stock, argument, now);
            request = Follow(now);
        }

        Send(request);
    }

    private async ValueTask<BulkheadPermit> WaitAsync(SlotCaller caller, Waiter waiter, CancellationToken cancellationToken)
    {
        using var activity = ReliabilityToolkitTelemetry.Start("bulkhead.acquire", Resource.Policy, ActivityKind.Client);
        using (cancellationToken.UnsafeRegister(
            static (state, token) =>
            {
                var (node, caller, waiter) = ((BulkheadNode, SlotCaller, Waiter))state!;
                node.Do(caller, static (stock, caller, now) => stock.Leave(caller, now));
                if (caller.Fate == SlotFate.Gone)
                    waiter.TrySetCanceled(token);
            },
            (this, caller, waiter)))
        {
            await waiter.Task.ConfigureAwait(false);
        }

        var permit = Conclude(caller);
        activity?.SetTag("outcome", permit.IsAcquired ? "admitted" : caller.Reason.ToString());
        if (permit.IsAcquired)
            _meter.Bulkheads.Waited(Resource.Policy, _clock.Now - caller.CameAt);
        return permit;
    }

    private BulkheadPermit Conclude(SlotCaller caller)
    {
        switch (caller.Fate)
        {
            case SlotFate.Admitted:
                Interlocked.Increment(ref _admitted);
                _decisions.Add(SourceOf(caller), DecisionOutcome.Admitted);
                return new BulkheadPermit(this, caller.Lot, caller.Slots);
            case SlotFate.Closed:
                _decisions.Add(SourceOf(caller), DecisionOutcome.Closed);
                if (_isShadow)
                    return new BulkheadPermit(this, SlotLot.Shadow(), 0);
                throw new BulkheadClosedException(_conversation.Name);
            case SlotFate.TooMany:
                throw PermitCount.IsAbove(_stock.Capacity, caller.Slots);
            default:
                return Refuse(caller.Reason, SourceOf(caller));
        }
    }

    private static DecisionSource SourceOf(SlotCaller caller) =>
        caller.Reason == RefusalReason.AuthorityUnavailable ? DecisionSource.Fallback
        : caller.AskedIn > 0 ? DecisionSource.Authority
        : DecisionSource.Part;

    private BulkheadPermit Refuse(RefusalReason reason, DecisionSource source, bool comesBack = false)
    {
        if (!comesBack)
        {
            Interlocked.Increment(ref _refused);
            _decisions.Add(source, (DecisionOutcome)reason);
            if (_isShadow)
                return new BulkheadPermit(this, SlotLot.Shadow(), 0);
        }

        return reason switch
        {
            RefusalReason.AuthorityUnavailable => _unavailable ??= new BulkheadPermit(this, reason),
            RefusalReason.NoLocalStock => _noLocalStock ??= new BulkheadPermit(this, reason),
            _ => new BulkheadPermit(this, reason),
        };
    }

    // After every verb of the machine: those whose fate has been decided hear it, permits whose loan has ended are marked lost, and the timer is set.
    // What is to be said to the authority the caller sends when he has left the lock.
    private SlotsRequest? Follow(Instant now, Exception? error = null)
    {
        var isSent = _stock.TryAsk(now, _observer.Reference, out var request);
        foreach (var caller in _stock.TakeDecided())
        {
            if (caller.Fate == SlotFate.Failed)
                ((Waiter)caller.Tag!).TrySetException(error!);
            else if (caller.Fate != SlotFate.Gone)
                ((Waiter)caller.Tag!).TrySetResult();
        }

        foreach (var ended in _stock.TakeEnded())
            TellLost(ended.End());
        NoteHits(now);
        _lot = _stock.Lot;
        if (_isLetGo is not null && _stock.Awaited == 0)
        {
            _isLetGo.SetResult();
            _isLetGo = null;
        }

        _timer.Plan(this, _stock.NextDueAt);
        return isSent ? request : null;
    }

    private void NoteHits(Instant now)
    {
        var hits = _stock.Hits;
        if (hits != _hitsSeen)
        {
            _decisions.Add(DecisionSource.Part, DecisionOutcome.Admitted, hits - _hitsSeen);
            (_hitsSeen, _lastUsedAt) = (hits, now);
        }

        var slots = _stock.Passed;
        if (slots == _countedSlots)
            return;
        _meter.Slots(Resource.Policy, slots.Lost - _countedSlots.Lost, slots.Returned - _countedSlots.Returned);
        _countedSlots = slots;
    }

    // All are marked by now. Each is told by himself, and none by the timer or whoever else has looked: callbacks may throw, or take their time.
    private void TellLost(IReadOnlyCollection<CancellationTokenSource> lost)
    {
        if (lost.Count > 0)
            LogLost(_conversation.Caller.Logger, _conversation.Name, lost.Count);
        foreach (var permit in lost)
        {
            ThreadPool.UnsafeQueueUserWorkItem(
                static told =>
                {
                    try
                    {
                        told.Permit.Cancel();
                    }
                    catch (Exception e)
                    {
                        LogCallbackFailed(told.Node._conversation.Caller.Logger, told.Node._conversation.Name, e);
                    }
                },
                (Permit: permit, Node: this),
                preferLocal: false);
        }
    }

    private void Send(in SlotsRequest? request)
    {
        if (request is { } some)
            _ = RenewAsync(some);
    }

    private async Task RenewAsync(SlotsRequest request)
    {
        SlotsGrant grant = default;
        Exception? error = null;
        try
        {
            grant = await _conversation.RenewAsync(
                request,
                static (authority, request) => authority.RenewAsync(request),
                _stock.Lease > TimeSpan.Zero ? _stock.Lease / AttemptsPerLease : null).ConfigureAwait(false);
        }
        catch (AuthorityUnavailableException)
        {
            // Silence; that has been logged already.
        }
        catch (Exception e)
        {
            error = e;
        }

        SlotsRequest? next;
        lock (_lock)
        {
            var now = _clock.Now;
            if (grant.Sequence == request.Sequence)
            {
                _isShadow = grant.IsShadow;
                _stock.Take(grant, now);
            }
            else
                _stock.Fail(request.Sequence, error is null, _conversation.Caller.Chance.Next(), now);
            next = Follow(now, error);
        }

        Send(next);
        if (error is not (null or UnknownPolicyException))
            LogRenewalFailed(_conversation.Caller.Logger, _conversation.Name, error);
    }

    [LoggerMessage(EventId = 111, Level = LogLevel.Warning, Message = "What the node holds of bulkhead {Name} could not be renewed.")]
    private static partial void LogRenewalFailed(ILogger logger, string name, Exception exception);

    [LoggerMessage(EventId = 112, Level = LogLevel.Warning, Message = "Permits of bulkhead {Name} are lost; {Watched} of them are told.")]
    private static partial void LogLost(ILogger logger, string name, int watched);

    [LoggerMessage(EventId = 113, Level = LogLevel.Error, Message = "Somebody who heard that his permit of bulkhead {Name} is lost has thrown.")]
    private static partial void LogCallbackFailed(ILogger logger, string name, Exception exception);

    /// <summary>One who waits for his fate.</summary>
    private sealed class Waiter() : TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
}
