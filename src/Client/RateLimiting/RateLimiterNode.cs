using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Threading.RateLimiting;
using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The shell of a limiter on its node: one per node and name, whatever objects point to it. It guards the machine, reads the clock, carries what the
/// machine and the authority say to each other, wakes those who wait, and counts.
/// </summary>
internal sealed partial class RateLimiterNode : IHasDueTime
{
    private static readonly Question<IRateLimiterProtocol, (RateLimiterNode Node, TokenCaller Caller), TokenGrant> Acquire = new()
    {
        Send = static (authority, id, ask) => authority.AcquireAsync(ask.Node.Ask(ask.Caller, id)),
        IsUndecided = static (ask, grant) => ask.Node.Hear(ask.Caller, grant),
        AskAgainAfter = static ask => ask.Caller.At.After(ask.Node._clock.Now),
        TakeBack = static (conversation, id) => CancelAsync(conversation, id),
    };

    private static readonly Question<IRateLimiterProtocol, bool, Acknowledgement> Refill = new()
    {
        Send = static (authority, id, _) => authority.ResetAsync(id),
    };

    // Within so long it is the same caller who comes again.
    private static readonly TimeSpan SameCaller = TimeSpan.FromMilliseconds(1);

    [ThreadStatic]
    private static (RateLimiterNode? By, TokenCaller Caller, Instant At, bool IsCounted) _refusedHere;

    private readonly Conversation<IRateLimiterProtocol> _conversation;
    private readonly NodeMeter _meter;
    private readonly DecisionCounts _decisions;
    private readonly NodeClock _clock;
    private readonly RenewalTimer _timer;
    private readonly Lock _lock = new();
    private readonly TokenStock _stock;
    private readonly LinkedList<Waiter> _inLine = [];
    private volatile TokenLot _lot = TokenLot.None; // the machine's, as of its last verb; that one is closed when another takes its place
    private long _plannedAt = Instant.Never.Ticks;
    private long _hitsBeyondOne; // tokens of hits that took several
    private long _admitted; // not by hits
    private long _refused;
    private int _waiting;
    private Instant _lastUsedAt;
    private long _hitsSeen;
    private long _countedHits;
    private (long Lent, long Returned, long RunOut) _countedTokens;
    private TaskCompletionSource? _isLetGo;
    private DebtRepayment? _debt; // there from the first on
    private volatile int _burst;
    private volatile bool _isShadow; // refusals are only counted
    private volatile RateLimiterQuota? _quota;
    private TokenLease? _unavailable; // made once: when the authority will answer, or the node have a part, nobody can tell
    private TokenLease? _noLocalStock;

    public RateLimiterNode(
        Conversation<IRateLimiterProtocol> conversation, RenewalTimer timer, WhenUnavailable whenUnavailable = WhenUnavailable.Reject)
    {
        (_conversation, _timer, _clock, _meter) = (conversation, timer, conversation.Caller.Clock, conversation.Caller.Meter);
        _decisions = _meter.Limiters.Of(Policy);
        _lastUsedAt = _clock.Now;
        _stock = new TokenStock(conversation.Holder, _lastUsedAt, whenUnavailable);
        Limiter = new ClusterRateLimiter(this);
    }

    /// <summary>The public face.</summary>
    public ClusterRateLimiter Limiter { get; }

    public ResourceName Resource => _conversation.Resource;

    public string Name => _conversation.Name;

    public RateLimiterQuota? Quota => _quota;

    public string Policy => Resource.Policy;

    /// <summary>For whoever looks: callers who wait here, tokens at hand, and what is asked for and due in a second.</summary>
    public (int Waiting, int Tokens, double Demand, double FairRate) Levels
    {
        get
        {
            lock (_lock)
            {
                Look();
                return (Volatile.Read(ref _waiting), _stock.Lot.Tokens, _stock.DemandPerSecond, _stock.FairRate);
            }
        }
    }

    /// <inheritdoc/>
    public Instant PlannedAt
    {
        get => new(Volatile.Read(ref _plannedAt));
        set => Volatile.Write(ref _plannedAt, value.Ticks);
    }

    /// <summary>Null while callers wait here.</summary>
    public TimeSpan? IdleFor
    {
        get
        {
            lock (_lock)
            {
                var now = Look();
                return Volatile.Read(ref _waiting) > 0 ? null : now - _lastUsedAt;
            }
        }
    }

    public RateLimiterStatistics Statistics
    {
        get
        {
            lock (_lock)
            {
                Look();
                return new()
                {
                    CurrentAvailablePermits = _stock.Lot.Tokens,
                    TotalSuccessfulLeases = Interlocked.Read(ref _admitted) + _stock.Hits - Interlocked.Read(ref _hitsBeyondOne),
                    TotalFailedLeases = Interlocked.Read(ref _refused),
                    CurrentQueuedCount = Volatile.Read(ref _waiting),
                };
            }
        }
    }

    /// <summary>
    /// Takes tokens that the node has at hand. The lot is read before the clock, and taken from after: so nothing is taken from a part after its end,
    /// nor before it was there, wherever the thread sleeps in between.
    /// </summary>
    public bool TryTake(int tokens)
    {
        var lot = _lot;
        var lookAt = lot.LookAt;
        if (!lot.TryTake(tokens, lookAt, _clock.Glance))
            return false;
        if (tokens > 1)
            Interlocked.Add(ref _hitsBeyondOne, tokens - 1);
        return true;
    }

    /// <summary>Without a call. What is above the burst is refused as such once an answer has told the burst.</summary>
    /// <param name="tokens">How many.</param>
    /// <param name="comesBack">
    /// Whether he asks again at once, ready for an answer: then a no is none yet. It is not counted, nor is it, in shadow mode, a yes.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException">More than the burst.</exception>
    public TokenLease Attempt(int tokens, bool comesBack = false)
    {
        if (_burst is > 0 and var burst && tokens > burst)
            throw PermitCount.IsAbove(burst, tokens);
        var caller = Begin(tokens, CallerPatience.None, isBack: false, out _);
        var lease = Conclude(caller, comesBack);
        if (!lease.IsAcquired)
            _refusedHere = (this, caller, _clock.Now, IsCounted: !comesBack);
        return lease;
    }

    /// <summary>For one who found nothing at hand.</summary>
    public ValueTask<RateLimitLease> AcquireAsync(int tokens, CallerPatience patience, CancellationToken cancellationToken)
    {
        var caller = Begin(tokens, patience, IsBack(tokens), out var waiter);
        return waiter is not null ? WaitInLineAsync(waiter, cancellationToken)
            : caller.Fate == CallerFate.AsksThere ? AskAsync(caller, cancellationToken)
            : new(Conclude(caller));
    }

    public async ValueTask<EstimatedLease> AcquireEstimatedAsync(int estimate, CallerPatience patience, CancellationToken cancellationToken)
    {
        var at = _clock.Now; // before it is acquired, so that the time for a refund is over sooner
        var lease = TryTake(estimate) ? TokenLease.Acquired : await AcquireAsync(estimate, patience, cancellationToken).ConfigureAwait(false);
        return new EstimatedLease(this, lease, estimate, at);
    }

    /// <summary>A lease that was acquired just now, to be settled.</summary>
    public EstimatedLease Estimate(RateLimitLease lease, int estimate) => new(this, lease, estimate, _clock.Now);

    /// <summary>The real cost of what was acquired is known.</summary>
    public Settlement Settle(int estimate, long cost, Instant acquiredAt)
    {
        Settlement settlement;
        if (cost > estimate)
        {
            var owed = Debt.Owe(cost - estimate);
            settlement = new Settlement(0, owed, cost - estimate - owed);
        }
        else if (_clock.Now - acquiredAt > EstimatedLease.RefundableFor)
        {
            settlement = new Settlement(0, 0, estimate - cost);
        }
        else
        {
            settlement = new Settlement(estimate - cost, 0, 0);
            Refund(estimate - (int)cost);
        }

        _meter.Settled(Policy, settlement);
        return settlement;
    }

    public ValueTask<bool> SetPolicyAsync(RateLimiterPolicy? policy, long version, CancellationToken cancellationToken)
    {
        PolicyOverride<RateLimiterPolicy>.Check(policy, version);
        return _conversation.CallAsync(
            new PolicyOverride<RateLimiterPolicy>(policy, version), static (authority, order) => authority.SetPolicyAsync(order), cancellationToken);
    }

    public async Task ResetAsync(CancellationToken cancellationToken) =>
        await _conversation.AskAsync(true, Refill, cancellationToken).ConfigureAwait(false);

    public ValueTask<RateLimiterStatus> GetStatusAsync(CancellationToken cancellationToken) =>
        _conversation.CallAsync(true, static (authority, _) => authority.GetStatusAsync(), cancellationToken);

    /// <summary>
    /// Gives back what it holds. Whoever asks later is served as before, from a part that it borrows anew; whoever waits is sent to the authority.
    /// </summary>
    /// <returns>Done when the authority has answered, or is not expected to any more.</returns>
    public Task LetGoAsync()
    {
        PartRequest? request;
        Task isLetGo;
        lock (_lock)
        {
            var now = _clock.Now;
            _stock.Advance(now);
            _stock.LetGo();
            isLetGo = (_isLetGo ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            request = Follow(now);
        }

        Send(request);
        return isLetGo;
    }

    /// <inheritdoc/>
    public void OnTime()
    {
        PartRequest? request;
        lock (_lock)
        {
            var now = _clock.Now;
            _stock.Advance(now);
            request = Follow(now);
        }

        Send(request);
    }

    private DebtRepayment Debt => LazyInitializer.EnsureInitialized(ref _debt, () => new DebtRepayment(
        Name,
        _clock,
        _timer,
        _conversation.Caller.Logger,
        () => _burst,
        tokens => TryTake(tokens) ? new(TokenLease.Acquired) : AcquireAsync(tokens, CallerPatience.ForTokens, CancellationToken.None)));

    private void Refund(int tokens)
    {
        PartRequest? request;
        lock (_lock)
        {
            var now = _clock.Now;
            tokens -= _stock.Refund(tokens, now);
            request = Follow(now);
        }

        Send(request);
        if (tokens > 0)
            _conversation.Tell(TellRefundAsync(tokens));
    }

    // Once, and never again: an authority that has moved in between would give it back twice.
    private async ValueTask TellRefundAsync(int tokens) =>
        await _conversation.SendOnceAsync(tokens, static (authority, id, tokens) => authority.RefundAsync(new TokenRefund(id, tokens)))
            .ConfigureAwait(false);

    // The clock is read inside the lock, here and below: who waits for the lock must not take at his own older instant what was earned since.
    private TokenCaller Begin(int tokens, CallerPatience patience, bool isBack, out Waiter? waiter)
    {
        TokenCaller caller;
        PartRequest? request;
        waiter = null;
        lock (_lock)
        {
            var now = _clock.Now;
            _lastUsedAt = now;
            caller = _stock.Acquire(tokens, patience, now, isBack);
            if (caller.Fate == CallerFate.InLine)
            {
                waiter = new Waiter(this, caller);
                _inLine.AddLast(waiter.Place);
            }

            request = Follow(now);
        }

        Send(request);
        return caller;
    }

    // Some ask for what is at hand, and when there is nothing ask again at once, and wait (ASP.NET Core's middleware does). That is one caller.
    private bool IsBack(int tokens)
    {
        var (by, refused, at, isCounted) = _refusedHere;
        if (by != this)
            return false; // of several limiters that are asked in turn, that one may come next
        _refusedHere = default;
        if (refused.Tokens != tokens || _clock.Now - at > SameCaller)
            return false;
        if (isCounted)
        {
            Interlocked.Decrement(ref _refused);
            _decisions.Add(refused.Source, (DecisionOutcome)refused.Reason, -1);
        }

        return true;
    }

    private TokenRequest Ask(TokenCaller caller, RequestId id)
    {
        lock (_lock)
            return _stock.Ask(caller, id, _clock.Now);
    }

    /// <returns>Whether it is to be asked for him again.</returns>
    private bool Hear(TokenCaller caller, in TokenGrant grant)
    {
        _burst = grant.Burst;
        if (grant.Reason != RefusalReason.AuthorityUnavailable)
            _isShadow = grant.IsShadow;
        NoteQuota(grant.Burst, grant.FillsWithin);
        PartRequest? request;
        lock (_lock)
        {
            var now = _clock.Now;
            _stock.Hear(caller, grant, now);
            request = Follow(now);
        }

        Send(request);
        return caller.Fate == CallerFate.AsksThere;
    }

    private void Fail(TokenCaller caller, bool isSilent)
    {
        PartRequest? request;
        lock (_lock)
        {
            var now = _clock.Now;
            _stock.Fail(caller, isSilent, now);
            request = Follow(now);
        }

        Send(request);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<RateLimitLease> AskAsync(TokenCaller caller, CancellationToken cancellationToken)
    {
        using var activity = ReliabilityToolkitTelemetry.Start("limiter.acquire", Policy, ActivityKind.Client);
        var waits = caller.Patience == CallerPatience.ForTokens ? 1 : 0;
        Interlocked.Add(ref _waiting, waits);
        try
        {
            var reply = await _conversation.AskAsync((this, caller), Acquire, cancellationToken).ConfigureAwait(false);
            if (caller.Fate == CallerFate.Promised)
                await WaitAsync(reply.Id, caller.At, cancellationToken).ConfigureAwait(false);
            else if (caller.Reason == RefusalReason.AuthorityUnavailable)
                _conversation.Tell(CancelAsync(_conversation, reply.Id)); // said by one that has a successor
        }
        catch (AuthorityUnavailableException e)
        {
            Fail(caller, isSilent: e.InnerException is not null); // else there was an answer, and it said nothing
        }
        catch (ArgumentOutOfRangeException e)
        {
            throw PermitCount.IsRefused(e, caller.Tokens);
        }
        finally
        {
            EndWait(waits);
        }

        return ConcludeWait(caller, activity);
    }

    private async ValueTask<RateLimitLease> WaitInLineAsync(Waiter waiter, CancellationToken cancellationToken)
    {
        using var activity = ReliabilityToolkitTelemetry.Start("limiter.wait", Policy);
        Interlocked.Increment(ref _waiting);
        try
        {
            await using (cancellationToken.UnsafeRegister(static (waiter, token) => ((Waiter)waiter!).Leave(token), waiter).ConfigureAwait(false))
                await waiter.Task.ConfigureAwait(false);
        }
        finally
        {
            EndWait(1);
        }

        return waiter.Caller.Fate == CallerFate.AsksThere
            ? await AskAsync(waiter.Caller, cancellationToken).ConfigureAwait(false)
            : ConcludeWait(waiter.Caller, activity);
    }

    private TokenLease ConcludeWait(TokenCaller caller, Activity? activity)
    {
        var lease = Conclude(caller);
        activity?.SetTag("outcome", lease.IsAcquired ? "admitted" : caller.Reason.ToString());
        if (lease.IsAcquired)
            _meter.Limiters.Waited(Policy, _clock.Now - caller.CameAt);
        return lease;
    }

    private async ValueTask WaitAsync(RequestId id, Instant until, CancellationToken cancellationToken)
    {
        try
        {
            await _clock.WaitAsync(until.After(_clock.Now), cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            _conversation.Tell(CancelAsync(_conversation, id));
            throw;
        }
    }

    // Where it fails the tokens are lost, and nobody is admitted too many.
    private static async ValueTask CancelAsync(Conversation<IRateLimiterProtocol> conversation, RequestId id) =>
        await conversation.CallAsync(
            new TokenCancellation(id),
            static (authority, cancellation) => authority.CancelAsync(cancellation),
            CancellationToken.None).ConfigureAwait(false);

    private void EndWait(int waits)
    {
        if (waits == 0)
            return;
        Interlocked.Add(ref _waiting, -waits);
        lock (_lock)
            _lastUsedAt = _clock.Now;
    }

    private TokenLease Conclude(TokenCaller caller, bool comesBack = false)
    {
        if (caller.Fate == CallerFate.Refused)
        {
            if (comesBack)
                return Refuse(caller);
            Interlocked.Increment(ref _refused);
            _decisions.Add(caller.Source, (DecisionOutcome)caller.Reason);
            return _isShadow ? TokenLease.Free : Refuse(caller);
        }

        if (caller.Fate == CallerFate.AdmittedAlone && _burst is > 0 and var burst && caller.Tokens > burst)
            throw PermitCount.IsAbove(burst, caller.Tokens);
        Interlocked.Increment(ref _admitted);
        _decisions.Add(caller.Source, DecisionOutcome.Admitted);
        return caller.Fate == CallerFate.AdmittedAlone ? TokenLease.Free : TokenLease.Acquired;
    }

    private TokenLease Refuse(TokenCaller caller) => caller.Reason switch
    {
        RefusalReason.AuthorityUnavailable => _unavailable ??= new TokenLease(_conversation.Resource, caller.Reason),
        RefusalReason.NoLocalStock => _noLocalStock ??= new TokenLease(_conversation.Resource, caller.Reason),
        _ => new TokenLease(_conversation.Resource, caller.Reason, caller.RetryAfter),
    };

    // After every verb of the machine: those whose fate has been decided hear it, and the timer is set. What is to be said to the authority the
    // caller sends when he has left the lock.
    private PartRequest? Follow(Instant now)
    {
        Count();
        var isSent = _stock.TryAsk(now, _conversation.Caller.Chance.Next(), out var request);
        while (_inLine.Count != _stock.Waiting && _inLine.First is { Value.Caller.Fate: not CallerFate.InLine } first)
            Release(first.Value);
        for (var place = _inLine.First; place is not null && _inLine.Count != _stock.Waiting;)
        {
            var (waiter, next) = (place.Value, place.Next);
            if (waiter.Caller.Fate != CallerFate.InLine)
                Release(waiter);
            place = next;
        }

        if (_isLetGo is not null && _stock.HoldsNothing)
        {
            _isLetGo.SetResult();
            _isLetGo = null;
        }

        _lot = _stock.Lot;
        _timer.Plan(this, _stock.NextDueAt);
        return isSent ? request : null;

        void Release(Waiter waiter)
        {
            _inLine.Remove(waiter.Place);
            waiter.TrySetResult();
        }
    }

    private void Count()
    {
        var hits = _stock.Hits - Interlocked.Read(ref _hitsBeyondOne);
        if (hits > _countedHits)
        {
            _decisions.Add(DecisionSource.Part, DecisionOutcome.Admitted, hits - _countedHits);
            _countedHits = hits;
        }

        var (lent, runOut) = _stock.Passed;
        var tokens = (Lent: lent, Returned: _stock.Books.GivenBack, RunOut: runOut);
        if (tokens == _countedTokens)
            return;
        _meter.Tokens(
            Policy, tokens.Lent - _countedTokens.Lent, tokens.Returned - _countedTokens.Returned, tokens.RunOut - _countedTokens.RunOut);
        _countedTokens = tokens;
    }

    private Instant Look()
    {
        var now = _clock.Now;
        _stock.Advance(now);
        if (_stock.Hits != _hitsSeen)
            (_hitsSeen, _lastUsedAt) = (_stock.Hits, now);
        return now;
    }

    private void Send(in PartRequest? request)
    {
        if (request is { } some)
            _ = RenewAsync(some);
    }

    private async Task RenewAsync(PartRequest request)
    {
        PartGrant? grant = null;
        UnknownPolicyException? unknown = null;
        var isSilent = false;
        try
        {
            grant = await _conversation.RenewAsync(
                request, static (authority, request) => authority.RenewAsync(request)).ConfigureAwait(false);
        }
        catch (UnknownPolicyException e)
        {
            unknown = e;
        }
        catch (AuthorityUnavailableException)
        {
            isSilent = true; // and that has been logged already
        }
        catch (Exception e)
        {
            LogRenewalFailed(_conversation.Caller.Logger, _conversation.Name, e);
        }

        PartRequest? next;
        lock (_lock)
        {
            var now = Look();
            next = Follow(now); // who is served from the part as it was is told so
            if (grant is { } some)
                Take(some, now);
            else
                _stock.Fail(request.Sequence, isSilent, now);
            if (unknown is not null)
                TellAll(unknown);
            next ??= Follow(now);
        }

        Send(next);
    }

    private void Take(in PartGrant grant, Instant now)
    {
        if (grant.Burst > 0)
            (_burst, _isShadow) = (grant.Burst, grant.Term > TimeSpan.Zero ? grant.IsShadow : _isShadow);
        NoteQuota(grant.Burst, grant.FillsWithin);
        _stock.Take(grant, now);
    }

    private void NoteQuota(int burst, TimeSpan fillsWithin)
    {
        if (fillsWithin > TimeSpan.Zero && (_quota is not { } known || known.Burst != burst || known.FillsWithin != fillsWithin))
            _quota = new RateLimiterQuota(burst, fillsWithin);
    }

    private void TellAll(UnknownPolicyException unknown)
    {
        while (_inLine.First is { } first)
        {
            _stock.Leave(first.Value.Caller);
            _inLine.RemoveFirst();
            first.Value.TrySetException(unknown);
        }
    }

    private void Leave(Waiter waiter, CancellationToken cancellationToken)
    {
        PartRequest? request;
        lock (_lock)
        {
            if (waiter.Caller.Fate != CallerFate.InLine)
                return;
            var now = _clock.Now;
            _stock.Advance(now);
            request = Follow(now);
            if (waiter.Caller.Fate == CallerFate.InLine)
            {
                _stock.Leave(waiter.Caller);
                _inLine.Remove(waiter.Place);
                waiter.TrySetCanceled(cancellationToken);
                request ??= Follow(now);
            }
        }

        Send(request);
    }

    [LoggerMessage(EventId = 104, Level = LogLevel.Warning, Message = "The part of {Name} could not be renewed.")]
    private static partial void LogRenewalFailed(ILogger logger, string name, Exception exception);

    /// <summary>One in the node's line. Done when his fate has been decided.</summary>
    private sealed class Waiter : TaskCompletionSource
    {
        private readonly RateLimiterNode _node;

        public Waiter(RateLimiterNode node, TokenCaller caller)
            : base(TaskCreationOptions.RunContinuationsAsynchronously)
        {
            (_node, Caller) = (node, caller);
            Place = new LinkedListNode<Waiter>(this);
        }

        public TokenCaller Caller { get; }

        public LinkedListNode<Waiter> Place { get; }

        public void Leave(CancellationToken cancellationToken) => _node.Leave(this, cancellationToken);
    }
}
