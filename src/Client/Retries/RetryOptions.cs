using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans;

/// <summary>How often and after what delays <see cref="Retry"/> tries again.</summary>
public sealed class RetryOptions
{
    private static readonly TimeSpan LongestDelay = TimeSpan.FromDays(1);

    /// <summary>Attempts in all, the first included. Default 3; 1 (never again) to <see cref="int.MaxValue"/>.</summary>
    public int MaxAttempts { get; set; } = 3;

    /// <summary>
    /// The longest delay after the first failure; it doubles with each further one, up to <see cref="MaxDelay"/>. Default 100 ms; 0 to 1 day.
    /// </summary>
    public TimeSpan BaseDelay { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// The longest delay of all, also where <see cref="BaseDelay"/> is longer. Default 5 s; 0 to 1 day. A longer
    /// <see cref="ReliabilityException.RetryAfter"/> is honoured all the same.
    /// </summary>
    public TimeSpan MaxDelay { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Which errors are worth another attempt; where it throws, that one is not. Default: <see cref="CanSucceed"/>. The caller's own cancellation is
    /// never retried and never asked about.
    /// </summary>
    public Func<Exception, bool>? RetryIf { get; set; }

    /// <summary>
    /// How many retries there may be for the calls that are made; when it is used up, the error reaches the caller without another attempt. Default:
    /// a budget of these options' own, of 20 % of the calls and 10 a second. Null: no bound.
    /// </summary>
    public RetryBudget? Budget { get; set; } = new();

    /// <summary>Hears of a <see cref="RetryIf"/> or a shared budget that throws, once. Default: nobody does.</summary>
    public ILogger? Logger { get; set; }

    /// <summary>
    /// False for errors that no repetition mends: an <see cref="UnknownPolicyException"/>, an <see cref="ArgumentException"/>, a
    /// <see cref="NotSupportedException"/>, a <see cref="NotImplementedException"/>. To be built upon in a <see cref="RetryIf"/> of one's own.
    /// </summary>
    public static bool CanSucceed(Exception error) =>
        error is not (UnknownPolicyException or ArgumentException or NotSupportedException or NotImplementedException);

    /// <summary>The clock of the delays. Default: the system's.</summary>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;

    /// <summary>
    /// The source of the jitter. Default: the shared one. Another one must be thread-safe if the <see cref="Retry"/> is used by several threads.
    /// </summary>
    public Random Random { get; set; } = Random.Shared;

    /// <summary>Every fault of these options, one sentence each; empty where there is none.</summary>
    public IReadOnlyList<string> Validate()
    {
        var faults = new PolicyFaults();
        faults.Unless(MaxAttempts >= 1, nameof(MaxAttempts), MaxAttempts, "1 and above");
        faults.Unless(BaseDelay >= TimeSpan.Zero && BaseDelay <= LongestDelay, nameof(BaseDelay), BaseDelay, "0 to 1 day");
        faults.Unless(MaxDelay >= TimeSpan.Zero && MaxDelay <= LongestDelay, nameof(MaxDelay), MaxDelay, "0 to 1 day");
        faults.Unless(TimeProvider is not null, nameof(TimeProvider), "null", "a TimeProvider");
        faults.Unless(Random is not null, nameof(Random), "null", "a Random");
        return faults.All;
    }
}
