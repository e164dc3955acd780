namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A bulkhead as a grain, exact and uncached. The grain key is the policy, or "policy/key". A permit taken here is not renewed by anybody but its
/// holder: release it, or renew it, before its lease is over.
/// </summary>
/// <remarks>
/// Every method throws <see cref="UnknownPolicyException"/> where the silo has no such policy, and <see cref="ArgumentException"/> where the grain
/// key is not a legal name.
/// </remarks>
[Alias("rt.IBulkheadGrain"), GrainInterfaceType("rt.IBulkheadGrain")]
public interface IBulkheadGrain : IGrainWithStringKey
{
    /// <summary>
    /// Waits in line for the slots; the call is held. Not acquired where the queue is full, or where the turn has not come within half a second: a
    /// held call keeps the grain from moving. The client library waits for as long as its caller likes.
    /// </summary>
    /// <param name="slots">How many; 1 to the policy's capacity.</param>
    /// <param name="cancellationToken">Ends the wait and leaves the line.</param>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 or more than the capacity.</exception>
    /// <exception cref="BulkheadClosedException">It is closed, or was closed during the wait.</exception>
    [Alias("Acquire")]
    ValueTask<SlotPermit> AcquireAsync(int slots = 1, CancellationToken cancellationToken = default);

    /// <summary>
    /// Takes the slots now or answers no, without waiting. Never overtakes those who wait, and does not call back what lies idle on nodes.
    /// </summary>
    /// <param name="slots">How many; 1 to the policy's capacity.</param>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 or more than the capacity.</exception>
    /// <exception cref="BulkheadClosedException">It is closed.</exception>
    [Alias("TryAcquire")]
    ValueTask<SlotPermit> TryAcquireAsync(int slots = 1);

    /// <summary>Extends a permit by a lease from now. False where it is no longer held: its slots may be somebody else's.</summary>
    /// <param name="permit">The permit's number.</param>
    [Alias("Renew")]
    ValueTask<bool> RenewAsync(long permit);

    /// <summary>Frees the permit's slots. False where it was no longer held; that is harmless.</summary>
    /// <param name="permit">The permit's number.</param>
    [Alias("Release")]
    ValueTask<bool> ReleaseAsync(long permit);

    /// <summary>
    /// Pending and later acquires fail; held permits run out. Done when no node can admit anybody any more: each has said that it knows, or what it
    /// was lent has run out.
    /// </summary>
    [Alias("Close")]
    ValueTask CloseAsync();

    /// <summary>Ends <see cref="CloseAsync"/>.</summary>
    [Alias("Reopen")]
    ValueTask ReopenAsync();

    /// <summary>
    /// Gives this name a policy of its own, in place of the configured one, until it is cleared: what was spent, lent or counted stays so. It is
    /// recorded where records are kept, and else lasts as long as the activation. <c>Durability</c> and <c>RecordLate</c> stay those configured.
    /// </summary>
    /// <param name="policy">The whole policy.</param>
    /// <param name="version">
    /// 1 and above: what was set or cleared with a higher one stays. A time, or a number that whoever administers counts up.
    /// </param>
    /// <returns>Whether it is in force: false where a newer one is.</returns>
    /// <exception cref="ArgumentException">The policy has faults; the message tells all of them, and nothing has changed.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The version is below 1.</exception>
    [Alias("SetPolicy")]
    ValueTask<bool> SetPolicyAsync(BulkheadPolicy policy, long version);

    /// <summary>The configured policy holds again. That it was cleared, and with which version, is remembered.</summary>
    /// <inheritdoc cref="SetPolicyAsync"/>
    [Alias("ClearPolicy")]
    ValueTask<bool> ClearPolicyAsync(long version);

    /// <summary>Reads the bulkhead; changes nothing.</summary>
    [Alias("GetStatus")]
    ValueTask<BulkheadStatus> GetStatusAsync();
}

/// <summary>The answer to a direct acquire.</summary>
/// <param name="IsAcquired">Whether the slots are held.</param>
/// <param name="Permit">
/// The number to renew and release by; 0 where nothing is held, in shadow mode also of one who would be refused. Later permits of one activation have
/// higher numbers.
/// </param>
/// <param name="ValidFor">How long it is held without renewal, counted from the answer; count it from before you asked.</param>
/// <param name="Reason">Why it was refused.</param>
[GenerateSerializer, Immutable, Alias("rt.SlotPermit")]
public readonly record struct SlotPermit(
    [property: Id(0)] bool IsAcquired,
    [property: Id(1)] long Permit,
    [property: Id(2)] TimeSpan ValidFor,
    [property: Id(3)] RefusalReason Reason);

/// <summary>A bulkhead at one instant.</summary>
/// <param name="Capacity">Slots in the cluster.</param>
/// <param name="AvailableSlots">Slots that no node holds; 0 where the capacity was lowered below what is held.</param>
/// <param name="Waiting">Acquires that wait.</param>
/// <param name="IsClosed">Whether acquires fail.</param>
/// <param name="HighWaterMark">The most slots that were held at once, since the grain was activated.</param>
/// <param name="Holders">Who holds slots.</param>
/// <param name="PolicyVersion">Of its own policy, or of the clearing of that; 0: it never had one.</param>
[GenerateSerializer, Immutable, Alias("rt.BulkheadStatus")]
public readonly record struct BulkheadStatus(
    [property: Id(0)] int Capacity,
    [property: Id(1)] int AvailableSlots,
    [property: Id(2)] int Waiting,
    [property: Id(3)] bool IsClosed,
    [property: Id(4)] int HighWaterMark,
    [property: Id(5)] IReadOnlyList<BulkheadHolder> Holders,
    [property: Id(6)] long PolicyVersion = 0);

/// <summary>A node that holds slots, or a caller without the client library.</summary>
/// <param name="NodeName">See <c>ReliabilityToolkitClientOptions.NodeName</c>; null: a caller without the client library.</param>
/// <param name="Slots">How many it holds.</param>
/// <param name="InUse">Of these, so many were in the hands of its callers when it last said so; the others lie idle, and are given back.</param>
/// <param name="HeldFor">For how long it has held some.</param>
/// <param name="EndsAfter">If it says nothing more, they are free after that.</param>
[GenerateSerializer, Immutable, Alias("rt.BulkheadHolder")]
public readonly record struct BulkheadHolder(
    [property: Id(0)] string? NodeName,
    [property: Id(1)] int Slots,
    [property: Id(2)] int InUse,
    [property: Id(3)] TimeSpan HeldFor,
    [property: Id(4)] TimeSpan EndsAfter);
