using Microsoft.Extensions.Logging;
using Orleans.Concurrency;

namespace ReliabilityToolkit.Orleans;

/// <summary>The shell around <see cref="TokenLedger"/>. Reentrant: the machine is synchronous, and only waits are awaited.</summary>
[GrainType("rt.limiter"), Reentrant, CollectionAgeLimit(Minutes = 2)]
internal sealed class RateLimiterGrain(
    NodeClock clock, PolicySource source, Chance chance, Departures departures, ILogger<RateLimiterGrain> logger)
    : AuthorityGrain<RateLimiterPolicy, TokenLedger, TokenGrant>(clock, source, chance, logger), IRateLimiterGrain, IRateLimiterProtocol
{
    /// <summary>What it has lent and promised runs out before a successor begins, which knows nothing of it. No request is served by then.</summary>
    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        await base.OnDeactivateAsync(reason, cancellationToken);
        if (Existing?.HasLent == true)
            await Clock.WaitAsync(LeaseTerm.OfPart, cancellationToken);
    }

    public ValueTask<bool> TryAcquireAsync(int tokens) => new(Acquire(new TokenRequest(default, tokens, MayWait: false)).IsGranted);

    public async ValueTask<bool> AcquireAsync(int tokens, CancellationToken cancellationToken)
    {
        var id = NewAnonymousId();
        var grant = Acquire(new TokenRequest(id, tokens, MayWait: true));
        if (!grant.IsGranted && grant.AskAgainAfter == TimeSpan.Zero)
            return false;
        if (!grant.IsGranted || grant.ReadyAfter > CallTimeouts.LongestHold)
        {
            Cancel(id);
            return false;
        }

        try
        {
            await Clock.WaitAsync(grant.ReadyAfter, cancellationToken);
            return true;
        }
        catch (OperationCanceledException)
        {
            Cancel(id);
            throw;
        }
    }

    public ValueTask ResetAsync()
    {
        Reset(default);
        return default;
    }

    public ValueTask<RateLimiterStatus> GetStatusAsync() => new(Do(0, static (ledger, _, now) => ledger.Describe(now)));

    ValueTask<TokenGrant> IRateLimiterProtocol.AcquireAsync(TokenRequest request, CancellationToken cancellationToken) => new(Acquire(request));

    ValueTask<PartGrant> IRateLimiterProtocol.RenewAsync(PartRequest request, CancellationToken cancellationToken) =>
        new(Do(request, static (ledger, request, now) => ledger.Renew(request, now)));

    ValueTask<Acknowledgement> IRateLimiterProtocol.CancelAsync(TokenCancellation cancellation, CancellationToken cancellationToken) =>
        new(Cancel(cancellation.Id));

    ValueTask<Acknowledgement> IRateLimiterProtocol.ResetAsync(RequestId id, CancellationToken cancellationToken) => new(Reset(id));

    ValueTask<RateLimiterStatus> IRateLimiterProtocol.GetStatusAsync(CancellationToken cancellationToken) => GetStatusAsync();

    protected override RateLimiterPolicy Find(PolicySet policies, string policyName) => policies.RateLimiter(policyName);

    protected override TokenLedger Create(RateLimiterPolicy policy, Instant now, long epoch) => new(policy, now, epoch, departures.IsRecent);

    /// <inheritdoc/>
    protected override void Conclude(TokenLedger machine, Instant now)
    {
        base.Conclude(machine, now);
        if (machine.HasSuccessor)
            DeactivateOnIdle(); // else all would be refused for as long as it is asked, should it be the one that is found
    }

    private TokenGrant Acquire(in TokenRequest request) =>
        DoOnce(request.Id, request, static (ledger, request, now) => ledger.Acquire(request, now));

    private Acknowledgement Cancel(RequestId earlier) => TakeBack(earlier, static (ledger, request, now) => ledger.Cancel(request, now));

    private Acknowledgement Reset(in RequestId id) => DoOnce(id, 0, static (ledger, _, now) => ledger.Reset(now));
}
