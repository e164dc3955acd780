#pragma warning disable RS0030 // The banned clocks: this is the one place that reads them, and only where the given one is the system's.

namespace ReliabilityToolkit.Orleans;

/// <summary>The one clock of a node: monotonic, and read by shells only, once per operation.</summary>
internal sealed class NodeClock
{
    /// <summary>
    /// How far <see cref="Glance"/> may be behind. The kernel brings it up to date at each of its ticks, 1 to 10 ms apart; later only where a machine
    /// that is none of metal runs one of its processors and not the one that counts the ticks.
    /// </summary>
    public static readonly TimeSpan MostBehind = TimeSpan.FromMilliseconds(250);

    // A timer counts whole milliseconds, at most 49 days of them.
    private static readonly TimeSpan LongestTimer = TimeSpan.FromDays(1);

    private readonly long _origin;
    private readonly long _glanceOrigin;
    private readonly bool _canGlance;

    public NodeClock(TimeProvider time)
    {
        (Time, _origin) = (time, time.GetTimestamp());
        if (!OperatingSystem.IsLinux() || time != TimeProvider.System)
            return;

        // On Linux both are the same clock, the one as of now and the other as of the last tick.
        _glanceOrigin = (long)(_origin / ((double)time.TimestampFrequency / TimeSpan.TicksPerSecond));
        _canGlance = true;
        var behind = Now - Glance;
        _canGlance = behind > TimeSpan.FromMilliseconds(-1) && behind < MostBehind / 2;
    }

    public TimeProvider Time { get; }

    public Instant Now => new(Time.GetElapsedTime(_origin).Ticks);

    /// <summary>
    /// Not after <see cref="Now"/>, and at most <see cref="MostBehind"/> before; on Linux at a fifth of its cost, elsewhere the same.
    /// </summary>
    public Instant Glance => _canGlance ? new((Environment.TickCount64 * TimeSpan.TicksPerMillisecond) - _glanceOrigin) : Now;

    /// <summary>Waits for at least so long: timers round down and may fire early, and a token must never be used before it is there.</summary>
    /// <exception cref="OperationCanceledException">The token was cancelled first.</exception>
    public async Task WaitAsync(TimeSpan duration, CancellationToken cancellationToken)
    {
        var end = Now + duration;
        for (var left = duration; left > TimeSpan.Zero; left = end - Now)
        {
            var timer = TimeSpan.FromMilliseconds(Math.Ceiling(left.TotalMilliseconds));
            await Task.Delay(timer < LongestTimer ? timer : LongestTimer, Time, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>A timer that is not set yet, and runs in nobody's context: it outlives the request that happened to need it first.</summary>
    public ITimer CreateTimer(TimerCallback callback, object? state)
    {
        using var nobodys = ExecutionContext.IsFlowSuppressed() ? default : ExecutionContext.SuppressFlow();
        return Time.CreateTimer(callback, state, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }
}
