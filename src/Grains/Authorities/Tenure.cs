namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The time of one activation as the authority, where a record is kept: what it takes over, whether it may decide, and whether it has decided
/// something that nobody may hear of before it is recorded. Not thread-safe: the grain guards it, and does the reading and writing.
/// </summary>
/// <param name="durability">Durable or Fenced.</param>
/// <param name="recordsLate">Whether there is no record until there is something to lose.</param>
internal sealed class Tenure(Durability durability, bool recordsLate)
{
    // What a lost one has numbered since it began, permits and trials, lies above its epoch, a million to a millisecond; and its silo's clock may
    // have been ahead of this one's.
    private const long NumbersOfALost = 2_000L << 20;

    private Instant _provenUntil = Instant.Never;
    private Instant _proveAt = Instant.Never;
    private long _recordedDecrees;

    /// <summary>Whether it decides nothing any more.</summary>
    public bool IsOver { get; private set; }

    /// <summary>Whether its record has been made.</summary>
    public bool HasRecord { get; private set; }

    /// <summary>What there is to be taken over.</summary>
    /// <param name="found">In the storage; null: nothing.</param>
    /// <param name="memory">That is in it.</param>
    /// <param name="carried">What moved here with the activation; null: nothing.</param>
    /// <param name="newEpoch">Where it does not carry on; higher than that of any other.</param>
    /// <param name="utcNow">By the silo's wall clock, in ticks.</param>
    public Heritage<TMemory> Inherit<TMemory>(
        AuthorityRecord? found, TMemory? memory, Carried<TMemory>? carried, long newEpoch, long utcNow)
        where TMemory : class
    {
        HasRecord = found is not null;
        var fence = durability == Durability.Fenced ? LeaseTerm.OfOwnership : default;
        if (carried is not null && (found is null ? !carried.HasRecord : found.Owner == carried.Owner || found.Epoch < carried.Epoch))
            return new Heritage<TMemory>(carried.Epoch, Predecessor.Finished, carried.Memory);
        if (found is null)
            return new Heritage<TMemory>(newEpoch, Predecessor.None);
        var elapsed = new TimeSpan(utcNow - found.CapturedAt) - LeaseTerm.ClocksApart;
        elapsed = elapsed > TimeSpan.Zero ? elapsed : TimeSpan.Zero;
        return found.IsClean && memory is not null
            ? new Heritage<TMemory>(found.Epoch, Predecessor.Finished, memory, elapsed)
            : new Heritage<TMemory>(Math.Max(newEpoch, found.Epoch + NumbersOfALost), Predecessor.Lost, memory, elapsed, fence);
    }

    /// <summary>Whether the record is to be taken over, or made, before the first decision.</summary>
    public bool MustWriteFirst => HasRecord || !recordsLate;

    /// <summary>Whether it may decide now.</summary>
    public bool MayDecide(Instant now) => now < _provenUntil && !IsOver;

    /// <summary>Whether it is time to show that it is still the one.</summary>
    public bool IsToProve(Instant now) => now >= _proveAt && !IsOver;

    /// <summary>Whether it has decided something that has not been recorded yet.</summary>
    public bool IsBehind<TMemory>(IRemembers<TMemory> machine) =>
        machine.Decrees > _recordedDecrees || (!HasRecord && machine.IsWorthRecording);

    /// <summary>The record was written, and nobody else had written it.</summary>
    /// <param name="askedAt">Before that began.</param>
    /// <param name="decrees">That are in it.</param>
    public void Recorded(Instant askedAt, long decrees)
    {
        (HasRecord, _recordedDecrees) = (true, Math.Max(decrees, _recordedDecrees));
        if (durability == Durability.Fenced)
            (_provenUntil, _proveAt) = (LeaseTerm.HeldUntil(askedAt, LeaseTerm.OfOwnership), LeaseTerm.RenewAt(askedAt, LeaseTerm.OfOwnership));
    }

    /// <summary>It decides nothing from now on: it leaves, or another has taken its place.</summary>
    public void End() => IsOver = true;
}
