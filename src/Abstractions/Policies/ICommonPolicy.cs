namespace ReliabilityToolkit.Orleans;

/// <summary>What the policies of all three say.</summary>
internal interface ICommonPolicy
{
    /// <summary>What outlives a silo; null: as much as the silo's storage allows.</summary>
    Durability? Durability { get; }

    /// <summary>Whether a record is only made when there is something to lose.</summary>
    bool RecordLate { get; }

    /// <summary>Whether refusals are carried out; else they are only counted.</summary>
    bool Enforce { get; }

    /// <summary>Every fault; empty where there is none.</summary>
    IReadOnlyList<string> Validate();
}
