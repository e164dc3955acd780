namespace ReliabilityToolkit.Orleans;

/// <summary>The one clock of a node: monotonic, and read by shells only, once per operation.</summary>
internal sealed class NodeClock(TimeProvider time)
{
    // A timer counts whole milliseconds, at most 49 days of them.
    private static readonly TimeSpan LongestTimer = TimeSpan.FromDays(1);

    private readonly long _origin = time.GetTimestamp();

    public TimeProvider Time { get; } = time;

    public Instant Now => new(Time.GetElapsedTime(_origin).Ticks);

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
