namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The toolkit's own source of chance: the one that an application registered for its own ends may not be thread-safe, or may be seeded. Thread-safe
/// if <paramref name="random"/> is.
/// </summary>
internal sealed class Chance(Random random)
{
    /// <summary>At least 0 and below 1.</summary>
    public double Next() => random.NextDouble();

    /// <summary>At least 0 and below <paramref name="bound"/>.</summary>
    public int Next(int bound) => random.Next(bound);
}
