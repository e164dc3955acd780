using Orleans.Serialization;
using Orleans.Storage;

namespace ReliabilityToolkit.Orleans;

/// <summary>Where a silo keeps its records: in the grain storage of the toolkit's name, if there is one.</summary>
internal sealed class RecordStore(NodeClock clock, Serializer serializer, IGrainStorage? storage, AuthorityMeter meter)
{
    /// <summary>Of the grain storage.</summary>
    public const string Name = "ReliabilityToolkit";

    /// <summary>As it is kept.</summary>
    public byte[] Write<T>(T value) => serializer.SerializeToArray(value);

    /// <summary>As it was kept.</summary>
    public T? Read<T>(byte[]? kept)
        where T : class => kept is null ? null : serializer.Deserialize<T>(kept);

    /// <summary>What a policy comes to here.</summary>
    public Durability DurabilityOf(ICommonPolicy policy) =>
        policy.Durability ?? (storage is null ? Durability.Volatile : Durability.Durable);

    /// <summary>The record of one authority, as one activation sees it.</summary>
    /// <param name="grain">The authority's.</param>
    /// <param name="owner">The activation.</param>
    public Record<TMemory> Open<TMemory>(GrainId grain, string owner)
        where TMemory : class
    {
        // Some storages take a key of hexadecimal digits for a number, in which 42 and 042 are one.
        var id = GrainId.Create(grain.Type, IdSpan.Create("rt:" + grain.Key));
        return new Record<TMemory>(clock, serializer, storage!, meter, id, owner);
    }
}
