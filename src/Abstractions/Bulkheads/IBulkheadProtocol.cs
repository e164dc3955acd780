using System.Collections.Immutable;

namespace ReliabilityToolkit.Orleans;

/// <summary>The conversation between a node and the bulkhead's grain. Each request may be repeated and is done once.</summary>
[Alias("rt.IBulkheadProtocol"), GrainInterfaceType("rt.IBulkheadProtocol")]
internal interface IBulkheadProtocol : IGrainWithStringKey
{
    /// <summary>
    /// Asks for slots. Held while its turn has not come; the answer "still waiting" asks for the same request again, which keeps its place.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 or more than the capacity; nothing has changed.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    [Alias("Acquire")]
    ValueTask<SlotGrant> AcquireAsync(SlotRequest request, CancellationToken cancellationToken);

    /// <summary>Frees what an earlier request got, or leaves the line. May overtake the request, which then takes nothing.</summary>
    [Alias("Release")]
    ValueTask<Acknowledgement> ReleaseAsync(SlotRelease release, CancellationToken cancellationToken);

    /// <summary>Extends all that a node holds, by one lease from the answer.</summary>
    [Alias("Renew")]
    ValueTask<SlotRenewal> RenewAsync(SlotRenewalRequest request, CancellationToken cancellationToken);

    /// <summary>Closes or reopens.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The command is neither.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    [Alias("Command")]
    ValueTask<Acknowledgement> CommandAsync(SlotOrder order, CancellationToken cancellationToken);

    /// <summary>Reads the bulkhead; changes nothing.</summary>
    [Alias("GetStatus")]
    ValueTask<BulkheadStatus> GetStatusAsync(CancellationToken cancellationToken);
}

/// <summary>
/// "<paramref name="Slots"/> for a caller at the door; answer within <paramref name="HoldFor"/>, if only to say that he still waits."
/// </summary>
[GenerateSerializer, Immutable, Alias("rt.SlotRequest")]
internal readonly record struct SlotRequest(
    [property: Id(0)] RequestId Id,
    [property: Id(1)] int Slots,
    [property: Id(2)] bool MayWait,
    [property: Id(3)] TimeSpan HoldFor);

/// <summary>"What my request <paramref name="Id"/> got, or still waits for, is not needed any more." Safe to repeat by itself.</summary>
[GenerateSerializer, Immutable, Alias("rt.SlotRelease")]
internal readonly record struct SlotRelease([property: Id(0)] RequestId Id);

/// <summary>"I still hold these." Safe to repeat by itself.</summary>
[GenerateSerializer, Immutable, Alias("rt.SlotRenewalRequest")]
internal readonly record struct SlotRenewalRequest([property: Id(0)] ImmutableArray<long> Permits);

/// <summary>"Each of <paramref name="Renewed"/> is yours for another <paramref name="Lease"/>; what is missing is lost."</summary>
[GenerateSerializer, Immutable, Alias("rt.SlotRenewal")]
internal readonly record struct SlotRenewal(
    [property: Id(0)] TimeSpan Lease,
    [property: Id(1)] ImmutableArray<long> Renewed);

/// <summary>What became of an acquire.</summary>
[GenerateSerializer, Alias("rt.SlotVerdict")]
internal enum SlotVerdict
{
    Refused = 0,
    Granted = 1,
    StillWaiting = 2,
    Closed = 3,
}

/// <summary>The answer to an acquire. A granted permit's lease counts from this answer.</summary>
[GenerateSerializer, Immutable, Alias("rt.SlotGrant")]
internal readonly record struct SlotGrant(
    [property: Id(0)] SlotVerdict Verdict,
    [property: Id(1)] long Permit,
    [property: Id(2)] TimeSpan Lease,
    [property: Id(3)] RefusalReason Reason);

/// <summary>Administration.</summary>
[GenerateSerializer, Alias("rt.SlotCommand")]
internal enum SlotCommand
{
    None = 0,
    Close = 1,
    Reopen = 2,
}

/// <summary>"Do this."</summary>
[GenerateSerializer, Immutable, Alias("rt.SlotOrder")]
internal readonly record struct SlotOrder(
    [property: Id(0)] RequestId Id,
    [property: Id(1)] SlotCommand Command);
