namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A bulkhead's authority as its grain has it, without the grain: each request once, ahead of the machine.</summary>
internal sealed class SlotDesk(BulkheadPolicy policy, long epoch)
{
    private readonly AnswerLog<SlotGrant> _answers = new();
    private readonly SlotLedger _ledger = new(policy, epoch);

    public Instant MemorableUntil => _ledger.MemorableUntil;

    public Instant NextDueAt => _ledger.NextDueAt;

    public SlotGrant? Acquire(in SlotRequest request, Instant now) => BulkheadGrain.AcquireOnce(_ledger, _answers, request, now);

    public void Release(in SlotRelease release, Instant now)
    {
        _answers.Void(release.Id, now);
        _ledger.Release(release.Id.Key, now);
    }

    public bool Release(long permit, Instant now) => _ledger.Release(permit, now);

    public bool Renew(long permit, Instant now, out TimeSpan lease) => _ledger.Renew(permit, now, out lease);

    public SlotRenewal Renew(in SlotRenewalRequest request, Instant now) => _ledger.Renew(request, now);

    public Acknowledgement Close(in RequestId id, Instant now) => _answers.Once(id, now, _ledger, 0, static (ledger, _, now) => ledger.Close(now));

    public Acknowledgement Reopen(in RequestId id, Instant now) => _answers.Once(id, now, _ledger, 0, static (ledger, _, now) => ledger.Reopen(now));

    public void ChangeTo(BulkheadPolicy policy, Instant now) => _ledger.ChangeTo(policy, now);

    public void Advance(Instant now) => _ledger.Advance(now);

    public BulkheadStatus Describe(Instant now) => _ledger.Describe(now);

    public bool TryTakeAnswer(out RequestKey request, out SlotGrant grant)
    {
        if (!_ledger.TryTakeAnswer(out var id, out grant))
        {
            request = default;
            return false;
        }

        BulkheadGrain.RememberTold(_answers, id, grant, default);
        request = id.Key;
        return true;
    }
}
