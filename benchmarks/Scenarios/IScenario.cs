namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>A few rows that are measured together.</summary>
internal interface IScenario
{
    /// <summary>What <c>--only</c> picks it by.</summary>
    string Name { get; }

    Task<IReadOnlyList<Row>> MeasureAsync(Settings settings);
}
