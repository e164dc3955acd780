namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>One measurement.</summary>
/// <param name="Name">What was measured.</param>
/// <param name="Value">The median over the rounds.</param>
/// <param name="Unit">Of the value.</param>
/// <param name="AllocatedBytes">Per operation, in this process; absent where the value is one of memory.</param>
/// <param name="Peer">The name of the row that this one is held against; absent for a peer.</param>
/// <param name="Range">The least and the most of the rounds.</param>
/// <param name="Ratio">Ours to the peer's: above 1 ours is the better, whatever the unit. The median over the rounds, of each round's ratio.</param>
/// <param name="Target">What it should be; absent where there is none.</param>
internal sealed record Row(
    string Name,
    double Value,
    string Unit,
    double? AllocatedBytes = null,
    string? Peer = null,
    Ratio? Ratio = null,
    Target? Target = null,
    (double Least, double Most)? Range = null)
{
    /// <summary>Of what was measured several times.</summary>
    public static Row Of(string name, IReadOnlyList<double> rounds, string unit) =>
        new(name, Statistics.Median(rounds), unit, Range: (rounds.Min(), rounds.Max()));
}

/// <summary>The median of the rounds' ratios, and how far they were apart.</summary>
internal sealed record Ratio(double Median, double Least, double Most)
{
    public static Ratio Of(IReadOnlyList<double> rounds) => new(Statistics.Median(rounds), rounds.Min(), rounds.Max());
}

/// <summary>A target in words, and whether a row meets it.</summary>
internal sealed record Target(string Text, Func<Row, bool> IsMetBy)
{
    public static readonly Target NearRawCall = new("ratio >= 0.85", row => row.Ratio is { Median: >= 0.85 });
    public static readonly Target OneAndAThird = new("ratio >= 1.3", row => row.Ratio is { Median: >= 1.3 });
    public static readonly Target ThreeTimes = new("ratio >= 3", row => row.Ratio is { Median: >= 3 });
    public static readonly Target FourTimes = new("ratio >= 4", row => row.Ratio is { Median: >= 4 });
    public static readonly Target FiveHundredTimes = new("ratio >= 500", row => row.Ratio is { Median: >= 500 });
    public static readonly Target TenTimesAndNoAllocation =
        new("ratio >= 10, 0 B allocated", row => row is { Ratio.Median: >= 10, AllocatedBytes: < 0.5 });

    public static readonly Target TwoMilliseconds = new("value <= 2 ms", row => row.Value <= 2);
    public static readonly Target TenMilliseconds = new("value <= 10 ms", row => row.Value <= 10);
    public static readonly Target NoAllocation = new("0 B allocated", row => row.AllocatedBytes < 0.5);
    public static readonly Target SmallGrain = new("value <= 2600 B", row => row.Value <= 2_600);
}
