using System.Diagnostics;
using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The shell of a breaker on its node: one per node and name, whatever objects point to it. It guards the machine, reads the clock, carries what the
/// machine and the authority say to each other, wakes those who wait, and counts.
/// </summary>
internal sealed partial class CircuitBreakerNode : IHasDueTime, IHearsHints
{
    // Beyond, a listener that does not come back misses the oldest.
    private const int MostChanges = 1_000;

    private static readonly Question<ICircuitBreakerProtocol, CircuitOrder, Obedience> Order = new()
    {
        Send = static (authority, id, order) => authority.CommandAsync(order with { Id = id }),
        IsUndecided = static (_, obedience) => !obedience.IsObeyed,
    };

    private readonly Conversation<ICircuitBreakerProtocol> _conversation;
    private readonly NodeMeter _meter;
    private readonly DecisionCounts _decisions;
    private readonly NodeClock _clock;
    private readonly RenewalTimer _timer;
    private readonly NodeObserver _observer;
    private readonly Func<Exception, bool>? _isFailure;
    private readonly string? _nodeName;
    private readonly Lock _lock = new();
    private readonly CircuitView _view;
    private readonly LinkedList<Waiter> _atTheDoor = [];
    private readonly LinkedList<Waiter> _telling = [];
    private readonly Queue<CircuitStateChange> _changes = [];
    private volatile HeldVerdict _verdict = HeldVerdict.None; // the machine's, as of its last verb
    private volatile bool _isTimed;
    private volatile bool _isShadow;
    private long _plannedAt = Instant.Never.Ticks;
    private long _endingsSeen;
    private bool _isAnnouncing;
    private int _hasPredicateFailed;

    public CircuitBreakerNode(
        Conversation<ICircuitBreakerProtocol> conversation,
        RenewalTimer timer,
        NodeObserver observer,
        Func<Exception, bool>? isFailure = null,
        CircuitFallback fallback = CircuitFallback.LocalBreaker,
        string? nodeName = null)
    {
        (_conversation, _timer, _clock, _observer, _isFailure) = (conversation, timer, conversation.Caller.Clock, observer, isFailure);
        (_meter, _nodeName) = (conversation.Caller.Meter, nodeName);
        _decisions = _meter.Breakers.Of(Policy);
        _view = new CircuitView(conversation.Holder, fallback);
        Breaker = new ClusterCircuitBreaker(this);
        observer.Add(conversation.Holder.Channel, this);
    }

    /// <summary>The public face.</summary>
    public ClusterCircuitBreaker Breaker { get; }

    public string Name => _conversation.Name;

    public ResourceName Resource => _conversation.Resource;

    public string Policy => Resource.Policy;

    /// <summary>For whoever looks: the state, as the node knows it, and the share of calls that are shed.</summary>
    public (CircuitState State, double Shed) Levels
    {
        get
        {
            lock (_lock)
                return (_view.State, 1 - _view.Share);
        }
    }

    /// <summary>What a caller may go by; to be read before the clock.</summary>
    public HeldVerdict Verdict => _verdict;

    /// <summary>The clock as hits see it.</summary>
    public Instant Glance => _clock.Glance;

    /// <inheritdoc/>
    public Instant PlannedAt
    {
        get => new(Volatile.Read(ref _plannedAt));
        set => Volatile.Write(ref _plannedAt, value.Ticks);
    }

    /// <summary>From when a call's time counts; not before anybody wants to know.</summary>
    public Instant StartsAt => _isTimed ? _clock.Now : default;

    /// <summary>Whether a call may be made by that verdict.</summary>
    public bool Admits(HeldVerdict verdict)
    {
        if (!verdict.Admits(_clock.Glance))
            return false;
        _decisions.Hit();
        return true;
    }

    /// <summary>A call that began by that verdict has succeeded on the spot: whether there is nothing to tell.</summary>
    public bool StaysSilent(HeldVerdict verdict)
    {
        var today = _verdict;
        if (today.Generation != verdict.Generation)
            return false;
        today.Tally?.Add();
        return true;
    }

    /// <exception cref="AuthorityUnavailableException">The authority does not answer, and the node does not go by a breaker of its own.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    /// <exception cref="OperationCanceledException">The caller cancelled.</exception>
    public ValueTask<CircuitPass> EnterAsync(CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<CircuitPass>(cancellationToken);
        var verdict = _verdict;
        if (Admits(verdict))
            return new(new CircuitPass(true, verdict.Generation, 0, null, CircuitState.Closed));

        Waiter? waiter = null;
        CircuitFate fate;
        CircuitPass pass;
        VerdictRequest? request;
        lock (_lock)
        {
            var now = _clock.Now;
            fate = _view.Enter(now, out pass, out var caller);
            if (caller is not null)
                _atTheDoor.AddLast((waiter = new Waiter(caller)).Place);
            request = Follow(now);
        }

        Send(request);
        return waiter is null ? new(Conclude(fate, pass, DecisionSource.Part)) : WaitAsync(waiter, cancellationToken);
    }

    /// <summary>
    /// Tells how a call went. Without the caller's token: his call is over, and its outcome counts. Never throws: his result is worth more to him
    /// than our count.
    /// </summary>
    /// <param name="pass">With which it was made.</param>
    /// <param name="outcome">How it went.</param>
    /// <param name="startedAt">See <see cref="StartsAt"/>.</param>
    /// <returns>Done when the authority knows, of a failure and of a trial; of other calls at once.</returns>
    public Task ReportAsync(in CircuitPass pass, CircuitOutcome outcome, Instant startedAt)
    {
        var verdict = _verdict;
        if (outcome == CircuitOutcome.Succeeded && pass.Generation == verdict.Generation && startedAt == default && verdict.Admits(_clock.Glance))
        {
            verdict.Tally?.Add();
            return Task.CompletedTask;
        }

        Waiter? waiter = null;
        VerdictRequest? request;
        lock (_lock)
        {
            var now = _clock.Now;
            if (_view.Tell(pass, outcome, startedAt == default ? default : now - startedAt, now) is { } telling)
                _telling.AddLast((waiter = new Waiter(telling)).Place);
            request = Follow(now);
        }

        Send(request);
        return waiter?.Task ?? Task.CompletedTask;
    }

    /// <exception cref="ArgumentException">The reason is too long.</exception>
    public async Task<KillSwitchResult> CommandAsync(CircuitCommand command, string? reason, CancellationToken cancellationToken)
    {
        CircuitOrder.Check(reason);
        using var activity = ReliabilityToolkitTelemetry.Start("breaker.command", Policy, ActivityKind.Client);
        activity?.SetTag("command", command.ToString());
        var obedience = (await _conversation.AskAsync(
            new CircuitOrder(default, command, reason, _conversation.Caller.Hold, _nodeName), Order, cancellationToken).ConfigureAwait(false)).Answer;
        return new KillSwitchResult(obedience.Acknowledged, obedience.RanOut);
    }

    public ValueTask<bool> SetPolicyAsync(CircuitBreakerPolicy? policy, long version, CancellationToken cancellationToken)
    {
        PolicyOverride<CircuitBreakerPolicy>.Check(policy, version);
        return _conversation.CallAsync(
            new PolicyOverride<CircuitBreakerPolicy>(policy, version),
            static (authority, order) => authority.SetPolicyAsync(order),
            cancellationToken);
    }

    public ValueTask<CircuitBreakerStatus> GetStatusAsync(CancellationToken cancellationToken) =>
        _conversation.CallAsync(true, static (authority, _) => authority.GetStatusAsync(), cancellationToken);

    /// <summary>
    /// What an error of the call means. What does not count as a failure is an answer of a downstream that lives: a success. A predicate that throws
    /// cannot tell, and hides nothing: a failure.
    /// </summary>
    public CircuitOutcome Judge(Exception error, CancellationToken cancellationToken)
    {
        if (error is OperationCanceledException && cancellationToken.IsCancellationRequested)
            return CircuitOutcome.Ignored;
        try
        {
            return _isFailure?.Invoke(error) == false ? CircuitOutcome.Succeeded : CircuitOutcome.Failed;
        }
        catch (Exception e)
        {
            if (Interlocked.Exchange(ref _hasPredicateFailed, 1) == 0)
                LogPredicateFailed(_conversation.Caller.Logger, Name, e);
            return CircuitOutcome.Failed;
        }
    }

    /// <summary>The authority says that something has changed.</summary>
    public void Hint(long epoch, long version, int wanted)
    {
        VerdictRequest? request;
        lock (_lock)
        {
            var now = _clock.Now;
            _view.Hint(epoch, version, now);
            request = Follow(now);
        }

        Send(request);
    }

    /// <inheritdoc/>
    public void OnTime()
    {
        VerdictRequest? request;
        lock (_lock)
        {
            var now = _clock.Now;
            _view.Advance(now);
            request = Follow(now);
        }

        Send(request);
    }

    private async ValueTask<CircuitPass> WaitAsync(Waiter waiter, CancellationToken cancellationToken)
    {
        using var activity = ReliabilityToolkitTelemetry.Start("breaker.enter", Policy, ActivityKind.Client);
        var cameAt = _clock.Now;
        using (cancellationToken.UnsafeRegister(
            static (state, token) =>
            {
                var (node, waiter) = ((CircuitBreakerNode, Waiter))state!;
                node.Leave(waiter, token);
            },
            (this, waiter)))
        {
            await waiter.Task.ConfigureAwait(false);
        }

        var pass = Conclude(waiter.Caller!.Fate, waiter.Caller.Pass, DecisionSource.Authority);
        activity?.SetTag("outcome", OutcomeOf(pass).ToString());
        if (pass.IsAdmitted)
            _meter.Breakers.Waited(Policy, _clock.Now - cameAt);
        return pass;
    }

    private CircuitPass Conclude(CircuitFate fate, in CircuitPass pass, DecisionSource source)
    {
        if (fate == CircuitFate.Unavailable)
        {
            _decisions.Add(DecisionSource.Fallback, DecisionOutcome.AuthorityUnavailable);
            if (_isShadow)
                return CircuitPass.Shadow(CircuitState.Closed);
            throw new AuthorityUnavailableException(Name, _conversation.Caller.Timeout, null);
        }

        _decisions.Add(pass.Generation < 0 ? DecisionSource.Fallback : source, OutcomeOf(pass));
        return _isShadow && !pass.IsAdmitted ? CircuitPass.Shadow(pass.State) : pass;
    }

    private static DecisionOutcome OutcomeOf(in CircuitPass pass) => pass switch
    {
        { IsAdmitted: true } => DecisionOutcome.Admitted,
        { State: CircuitState.Isolated } => DecisionOutcome.Isolated,
        { State: CircuitState.HalfOpen } => DecisionOutcome.HalfOpen,
        { State: CircuitState.Closed } => DecisionOutcome.Shed,
        _ => DecisionOutcome.Open,
    };

    private void Leave(Waiter waiter, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            if (waiter.Caller!.Fate != CircuitFate.AtTheDoor)
                return;
            _view.Leave(waiter.Caller);
            _atTheDoor.Remove(waiter.Place);
        }

        waiter.TrySetCanceled(cancellationToken);
    }

    // After every verb of the machine: those whose fate has been decided hear it, and the timer is set. What is to be said to the authority the
    // caller sends when he has left the lock.
    private VerdictRequest? Follow(Instant now)
    {
        var isSent = _view.TryAsk(now, _observer.Reference, out var request);
        if (_atTheDoor.Count != _view.AtTheDoor)
            Release(_atTheDoor);
        if (_endingsSeen != _view.Endings)
        {
            _endingsSeen = _view.Endings;
            Release(_telling);
        }

        Announce();
        _verdict = _view.Verdict;
        (_isTimed, _isShadow) = (_view.SlowAfter is not null, _view.IsShadow);
        _timer.Plan(this, _view.NextDueAt);
        return isSent ? request : null;
    }

    private static void Release(LinkedList<Waiter> waiters)
    {
        for (var place = waiters.First; place is not null;)
        {
            var (waiter, next) = (place.Value, place.Next);
            if (waiter.IsOver)
            {
                waiters.Remove(place);
                waiter.TrySetResult();
            }

            place = next;
        }
    }

    // What there is to say to others, and what they make of it, is no matter of the lock, nor of anybody who waits.
    private void Announce()
    {
        foreach (var change in _view.TakeChanges())
        {
            if (_changes.Count == MostChanges)
                _changes.Dequeue();
            _changes.Enqueue(change);
        }

        if (_isAnnouncing || _changes.Count == 0)
            return;
        _isAnnouncing = true;
        ThreadPool.UnsafeQueueUserWorkItem(static node => node.AnnounceAll(), this, preferLocal: false);
    }

    private void AnnounceAll()
    {
        while (true)
        {
            CircuitStateChange change;
            lock (_lock)
            {
                if (!_changes.TryDequeue(out change))
                {
                    _isAnnouncing = false;
                    return;
                }
            }

            try
            {
                _meter.Changed(Policy, change);
                LogChanged(_conversation.Caller.Logger, Name, change.Previous, change.State, change.Cause, change.IsLocal);
            }
            catch (Exception e)
            {
                LogListenerFailed(_conversation.Caller.Logger, Name, e);
            }

            foreach (var listener in Breaker.Listeners)
            {
                try
                {
                    listener(Breaker, change);
                }
                catch (Exception e)
                {
                    LogListenerFailed(_conversation.Caller.Logger, Name, e);
                }
            }
        }
    }

    private void Send(in VerdictRequest? request)
    {
        if (request is { } some)
            _ = RenewAsync(some);
    }

    private async Task RenewAsync(VerdictRequest request)
    {
        VerdictGrant grant = default;
        Exception? error = null;
        try
        {
            grant = await _conversation.RenewAsync(
                request, static (authority, request) => authority.RenewAsync(request)).ConfigureAwait(false);
        }
        catch (AuthorityUnavailableException)
        {
            // Silence; that has been logged already.
        }
        catch (Exception e)
        {
            error = e;
        }

        VerdictRequest? next;
        lock (_lock)
        {
            var now = _clock.Now;
            if (grant.Sequence == request.Sequence)
                _view.Take(grant, now);
            else
                _view.Fail(request.Sequence, error is null, _conversation.Caller.Chance.Next(), now);
            if (error is not null)
                TellAll(error);
            next = Follow(now);
        }

        Send(next);
        if (error is not (null or UnknownPolicyException))
            LogRenewalFailed(_conversation.Caller.Logger, Name, error);
    }

    private void TellAll(Exception error)
    {
        for (var place = _atTheDoor.First; place is not null;)
        {
            var (waiter, next) = (place.Value, place.Next);
            if (waiter.Caller!.Fate == CircuitFate.Failed)
            {
                _atTheDoor.Remove(place);
                waiter.TrySetException(error);
            }

            place = next;
        }
    }

    [LoggerMessage(EventId = 106, Level = LogLevel.Warning, Message = "The verdict on {Name} could not be renewed.")]
    private static partial void LogRenewalFailed(ILogger logger, string name, Exception exception);

    [LoggerMessage(
        EventId = 107,
        Level = LogLevel.Error,
        Message = "The predicate that tells the failures of {Name} has thrown; the call counts as a failure. Not logged again for this breaker.")]
    private static partial void LogPredicateFailed(ILogger logger, string name, Exception exception);

    [LoggerMessage(EventId = 108, Level = LogLevel.Error, Message = "Somebody who listens to the state of {Name} has thrown.")]
    private static partial void LogListenerFailed(ILogger logger, string name, Exception exception);

    [LoggerMessage(
        EventId = 109,
        Level = LogLevel.Information,
        Message = "Circuit {Name} was {Previous} and is {State}: {Cause} (by the node alone: {IsLocal}).")]
    private static partial void LogChanged(
        ILogger logger, string name, CircuitState previous, CircuitState state, CircuitCause cause, bool isLocal);

    /// <summary>One who waits for an answer, or for what he told to be known.</summary>
    private sealed class Waiter : TaskCompletionSource
    {
        private readonly CircuitTelling? _telling;

        public Waiter(CircuitCaller caller)
            : this() => Caller = caller;

        public Waiter(CircuitTelling telling)
            : this() => _telling = telling;

        private Waiter()
            : base(TaskCreationOptions.RunContinuationsAsynchronously) => Place = new LinkedListNode<Waiter>(this);

        public CircuitCaller? Caller { get; }

        public LinkedListNode<Waiter> Place { get; }

        public bool IsOver => _telling?.IsOver ?? Caller!.Fate is not (CircuitFate.AtTheDoor or CircuitFate.Failed);
    }
}
