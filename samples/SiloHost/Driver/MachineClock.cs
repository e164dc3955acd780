using System.Diagnostics;

namespace SiloHost;

/// <summary>
/// The machine's monotonic clock in ticks of 100 ns: on Linux one for all processes, so that records of several drivers can be laid together. Rounded
/// outward, so that a decision is never taken to lie within a window that it may lie outside of.
/// </summary>
internal static class MachineClock
{
    private static readonly Int128 Frequency = Stopwatch.Frequency;

    public static long BeforeNow => (long)(Stopwatch.GetTimestamp() * (Int128)TimeSpan.TicksPerSecond / Frequency);

    public static long AfterNow => (long)(((Stopwatch.GetTimestamp() * (Int128)TimeSpan.TicksPerSecond) + Frequency - 1) / Frequency);
}
