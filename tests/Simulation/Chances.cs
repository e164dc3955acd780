namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>Chance from a seed (SplitMix64, Steele, Lea and Flood 2014): the same on every machine and under every runtime.</summary>
internal sealed class Chances(ulong seed)
{
    private ulong _state = seed;

    public ulong NextBits()
    {
        var z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>At least 0 and below 1.</summary>
    public double Next() => (NextBits() >> 11) * (1.0 / (1UL << 53));

    /// <summary>At least <paramref name="least"/> and below <paramref name="bound"/>.</summary>
    public int Next(int least, int bound) => least + (int)(Next() * (bound - least));

    public bool Is(double likelihood) => Next() < likelihood;

    /// <summary>The time until the next of events that come independently, so many per second.</summary>
    public TimeSpan NextGap(double perSecond) => new(1 + (long)(-Math.Log(1 - Next()) / perSecond * TimeSpan.TicksPerSecond));

    public T One<T>(params ReadOnlySpan<T> of) => of[Next(0, of.Length)];

    /// <summary>A source of its own, so that one thing's draws do not shift another's.</summary>
    public Chances Fork() => new(NextBits());
}
