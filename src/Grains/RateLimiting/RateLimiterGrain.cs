using Microsoft.Extensions.Logging;
using Orleans.Concurrency;

namespace ReliabilityToolkit.Orleans;

/// <summary>The shell around <see cref="TokenLedger"/>. Reentrant: the machine is synchronous, and only waits are awaited.</summary>
[GrainType("rt.limiter"), Reentrant, CollectionAgeLimit(Minutes = 2)]
internal sealed class RateLimiterGrain(AuthoritySurroundings around, ILogger<RateLimiterGrain> logger)
    : AuthorityGrain<RateLimiterPolicy, TokenLedger, TokenGrant, LimiterMemory>(Kind, around, logger), IRateLimiterGrain, IRateLimiterProtocol
{
    private const string Kind = "limiter";

    /// <summary>
    /// Where a successor will know nothing of it, what it has lent and promised runs out before that begins. No request is served by then.
    /// </summary>
    public override async Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        await base.OnDeactivateAsync(reason, cancellationToken);
        if (Existing?.HasLent == true && !IsRecorded && reason.ReasonCode != DeactivationReasonCode.Migrating)
            await Clock.WaitAsync(LeaseTerm.OfPart, cancellationToken);
    }

    public async ValueTask<bool> TryAcquireAsync(int tokens) => IsAdmitted(await Acquire(new TokenRequest(default, tokens, MayWait: false)));

    public async ValueTask<bool> AcquireAsync(int tokens, CancellationToken cancellationToken)
    {
        var id = NewAnonymousId();
        var grant = await Acquire(new TokenRequest(id, tokens, MayWait: true));
        if (!grant.IsGranted && grant.AskAgainAfter == TimeSpan.Zero)
            return IsAdmitted(grant);
        if (!grant.IsGranted || grant.ReadyAfter > CallTimeouts.LongestHold)
        {
            await Cancel(id);
            return false;
        }

        try
        {
            await Clock.WaitAsync(grant.ReadyAfter, cancellationToken);
            return true;
        }
        catch (OperationCanceledException)
        {
            await Cancel(id);
            throw;
        }
    }

    public async ValueTask ResetAsync() => await Reset(default);

    public async ValueTask<RateLimiterStatus> GetStatusAsync() =>
        await Do(0, static (ledger, _, now) => ledger.Describe(now)) with { PolicyVersion = PolicyVersion };

    ValueTask<TokenGrant> IRateLimiterProtocol.AcquireAsync(TokenRequest request) => Acquire(request);

    ValueTask<PartGrant> IRateLimiterProtocol.RenewAsync(PartRequest request) =>
        Do(request, static (ledger, request, now) => ledger.Renew(request, now));

    ValueTask<Acknowledgement> IRateLimiterProtocol.CancelAsync(TokenCancellation cancellation) =>
        Cancel(cancellation.Id);

    ValueTask<Acknowledgement> IRateLimiterProtocol.ResetAsync(RequestId id) => Reset(id);

    ValueTask<Acknowledgement> IRateLimiterProtocol.RefundAsync(TokenRefund refund) =>
        DoOnce(refund.Id, refund.Tokens, static (ledger, tokens, now) => ledger.Refund(tokens, now), outlivesPolicy: true);

    ValueTask<RateLimiterStatus> IRateLimiterProtocol.GetStatusAsync() => GetStatusAsync();

    protected override RateLimiterPolicy Find(PolicySet policies, string policyName) => policies.RateLimiter(policyName);

    protected override TokenLedger Create(RateLimiterPolicy policy, Instant now, in Heritage<LimiterMemory> heritage) => new(policy, now, heritage);

    /// <inheritdoc/>
    protected override bool MayFollowAnother(RateLimiterPolicy policy) => Around.Departures.IsRecent;

    private ValueTask<TokenGrant> Acquire(in TokenRequest request) => DoOnce(
        request.Id,
        (Grain: this, Request: request),
        static (ledger, ask, now) =>
        {
            var answer = ledger.Acquire(ask.Request, now);
            if (ledger.IsFinal(answer))
                ask.Grain.Around.Meter.Decided(Kind, ask.Grain.PolicyName, answer.IsGranted);
            return answer;
        });

    // In shadow mode everybody is.
    private static bool IsAdmitted(in TokenGrant grant) => grant.IsGranted || grant.IsShadow;

    private ValueTask<Acknowledgement> Cancel(RequestId earlier) => TakeBack(earlier, static (ledger, request, now) => ledger.Cancel(request, now));

    private ValueTask<Acknowledgement> Reset(in RequestId id) => DoOnce(id, 0, static (ledger, _, now) => ledger.Reset(now));
}
