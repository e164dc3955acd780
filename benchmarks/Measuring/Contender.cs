namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>One thing to measure.</summary>
/// <param name="Name">As it stands in the table.</param>
/// <param name="CallAsync">One caller: makes call after call until told to stop, and says how many it made.</param>
/// <param name="PrepareAsync">What is done before each round, and not measured.</param>
internal sealed record Contender(string Name, Func<StopSignal, Task<long>> CallAsync, Func<Task>? PrepareAsync = null);
