using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The shell that all authority grains share, and their one funnel: it reads the clock, finds the machine under today's policy, does each request
/// once, keeps the activation for as long as the machine has something to remember, and hands on what that knows.
/// </summary>
internal abstract partial class AuthorityGrain<TPolicy, TMachine, TAnswer, TMemory>(
    string kind, AuthoritySurroundings around, ILogger logger)
    : Grain, IPolicyFollower, IGrainMigrationParticipant
    where TPolicy : class, ICommonPolicy
    where TMachine : class, IAuthorityMachine<TPolicy, TAnswer, TMemory>
    where TMemory : class
    where TAnswer : struct, IEquatable<TAnswer>
{
    private TaskScheduler? _scheduler;
    private PolicySet? _policies;
    private TPolicy? _policy;
    private TMachine? _machine;
    private Retention _retention;
    private long _anonymous;
    private Tenure? _tenure; // where a record is kept
    private RecordKeeper<TMemory>? _keeper; // likewise
    private Carried<TMemory>? _carried;
    private PolicyOverride<TPolicy>? _override;
    private Instant _withheldUntil;
    private string? _policyName;

    protected AuthoritySurroundings Around => around;

    protected NodeClock Clock => around.Clock;

    protected ILogger Logger => logger;

    protected string Name => this.GetPrimaryKeyString();

    protected string PolicyName => _policyName ??= ResourceName.Parse(Name).Policy;

    /// <summary>Whether a record is kept, from which a successor will learn all.</summary>
    protected bool IsRecorded => _tenure is not null && FindToday() is { } policy && around.Records.DurabilityOf(policy) != Durability.Volatile;

    /// <summary>Refusals are counted only.</summary>
    protected bool IsShadow => _policy is { Enforce: false };

    /// <summary>Of the policy of its own, or of its clearing; 0: it never had one.</summary>
    protected long PolicyVersion => _override?.Version ?? 0;

    /// <summary>The machine; null until the first request.</summary>
    protected TMachine? Existing => _machine;

    /// <summary>What was answered to requests that may come again.</summary>
    protected AnswerLog<TAnswer> Answers { get; } = new();

    /// <summary>
    /// Takes over what there is to be taken over. Where no record is kept, and nothing moved here, a machine is made for the first request.
    /// </summary>
    /// <exception cref="AuthorityUnavailableException">The storage does not answer, or what it has cannot be read.</exception>
    public override async Task OnActivateAsync(CancellationToken cancellationToken)
    {
        if (FindToday() is not { } policy)
            return; // the first request hears it
        var durability = around.Records.DurabilityOf(policy);
        if (durability == Durability.Volatile)
        {
            if (_carried is null)
                return;
            TakeOver(_carried.Override);
            BeginUnasked(policy, around.Policies.Current, HeritageInMemory(policy));
            return;
        }

        using var activity = ReliabilityToolkitTelemetry.Start("authority.activate", PolicyName);
        activity?.SetTag("kind", kind);
        var policies = around.Policies.Current;
        _tenure = new Tenure(durability, policy.RecordLate);
        _keeper = new RecordKeeper<TMemory>(Clock, _tenure, around.Records.Open<TMemory>(this.GetGrainId(), GrainContext.ActivationId.ToString()));
        try
        {
            var heritage = await _keeper.BeginAsync(NewEpoch(), _carried);
            TakeOver(_keeper.Override);
            if (around.Records.Read<PolicyOverride<TPolicy>>(_carried?.Override)?.Version > PolicyVersion)
                TakeOver(_keeper.Override = _carried!.Override); // set where no record was kept
            BeginUnasked(policy, policies, heritage);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            LogNoRecord(Name, e);
            throw AuthorityUnavailableException.ForRecord(Name, e.Message);
        }
    }

    /// <inheritdoc/>
    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        around.Policies.Unfollow(this);
        if (_keeper is null || _machine is null)
            return;
        try
        {
            await _keeper.EndAsync(_machine);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            LogNoRecord(Name, e); // the successor takes it for lost
        }
    }

    /// <inheritdoc/>
    public void OnDehydrate(IDehydrationContext dehydrationContext)
    {
        if (_machine is null && _carried is not null)
            dehydrationContext.TryAddValue(RecordStore.Name, _carried); // its policy is not known here
        if (_machine is null || _machine.HasSuccessor || _keeper?.IsLost == true)
            return;
        var carried = new Carried<TMemory>(
            GrainContext.ActivationId.ToString(), _tenure?.HasRecord == true, _machine.Epoch, _machine.Capture(Clock.Now, isWhole: true),
            _override is null ? null : around.Records.Write(_override));
        dehydrationContext.TryAddValue(RecordStore.Name, carried);
    }

    /// <inheritdoc/>
    public void OnRehydrate(IRehydrationContext rehydrationContext) => rehydrationContext.TryGetValue(RecordStore.Name, out _carried);

    /// <summary>Called from any thread; the grain looks at the new policies on its own.</summary>
    void IPolicyFollower.OnPoliciesReplaced() => Task.Factory.StartNew(
        static grain => ((AuthorityGrain<TPolicy, TMachine, TAnswer, TMemory>)grain!).FollowPolicies(),
        this,
        CancellationToken.None,
        TaskCreationOptions.DenyChildAttach,
        _scheduler!);

    public ValueTask<bool> SetPolicyAsync(TPolicy policy, long version)
    {
        ArgumentNullException.ThrowIfNull(policy);
        return SetPolicyAsync(new PolicyOverride<TPolicy>(policy, version));
    }

    public ValueTask<bool> ClearPolicyAsync(long version) => SetPolicyAsync(new PolicyOverride<TPolicy>(null, version));

    /// <summary>Gives the name a policy of its own, or the configured one again. Throws as <c>Do</c>.</summary>
    /// <returns>Whether it is in force: not where a newer one is.</returns>
    public async ValueTask<bool> SetPolicyAsync(PolicyOverride<TPolicy> order)
    {
        PolicyOverride<TPolicy>.Check(order.Policy, order.Version);
        var isNewer = await Do((Grain: this, Order: order), static (_, call, now) => call.Grain.Override(call.Order, now));
        if (_keeper is not null)
            await AnswerLaterAsync(isNewer); // also of one that has come again, and could not be recorded before
        return isNewer || (order.Version == PolicyVersion && PolicySet.AreAlike(order.Policy, _override!.Policy));
    }

    /// <summary>Does a machine's verb for a caller who does not repeat it, or whose repeats do no harm.</summary>
    /// <param name="argument">Handed to <paramref name="verb"/>.</param>
    /// <param name="verb">What the machine does; where it throws, the caller hears it.</param>
    /// <param name="outlivesPolicy">True for what must go on when the policy has been taken out of the configuration: giving back, renewing.</param>
    /// <exception cref="ArgumentException">The grain's key is not a legal name.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    /// <exception cref="AuthorityUnavailableException">Its record cannot be written, or is another's.</exception>
    protected ValueTask<TResult> Do<TArgument, TResult>(
        TArgument argument, Func<TMachine, TArgument, Instant, TResult> verb, bool outlivesPolicy = false)
    {
        var now = Clock.Now;
        return _tenure is null ? new(Decide(now, argument, verb, outlivesPolicy)) : DoOnRecord(now, argument, verb, outlivesPolicy);
    }

    /// <summary>As the other <c>Do</c>, for a verb without a result.</summary>
    protected ValueTask<bool> Do<TArgument>(TArgument argument, Action<TMachine, TArgument, Instant> verb, bool outlivesPolicy = false) =>
        Do(
            (argument, verb),
            static (machine, call, now) =>
            {
                call.verb(machine, call.argument, now);
                return true;
            },
            outlivesPolicy);

    /// <summary>Does a numbered request once, however often it comes. Throws as <c>Do</c>.</summary>
    protected ValueTask<TAnswer> DoOnce<TRequest>(in RequestId id, TRequest request, Func<TMachine, TRequest, Instant, TAnswer> verb) =>
        Do((Answers, id, request, verb), static (machine, call, now) => call.Answers.Once(call.id, now, machine, call.request, call.verb));

    /// <summary>As the other <c>DoOnce</c>, for what is only acknowledged.</summary>
    protected ValueTask<Acknowledgement> DoOnce<TRequest>(
        in RequestId id, TRequest request, Action<TMachine, TRequest, Instant> verb, bool outlivesPolicy = false) =>
        Do(
            (Answers, id, request, verb),
            static (machine, call, now) => call.Answers.Once(call.id, now, machine, call.request, call.verb),
            outlivesPolicy);

    /// <summary>Takes an earlier request back, also one that has not arrived yet, and also when the policy has gone.</summary>
    /// <param name="earlier">The request's number.</param>
    /// <param name="verb">What the machine does about it.</param>
    protected ValueTask<Acknowledgement> TakeBack(RequestId earlier, Action<TMachine, RequestKey, Instant> verb) => Do(
        (Answers, earlier, verb),
        static (machine, call, now) =>
        {
            call.Answers.Void(call.earlier, now);
            call.verb(machine, call.earlier.Key, now);
            return Acknowledgement.Done;
        },
        outlivesPolicy: true);

    /// <summary>For a caller without the client library: told apart from the others, and not remembered.</summary>
    protected RequestId NewAnonymousId() => new(Guid.Empty, 0, ++_anonymous, 0, 0);

    /// <summary>After every verb, and after a change of policy.</summary>
    protected virtual void Conclude(TMachine machine, Instant now)
    {
        var memorableUntil = _override?.Policy is not null && _tenure is null ? Instant.Never : machine.MemorableUntil;
        if (_retention.Follow(memorableUntil, now) is { } duration)
            DelayDeactivation(duration);
        if (machine.WithheldUntil > now && machine.WithheldUntil > _withheldUntil)
        {
            _withheldUntil = machine.WithheldUntil;
            around.Meter.Withheld(kind);
            LogWithheld(Name, kind, _withheldUntil - now);
        }

        if (machine.HasSuccessor)
            DeactivateOnIdle(); // where it was the clock of another silo that was ahead, a new one has a higher epoch by and by
    }

    /// <summary>Tells a node something that it did not ask for. A hint that gets lost costs time, and nothing else.</summary>
    protected void Hint(INodeObserver observer, int channel, long epoch, long version, int wanted = 0)
    {
        try
        {
            observer.Changed(channel, epoch, version, wanted);
        }
        catch (Exception e)
        {
            LogNoHint(Name, e);
        }
    }

    protected abstract TPolicy Find(PolicySet policies, string policyName);

    protected abstract TMachine Create(TPolicy policy, Instant now, in Heritage<TMemory> heritage);

    /// <summary>Whether, where no record is kept, an activation may have been lost whose loans may not have ended.</summary>
    protected abstract bool MayFollowAnother(TPolicy policy);

    private TResult Decide<TArgument, TResult>(
        Instant now, TArgument argument, Func<TMachine, TArgument, Instant, TResult> verb, bool outlivesPolicy)
    {
        var machine = Machine(now, outlivesPolicy);
        try
        {
            return verb(machine, argument, now);
        }
        finally
        {
            Conclude(machine, now);
        }
    }

    private ValueTask<TResult> DoOnRecord<TArgument, TResult>(
        Instant now, TArgument argument, Func<TMachine, TArgument, Instant, TResult> verb, bool outlivesPolicy)
    {
        if (!_tenure!.MayDecide(now))
            return DoLaterAsync(argument, verb, outlivesPolicy);
        if (_tenure.IsToProve(now))
            _ = ProveInTheBackgroundAsync();
        var result = Decide(now, argument, verb, outlivesPolicy);
        return _tenure.IsBehind(_machine!) ? AnswerLaterAsync(result) : new(result);
    }

    // It has not shown for a while that it is still the one.
    private async ValueTask<TResult> DoLaterAsync<TArgument, TResult>(
        TArgument argument, Func<TMachine, TArgument, Instant, TResult> verb, bool outlivesPolicy)
    {
        await OnRecordAsync(static (keeper, machine) => keeper.WriteAsync(machine));
        var now = Clock.Now;
        if (!_tenure!.MayDecide(now))
            throw AuthorityUnavailableException.ForRecord(Name, "it took too long to show that no other has taken its place.");
        return await DoOnRecord(now, argument, verb, outlivesPolicy);
    }

    // Nobody hears what may be forgotten.
    private async ValueTask<TResult> AnswerLaterAsync<TResult>(TResult result)
    {
        await OnRecordAsync(static (keeper, machine) => keeper.CatchUpAsync(machine));
        return result;
    }

    private async Task OnRecordAsync(Func<RecordKeeper<TMemory>, TMachine, Task> write)
    {
        try
        {
            await write(_keeper!, _machine!);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            LogNoRecord(Name, e);
            if (_keeper!.IsLost)
                DeactivateOnIdle(); // whoever asks again finds the other
            throw AuthorityUnavailableException.ForRecord(Name, e.Message);
        }
    }

    private async Task ProveInTheBackgroundAsync()
    {
        try
        {
            await OnRecordAsync(static (keeper, machine) => keeper.WriteAsync(machine));
        }
        catch (AuthorityUnavailableException)
        {
            // It has been logged, and is tried again by the next request; when the time is over none is answered.
        }
    }

    private TPolicy? FindToday()
    {
        try
        {
            return Find(around.Policies.Current, PolicyName);
        }
        catch (Exception e) when (e is ArgumentException or UnknownPolicyException)
        {
            return null;
        }
    }

    private Heritage<TMemory> HeritageInMemory(TPolicy policy) => _carried is not null
        ? new Heritage<TMemory>(_carried.Epoch, Predecessor.Finished, _carried.Memory)
        : new Heritage<TMemory>(NewEpoch(), MayFollowAnother(policy) ? Predecessor.Possible : Predecessor.None);

    // It is to be kept, though nobody ask.
    private void BeginUnasked(TPolicy policy, PolicySet policies, in Heritage<TMemory> heritage)
    {
        var now = Clock.Now;
        Begin(policy, policies, heritage, now);
        Conclude(_machine!, now);
    }

    private bool Override(PolicyOverride<TPolicy> order, Instant now)
    {
        if (order.Version <= PolicyVersion)
            return false;
        _override = order;
        if (_keeper is not null)
            _keeper.Override = around.Records.Write(order);
        Apply(Find(around.Policies.Current, PolicyName), now);
        return true;
    }

    // One that this version finds faulty is as if it had been cleared.
    private void TakeOver(byte[]? kept)
    {
        _override = around.Records.Read<PolicyOverride<TPolicy>>(kept);
        if (_override?.Policy?.Validate() is not { Count: > 0 } faults)
            return;
        LogFaultyOverride(Name, string.Join(" ", faults));
        _override = _override with { Policy = null };
    }

    private void Apply(TPolicy configured, Instant now)
    {
        var policy = _override?.Policy ?? configured;
        if (!ReferenceEquals(policy, _policy))
            _machine!.ChangeTo(policy, now);
        _policy = policy;
    }

    private void Begin(TPolicy configured, PolicySet policies, in Heritage<TMemory> heritage, Instant now)
    {
        var policy = _override?.Policy ?? configured;
        _machine = Create(policy, now, heritage);
        (_policy, _policies) = (policy, policies);
        _scheduler = TaskScheduler.Current;
        around.Policies.Follow(this);
        around.Meter.Began(kind, heritage.Predecessor);
    }

    private TMachine Machine(Instant now, bool outlivesPolicy)
    {
        if (!ReferenceEquals(_policies, around.Policies.Current) && !(outlivesPolicy && _machine is not null))
            Follow(around.Policies.Current, now);
        return _machine!;
    }

    private void FollowPolicies()
    {
        var now = Clock.Now;
        try
        {
            Follow(around.Policies.Current, now);
        }
        catch (UnknownPolicyException)
        {
            LogPolicyGone(Name); // who waits hears it when he asks again, and gives up his place
        }

        Conclude(_machine!, now);
    }

    private void Follow(PolicySet policies, Instant now)
    {
        TPolicy policy;
        try
        {
            policy = Find(policies, PolicyName);
        }
        catch (Exception e) when (e is ArgumentException or UnknownPolicyException)
        {
            if (_machine is null && _carried is null)
                DeactivateOnIdle(); // a name that means nothing is not kept in memory
            throw;
        }

        if (_machine is null)
        {
            if (around.Records.DurabilityOf(policy) != Durability.Volatile)
            {
                DeactivateOnIdle(); // the policy has come since the activation began, without its record
                throw AuthorityUnavailableException.ForRecord(Name, "its policy has only just come.");
            }

            TakeOver(_carried?.Override);
            Begin(policy, policies, HeritageInMemory(policy), now);
            return;
        }

        Apply(policy, now);
        _policies = policies;
    }

    // What an activation numbers (permits, generations, trials) must not be taken for what its predecessor numbered, whose holders may live on. So it
    // starts at the wall clock's milliseconds, with room for a million numbers in each, and by chance within one, should two silos' clocks differ.
    private long NewEpoch() => (Clock.Time.GetUtcNow().ToUnixTimeMilliseconds() << 20) + around.Chance.Next(1 << 20);

    [LoggerMessage(EventId = 11, Level = LogLevel.Error, Message = "The own policy of {Name} has faults, and the configured one holds. {Faults}")]
    private partial void LogFaultyOverride(string name, string faults);

    [LoggerMessage(EventId = 1, Level = LogLevel.Warning, Message = "The policy of {Name} was taken out of the configuration while it is in use.")]
    private partial void LogPolicyGone(string name);

    [LoggerMessage(EventId = 3, Level = LogLevel.Warning, Message = "The record of {Name} could not be read or written.")]
    private partial void LogNoRecord(string name, Exception exception);

    [LoggerMessage(
        EventId = 5,
        Level = LogLevel.Warning,
        Message = "The {Kind} {Name} lends nothing, or less, for {Time}: an authority before it may have been lost, with something lent.")]
    private partial void LogWithheld(string name, string kind, TimeSpan time);

    [LoggerMessage(EventId = 6, Level = LogLevel.Debug, Message = "A node could not be told at once that {Name} has changed.")]
    private partial void LogNoHint(string name, Exception exception);
}
