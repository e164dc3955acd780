namespace ReliabilityToolkit.Orleans;

/// <summary>What becomes of a caller who wants slots.</summary>
internal enum SlotFate
{
    /// <summary>He waits, for an answer or for his turn.</summary>
    InLine,

    /// <summary>He has his slots.</summary>
    Admitted,

    /// <summary>He gets none.</summary>
    Refused,

    /// <summary>He wants more than there are in all.</summary>
    TooMany,

    /// <summary>The bulkhead is closed.</summary>
    Closed,

    /// <summary>The authority answered with an error.</summary>
    Failed,

    /// <summary>He has gone.</summary>
    Gone,
}

/// <summary>A caller who did not find his slots at once. The machine decides him; the shell tells him.</summary>
/// <param name="slots">How many he wants.</param>
/// <param name="mayWait">Whether he waits for his turn, or for an answer only.</param>
/// <param name="number">Those who came later have higher ones.</param>
/// <param name="cameAt">On the node's clock.</param>
internal sealed class SlotCaller(int slots, bool mayWait, long number, Instant cameAt)
{
    public int Slots { get; } = slots;

    public bool MayWait { get; } = mayWait;

    public long Number { get; } = number;

    public Instant CameAt { get; } = cameAt;

    /// <summary>The last request that asked for him; 0: none did.</summary>
    public long AskedIn { get; set; }

    /// <summary>Of one who does not wait: for so long idle slots are called back for him.</summary>
    public Instant? CalledBackUntil { get; set; }

    public SlotFate Fate { get; private set; }

    /// <summary>Of one who was admitted: where his slots are from.</summary>
    public SlotLot Lot { get; private set; } = SlotLot.None;

    /// <summary>Of one who was refused.</summary>
    public RefusalReason Reason { get; private set; }

    /// <summary>The shell's own.</summary>
    public object? Tag { get; set; }

    /// <summary>His place in the line.</summary>
    public LinkedListNode<SlotCaller>? Place { get; set; }

    /// <summary>Whether he stands in the line of the authority, too.</summary>
    public bool IsPatient => MayWait || CalledBackUntil is not null;

    public void IsAdmitted(SlotLot lot) => (Fate, Lot) = (SlotFate.Admitted, lot);

    public void IsRefused(RefusalReason reason) => (Fate, Reason) = (SlotFate.Refused, reason);

    public void Becomes(SlotFate fate) => Fate = fate;
}
