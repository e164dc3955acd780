namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A node's whole view of a bulkhead. One is in flight at a time; a newer one makes the older ones, and their answers, void. Repeated under its
/// number it gets the same answer.
/// </summary>
/// <param name="Holder">Who asks.</param>
/// <param name="Sequence">Counts up from 1.</param>
/// <param name="Epoch">Of the authority that the node heard of within a lease; 0: of none.</param>
/// <param name="Version">Of that authority: the newest that the node goes by.</param>
/// <param name="Held">Slots that it holds, now that it has given back what it does not need.</param>
/// <param name="InUse">Of these, so many are in the hands of its callers.</param>
/// <param name="Asks">What its callers ask for, the first first; null: nothing. Of a long line only the beginning.</param>
/// <param name="Waiting">Callers who are ready to wait, all of them.</param>
/// <param name="Spare">Slots that it would like to have at hand, if nobody waits for them.</param>
/// <param name="NodeName">For whoever looks at the status.</param>
/// <param name="Observer">Where the node hears that it is worth while to ask; null: nowhere.</param>
[GenerateSerializer, Immutable, Alias("rt.SlotsRequest")]
internal readonly record struct SlotsRequest(
    [property: Id(0)] Borrower Holder,
    [property: Id(1)] long Sequence,
    [property: Id(2)] long Epoch,
    [property: Id(3)] long Version,
    [property: Id(4)] int Held,
    [property: Id(5)] int InUse,
    [property: Id(6)] SlotsAsk[]? Asks,
    [property: Id(7)] int Waiting,
    [property: Id(8)] int Spare,
    [property: Id(9)] string? NodeName = null,
    [property: Id(10)] INodeObserver? Observer = null)
{
    /// <summary>The most callers that one request asks for; a longer line is told as it moves up.</summary>
    public const int MostAsked = 256;
}

/// <summary>So many callers, one after the other, who want so many slots each.</summary>
/// <param name="Slots">At least 1.</param>
/// <param name="Callers">At least 1.</param>
/// <param name="MayWait">Whether they are ready to wait; else the answer decides them.</param>
[GenerateSerializer, Immutable, Alias("rt.SlotsAsk")]
internal readonly record struct SlotsAsk([property: Id(0)] int Slots, [property: Id(1)] int Callers, [property: Id(2)] bool MayWait);

/// <summary>What a node may use from the moment it has this until its lease ends, counted from before the node asked.</summary>
/// <param name="Sequence">Of the request that it answers; 0: it answers nothing, the request was out of date.</param>
/// <param name="Epoch">Of the authority.</param>
/// <param name="Version">Counts what changes for the nodes.</param>
/// <param name="Kept">Of the slots that the node said it holds, so many it goes on holding; less is none at all.</param>
/// <param name="Slots">So many more are for its callers, in their order.</param>
/// <param name="Spare">And so many to have at hand.</param>
/// <param name="Lease">How long all of them are lent.</param>
/// <param name="Number">Grows with each grant of the authority, and with each authority; of the last that lent this node something.</param>
/// <param name="Places">So many callers may go on waiting; the last to come go first.</param>
/// <param name="Wanted">Slots that others wait for: freed ones are to be given back, until so many have been.</param>
/// <param name="Idle">Slots that may lie idle on other nodes: they can be called back.</param>
/// <param name="IsClosed">Whether acquires fail.</param>
/// <param name="Capacity">The policy's.</param>
/// <param name="MaxWait">The policy's; null: no end.</param>
/// <param name="IsShadow">A refusal is to be counted only.</param>
[GenerateSerializer, Immutable, Alias("rt.SlotsGrant")]
internal readonly record struct SlotsGrant(
    [property: Id(0)] long Sequence,
    [property: Id(1)] long Epoch,
    [property: Id(2)] long Version,
    [property: Id(3)] int Kept,
    [property: Id(4)] int Slots,
    [property: Id(5)] int Spare,
    [property: Id(6)] TimeSpan Lease,
    [property: Id(7)] long Number,
    [property: Id(8)] int Places,
    [property: Id(9)] int Wanted,
    [property: Id(10)] int Idle,
    [property: Id(11)] bool IsClosed,
    [property: Id(12)] int Capacity,
    [property: Id(13)] TimeSpan? MaxWait,
    [property: Id(14)] bool IsShadow = false);
