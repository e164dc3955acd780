namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>Instants for machine tests, counted from the test's start.</summary>
internal static class Time
{
    public static Instant At(double seconds) => new((long)(seconds * TimeSpan.TicksPerSecond));

    public static TimeSpan Seconds(double seconds) => TimeSpan.FromTicks((long)(seconds * TimeSpan.TicksPerSecond));
}
