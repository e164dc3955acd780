namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The shell that all authority grains share: it finds the policy by the grain's key, follows its changes, and keeps the activation for as long as
/// its machine has something to remember.
/// </summary>
internal abstract class AuthorityGrain<TPolicy, TAuthority>(NodeClock clock, PolicySource source) : Grain
    where TPolicy : class
    where TAuthority : class, IAuthority<TPolicy>
{
    // Idle activations are collected after a minute at the earliest; what is forgotten sooner needs no keeping.
    private static readonly TimeSpan CollectionAge = TimeSpan.FromMinutes(1);

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

    /// <summary>To be called after a change: idle collection must not forget what still counts.</summary>
    protected void KeepWhileMemorable(Instant now)
    {
        var until = _authority!.MemorableUntil;
        if (until <= _keptUntil || until - now < CollectionAge)
            return;
        _keptUntil = until == Instant.Never ? until : until + CollectionAge;
        DelayDeactivation(until == Instant.Never ? Timeout.InfiniteTimeSpan : _keptUntil - now);
    }

    /// <summary>For a caller without the client library: told apart from the others, and not remembered.</summary>
    protected RequestId NewAnonymousId() => new(Guid.Empty, 0, ++_anonymous, 0);

    protected abstract TPolicy Find(PolicySet policies, string policyName);

    protected abstract TAuthority Create(TPolicy policy, Instant now);

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
            _authority = Create(policy, now);
        else if (!ReferenceEquals(policy, _policy))
            _authority.ChangeTo(policy, now);
        (_policy, _policies) = (policy, policies);
    }
}
