using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The shell that all authority grains share, and their one funnel: it reads the clock, finds the machine under today's policy, does each request
/// once, and keeps the activation for as long as the machine has something to remember.
/// </summary>
internal abstract partial class AuthorityGrain<TPolicy, TMachine, TAnswer>(NodeClock clock, PolicySource source, Chance chance, ILogger logger)
    : Grain, IPolicyFollower
    where TPolicy : class
    where TMachine : class, IAuthorityMachine<TPolicy, TAnswer>
    where TAnswer : struct, IEquatable<TAnswer>
{
    private TaskScheduler? _scheduler;
    private PolicySet? _policies;
    private TPolicy? _policy;
    private TMachine? _machine;
    private Retention _retention;
    private long _anonymous;

    protected NodeClock Clock { get; } = clock;

    protected string Name => this.GetPrimaryKeyString();

    /// <summary>The machine; null until the first request.</summary>
    protected TMachine? Existing => _machine;

    /// <summary>What was answered to requests that may come again.</summary>
    protected AnswerLog<TAnswer> Answers { get; } = new();

    /// <inheritdoc/>
    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        source.Unfollow(this);
        return Task.CompletedTask;
    }

    /// <summary>Called from any thread; the grain looks at the new policies on its own.</summary>
    void IPolicyFollower.OnPoliciesReplaced() => Task.Factory.StartNew(
        static grain => ((AuthorityGrain<TPolicy, TMachine, TAnswer>)grain!).FollowPolicies(),
        this,
        CancellationToken.None,
        TaskCreationOptions.DenyChildAttach,
        _scheduler!);

    /// <summary>Does a machine's verb for a caller who does not repeat it, or whose repeats do no harm.</summary>
    /// <param name="argument">Handed to <paramref name="verb"/>.</param>
    /// <param name="verb">What the machine does; where it throws, the caller hears it.</param>
    /// <param name="outlivesPolicy">True for what must go on when the policy has been taken out of the configuration: giving back, renewing.</param>
    /// <exception cref="ArgumentException">The grain's key is not a legal name.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    protected TResult Do<TArgument, TResult>(TArgument argument, Func<TMachine, TArgument, Instant, TResult> verb, bool outlivesPolicy = false)
    {
        var now = Clock.Now;
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

    /// <summary>As the other <c>Do</c>, for a verb without a result.</summary>
    protected void Do<TArgument>(TArgument argument, Action<TMachine, TArgument, Instant> verb, bool outlivesPolicy = false) =>
        Do(
            (argument, verb),
            static (machine, call, now) =>
            {
                call.verb(machine, call.argument, now);
                return true;
            },
            outlivesPolicy);

    /// <summary>Does a numbered request once, however often it comes. Throws as <c>Do</c>.</summary>
    protected TAnswer DoOnce<TRequest>(in RequestId id, TRequest request, Func<TMachine, TRequest, Instant, TAnswer> verb) =>
        Do((Answers, id, request, verb), static (machine, call, now) => call.Answers.Once(call.id, now, machine, call.request, call.verb));

    /// <summary>As the other <c>DoOnce</c>, for what is only acknowledged.</summary>
    protected Acknowledgement DoOnce<TRequest>(
        in RequestId id, TRequest request, Action<TMachine, TRequest, Instant> verb, bool outlivesPolicy = false) =>
        Do(
            (Answers, id, request, verb),
            static (machine, call, now) => call.Answers.Once(call.id, now, machine, call.request, call.verb),
            outlivesPolicy);

    /// <summary>Takes an earlier request back, also one that has not arrived yet, and also when the policy has gone.</summary>
    /// <param name="earlier">The request's number.</param>
    /// <param name="verb">What the machine does about it.</param>
    protected Acknowledgement TakeBack(RequestId earlier, Action<TMachine, RequestKey, Instant> verb)
    {
        Do(
            (Answers, earlier, verb),
            static (machine, call, now) =>
            {
                call.Answers.Void(call.earlier, now);
                call.verb(machine, call.earlier.Key, now);
            },
            outlivesPolicy: true);
        return Acknowledgement.Done;
    }

    /// <summary>For a caller without the client library: told apart from the others, and not remembered.</summary>
    protected RequestId NewAnonymousId() => new(Guid.Empty, 0, ++_anonymous, 0, 0);

    /// <summary>After every verb, and after a change of policy.</summary>
    protected virtual void Conclude(TMachine machine, Instant now)
    {
        if (_retention.Follow(machine.MemorableUntil, now) is { } duration)
            DelayDeactivation(duration);
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

    protected abstract TMachine Create(TPolicy policy, Instant now, long epoch);

    private TMachine Machine(Instant now, bool outlivesPolicy)
    {
        if (!ReferenceEquals(_policies, source.Current) && !(outlivesPolicy && _machine is not null))
            Follow(source.Current, now);
        return _machine!;
    }

    private void FollowPolicies()
    {
        var now = Clock.Now;
        try
        {
            Follow(source.Current, now);
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
            policy = Find(policies, ResourceName.Parse(Name).Policy);
        }
        catch (Exception e) when (e is ArgumentException or UnknownPolicyException)
        {
            if (_machine is null)
                DeactivateOnIdle(); // a name that means nothing is not kept in memory
            throw;
        }

        if (_machine is null)
        {
            _machine = Create(policy, now, NewEpoch());
            _scheduler = TaskScheduler.Current;
            source.Follow(this);
        }
        else if (!ReferenceEquals(policy, _policy))
        {
            _machine.ChangeTo(policy, now);
        }

        (_policy, _policies) = (policy, policies);
    }

    // What an activation numbers (permits, generations, trials) must not be taken for what its predecessor numbered, whose holders may live on. So it
    // starts at the wall clock's milliseconds, with room for a million numbers in each, and by chance within one, should two silos' clocks differ.
    private long NewEpoch() => (Clock.Time.GetUtcNow().ToUnixTimeMilliseconds() << 20) + chance.Next(1 << 20);

    [LoggerMessage(EventId = 1, Level = LogLevel.Warning, Message = "The policy of {Name} was taken out of the configuration while it is in use.")]
    private partial void LogPolicyGone(string name);

    [LoggerMessage(EventId = 2, Level = LogLevel.Debug, Message = "A node could not be told at once that {Name} has changed.")]
    private partial void LogNoHint(string name, Exception exception);
}
