namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A limiter's authority as its grain has it, without the grain: each request once, ahead of the machine.</summary>
internal sealed class TokenDesk(RateLimiterPolicy policy, Instant now)
{
    private readonly AnswerLog<TokenGrant> _answers = new();
    private readonly TokenLedger _ledger = new(policy, now);

    public Instant MemorableUntil => _ledger.MemorableUntil;

    public TokenGrant Acquire(in TokenRequest request, Instant now) =>
        _answers.Once(request.Id, now, _ledger, request, static (ledger, request, now) => ledger.Acquire(request, now));

    public void Cancel(in TokenCancellation cancellation, Instant now)
    {
        _answers.Void(cancellation.Id, now);
        _ledger.Cancel(cancellation.Id.Key, now);
    }

    public Acknowledgement Reset(in RequestId id, Instant now) => _answers.Once(id, now, _ledger, 0, static (ledger, _, now) => ledger.Reset(now));

    public void ChangeTo(RateLimiterPolicy policy, Instant now) => _ledger.ChangeTo(policy, now);

    public RateLimiterStatus Describe(Instant now) => _ledger.Describe(now);
}
