namespace ReliabilityToolkit.Orleans;

/// <summary>
/// What the storage keeps of an authority. The names of this class and its properties are in the storage where that writes JSON: they stay as they
/// are. What the machine knows is in <see cref="Memory"/>, in Orleans' own format, in which members may come and go.
/// </summary>
[GenerateSerializer, Alias("rt.AuthorityRecord")]
internal sealed class AuthorityRecord
{
    /// <summary>The newest that this version can read. Raised when an older version would misunderstand what a newer one writes.</summary>
    public const int NewestFormat = 1;

    [Id(0)]
    public int Format { get; set; } = NewestFormat;

    /// <summary>Of the activation that writes it.</summary>
    [Id(1)]
    public long Epoch { get; set; }

    /// <summary>Whether that has finished; if not it is at work, or was lost.</summary>
    [Id(2)]
    public bool IsClean { get; set; }

    /// <summary>Which activation that is: those that carry on share an epoch.</summary>
    [Id(3)]
    public string Owner { get; set; } = "";

    /// <summary>When <see cref="Memory"/> was captured, by the wall clock of the silo: UTC, in ticks of 100 ns since the year 1.</summary>
    [Id(4)]
    public long CapturedAt { get; set; }

    /// <summary>What the machine knows; null: nothing that must outlive it.</summary>
    [Id(5)]
    public byte[]? Memory { get; set; }

    /// <summary>The policy of its own that the name has, in Orleans' format; null: it never had one.</summary>
    [Id(6)]
    public byte[]? Override { get; set; }
}

/// <summary>What moves with an activation.</summary>
/// <param name="Owner">Which it was.</param>
/// <param name="HasRecord">Whether it had one.</param>
/// <param name="Epoch">Its own.</param>
/// <param name="Memory">What it knew.</param>
/// <param name="Override">The policy of its own that the name has, in Orleans' format.</param>
[GenerateSerializer, Immutable, Alias("rt.Carried`1")]
internal sealed record Carried<TMemory>(
    [property: Id(0)] string Owner,
    [property: Id(1)] bool HasRecord,
    [property: Id(2)] long Epoch,
    [property: Id(3)] TMemory Memory,
    [property: Id(4)] byte[]? Override = null)
    where TMemory : class;
