namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>How long and how often everything is measured.</summary>
/// <param name="Name">As it stands above the table.</param>
/// <param name="Rounds">Of each contest; odd, so that the median is one that was measured.</param>
/// <param name="Round">How long each contender runs in a round.</param>
/// <param name="WarmUp">How long each contender runs before the rounds, twice.</param>
/// <param name="IdleGrains">How many grains the memory of one is averaged over.</param>
internal sealed record Settings(string Name, int Rounds, TimeSpan Round, TimeSpan WarmUp, int IdleGrains)
{
    public static readonly Settings Quick = new("quick", 5, TimeSpan.FromSeconds(0.8), TimeSpan.FromSeconds(0.8), 20_000);
    public static readonly Settings Full = new("full", 15, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2), 100_000);
}
