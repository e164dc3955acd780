using Microsoft.Extensions.Time.Testing;

namespace ReliabilityToolkit.Orleans.Tests;

internal static class FakeTime
{
    /// <summary>
    /// Lets time pass in steps until the task is done. Off the test's own context, so that what a timer sets free runs within the step, and not some
    /// steps later.
    /// </summary>
    public static Task FinishAsync(this FakeTimeProvider time, Func<Task> start, TimeSpan step) => Task.Run(async () =>
    {
        var run = start();
        while (!run.IsCompleted)
            time.Advance(step);
        await run;
    });
}
