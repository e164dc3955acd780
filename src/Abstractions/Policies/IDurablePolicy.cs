namespace ReliabilityToolkit.Orleans;

/// <summary>What the policies of all three say of their records.</summary>
internal interface IDurablePolicy
{
    /// <summary>What outlives a silo; null: as much as the silo's storage allows.</summary>
    Durability? Durability { get; }

    /// <summary>Whether a record is only made when there is something to lose.</summary>
    bool RecordLate { get; }
}
