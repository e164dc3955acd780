namespace ReliabilityToolkit.Orleans;

/// <summary>What every authority machine can do beside its own verbs. A machine is handed the time; its grain guards it and reads the clock.</summary>
internal interface IAuthorityMachine<in TPolicy>
{
    /// <summary>After this instant a new machine would answer as this one does: until then the activation is worth keeping.</summary>
    Instant MemorableUntil { get; }

    /// <summary>Goes on under another policy, and keeps what was promised.</summary>
    void ChangeTo(TPolicy policy, Instant now);
}
