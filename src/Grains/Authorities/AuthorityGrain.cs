namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The shell that all authority grains share: it finds the policy by the grain's key, follows its changes, and keeps the activation for as long as
/// its machine has something to remember.
/// </summary>
internal abstract class AuthorityGrain<TPolicy, TAuthority>(NodeClock clock, PolicySource source, Random random) : Grain
    where TPolicy : class
    where TAuthority : class, IAuthorityMachine<TPolicy>
{
    /// <summary>How long a call may be held: an activation that is to move waits for its held calls, and everybody else waits for it.</summary>
    protected static readonly TimeSpan LongestHold = TimeSpan.FromSeconds(5);

    // An activation is kept for a little longer than asked, so that not every call has to ask.
    private static readonly TimeSpan Slack = TimeSpan.FromSeconds(10);

    private PolicySet? _policies;
    private TPolicy? _policy;
    private TAuthority? _authority;
    private Instant _keptUntil;
    private long _anonymous;

    protected NodeClock Clock { get; } = clock;

    protected string Name => this.GetPrimaryKeyString();

    /// <summary>The machine, under today's policy.</summary>
    /// <exception cref="ArgumentException">The grain's key is not a legal name.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    protected TAuthority Authority(Instant now)
    {
        if (!ReferenceEquals(_policies, source.Current))
            Follow(source.Current, now);
        return _authority!;
    }

    /// <summary>The machine under the policy that it last had: for what must go on, also when the policy has been taken out of the configuration.</summary>
    protected TAuthority AuthorityAsItIs(Instant now) => _authority ?? Authority(now);

    /// <summary>To be called after a change: idle collection must not forget what still counts.</summary>
    protected void KeepWhileMemorable(Instant now)
    {
        var until = _authority!.MemorableUntil;
        if (_keptUntil == Instant.Never && until != Instant.Never)
        {
            _keptUntil = default;
            DelayDeactivation(TimeSpan.Zero);
        }

        if (until <= _keptUntil || until <= now)
            return;
        _keptUntil = until == Instant.Never ? until : until + Slack;
        DelayDeactivation(until == Instant.Never ? Timeout.InfiniteTimeSpan : _keptUntil - now);
    }

    /// <summary>For a caller without the client library: told apart from the others, and not remembered.</summary>
    protected RequestId NewAnonymousId() => new(Guid.Empty, 0, ++_anonymous, 0);

    protected abstract TPolicy Find(PolicySet policies, string policyName);

    protected abstract TAuthority Create(TPolicy policy, Instant now, long epoch);

    private void Follow(PolicySet policies, Instant now)
    {
        TPolicy policy;
        try
        {
            policy = Find(policies, ResourceName.Parse(Name).Policy);
        }
        catch (Exception e) when (e is ArgumentException or UnknownPolicyException)
        {
            if (_authority is null)
                DeactivateOnIdle(); // a name that means nothing is not kept in memory
            throw;
        }

        if (_authority is null)
            _authority = Create(policy, now, NewEpoch());
        else if (!ReferenceEquals(policy, _policy))
            _authority.ChangeTo(policy, now);
        (_policy, _policies) = (policy, policies);
    }

    // What an activation numbers (permits, generations, trials) must not be taken for what its predecessor numbered, whose holders may live on. So it starts
    // at the wall clock's milliseconds, with room for a million numbers in each, and by chance within one, should two silos' clocks differ.
    private long NewEpoch() => (Clock.Time.GetUtcNow().ToUnixTimeMilliseconds() << 20) + random.Next(1 << 20);
}
