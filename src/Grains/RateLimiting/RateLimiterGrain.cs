using Orleans.Concurrency;

namespace ReliabilityToolkit.Orleans;

/// <summary>The shell around <see cref="TokenLedger"/>. Reentrant: the machine is synchronous, and only waits are awaited.</summary>
[GrainType("rt.limiter"), Reentrant]
internal sealed class RateLimiterGrain(NodeClock clock, PolicySource source, Random random)
    : AuthorityGrain<RateLimiterPolicy, TokenLedger>(clock, source, random), IRateLimiterGrain, IRateLimiterProtocol
{
    public ValueTask<bool> TryAcquireAsync(int tokens) => new(Acquire(new TokenRequest(default, tokens, MayWait: false)).IsGranted);

    public async ValueTask<bool> AcquireAsync(int tokens, CancellationToken cancellationToken)
    {
        var id = NewAnonymousId();
        var grant = Acquire(new TokenRequest(id, tokens, MayWait: true));
        if (!grant.IsGranted)
            return false;
        if (grant.ReadyAfter > LongestHold)
        {
            Cancel(new TokenCancellation(id));
            return false;
        }

        try
        {
            await Clock.WaitAsync(grant.ReadyAfter, cancellationToken);
            return true;
        }
        catch (OperationCanceledException)
        {
            Cancel(new TokenCancellation(id));
            throw;
        }
    }

    public ValueTask ResetAsync()
    {
        Reset(default);
        return default;
    }

    public ValueTask<RateLimiterStatus> GetStatusAsync()
    {
        var now = Clock.Now;
        return new(Authority(now).Describe(now));
    }

    ValueTask<TokenGrant> IRateLimiterProtocol.AcquireAsync(TokenRequest request, CancellationToken cancellationToken) => new(Acquire(request));

    ValueTask<TokenGrant> IRateLimiterProtocol.CancelAsync(TokenCancellation cancellation, CancellationToken cancellationToken) => new(Cancel(cancellation));

    ValueTask<TokenGrant> IRateLimiterProtocol.ResetAsync(RequestId id, CancellationToken cancellationToken) => new(Reset(id));

    ValueTask<RateLimiterStatus> IRateLimiterProtocol.GetStatusAsync(CancellationToken cancellationToken) => GetStatusAsync();

    protected override RateLimiterPolicy Find(PolicySet policies, string policyName) => policies.RateLimiter(policyName);

    protected override TokenLedger Create(RateLimiterPolicy policy, Instant now, long epoch) => new(policy, now);

    private TokenGrant Acquire(in TokenRequest request)
    {
        var now = Clock.Now;
        var grant = Authority(now).Acquire(request, now);
        KeepWhileMemorable(now);
        return grant;
    }

    private TokenGrant Cancel(in TokenCancellation cancellation)
    {
        var now = Clock.Now;
        AuthorityAsItIs(now).Cancel(cancellation, now);
        return default;
    }

    private TokenGrant Reset(in RequestId id)
    {
        var now = Clock.Now;
        return Authority(now).Reset(id, now);
    }
}
