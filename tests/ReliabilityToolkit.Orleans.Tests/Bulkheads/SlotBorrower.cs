namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A node as its authority sees it: it says what it holds and wants, and takes what it gets.</summary>
internal sealed class SlotBorrower(int number) : INodeObserver
{
    public Borrower Holder { get; } = new(new Guid(number, 0, 0, new byte[8]), 1);

    public long Sequence { get; set; }

    public long Epoch { get; set; }

    public long Version { get; set; }

    public int Held { get; set; }

    public SlotsRequest Last { get; private set; }

    /// <summary>Asks for one slot for each of so many callers who are ready to wait, and takes the answer.</summary>
    public SlotsGrant Ask(SlotLedger ledger, Instant now, int callers = 0) =>
        Ask(ledger, now, callers == 0 ? [] : [new SlotsAsk(1, callers, true)]);

    public SlotsGrant Ask(SlotLedger ledger, Instant now, SlotsAsk[] asks, int spare = 0, int? inUse = null) =>
        Take(ledger.Renew(Next(asks, spare, inUse), now));

    /// <summary>As the first, of the grain.</summary>
    public async ValueTask<SlotsGrant> AskAsync(IBulkheadProtocol grain, int callers) =>
        Take(await grain.RenewAsync(Next(callers == 0 ? [] : [new SlotsAsk(1, callers, true)])));

    /// <summary>Says that it holds so many fewer.</summary>
    public SlotsGrant GiveBack(SlotLedger ledger, Instant now, int slots = 1, int callers = 0)
    {
        Held -= slots;
        return Ask(ledger, now, callers);
    }

    private SlotsRequest Next(SlotsAsk[] asks, int spare = 0, int? inUse = null) => Last = new SlotsRequest(
        Holder,
        ++Sequence,
        Epoch,
        Version,
        Held,
        inUse ?? Held,
        asks.Length == 0 ? null : asks,
        asks.Where(static ask => ask.MayWait).Sum(static ask => ask.Callers),
        spare,
        $"node {number}",
        this);

    private SlotsGrant Take(in SlotsGrant grant)
    {
        if (grant.Sequence != Sequence)
            return grant;
        (Epoch, Version) = (grant.Epoch, grant.Version);
        Held = grant.Kept + grant.Slots + grant.Spare;
        return grant;
    }

    void INodeObserver.Changed(int channel, long epoch, long version, int wanted) => throw new NotSupportedException();
}
