namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Exponential backoff with full jitter: uniform over [0, min(max, base · 2^(k-1))] after the k-th failure
/// (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). Pure: chance enters as a number.
/// </summary>
internal static class Backoff
{
    /// <summary>The longest delay after so many failed attempts. No number of them overflows.</summary>
    public static TimeSpan Cap(TimeSpan baseDelay, TimeSpan maxDelay, int failedAttempts)
    {
        var doublings = Math.Min(failedAttempts - 1, 62);
        return baseDelay.Ticks > maxDelay.Ticks >> doublings ? maxDelay : TimeSpan.FromTicks(baseDelay.Ticks << doublings);
    }

    /// <summary>
    /// The delay for a chance in [0, 1), jittered at the cap too: clamped after the jitter, capped callers would come back in step.
    /// </summary>
    public static TimeSpan Delay(TimeSpan baseDelay, TimeSpan maxDelay, int failedAttempts, double chance) =>
        TimeSpan.FromTicks((long)(chance * (Cap(baseDelay, maxDelay, failedAttempts).Ticks + 1.0)));
}
