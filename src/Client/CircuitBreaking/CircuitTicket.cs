namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The answer to a caller at a breaker's door, for those who want no exceptions. Where it is admitted, make the call and tell how it went, once;
/// what is told after the first time, or on a ticket that was not admitted, is left out. Disposing a ticket that was not decided tells <see
/// cref="Ignore"/>.
/// </summary>
public sealed class CircuitTicket : IDisposable, IAsyncDisposable
{
    private readonly CircuitBreakerNode _breaker;
    private readonly CircuitPass _pass;
    private readonly Instant _startsAt;
    private int _isDecided;

    internal CircuitTicket(CircuitBreakerNode breaker, in CircuitPass pass, Instant startsAt)
    {
        (_breaker, _pass, _startsAt) = (breaker, pass, startsAt);
        _isDecided = pass.IsAdmitted ? 0 : 1;
    }

    /// <summary>Whether the call may be made.</summary>
    public bool IsAdmitted => _pass.IsAdmitted;

    /// <summary>
    /// For a ticket that was not admitted, what is left of the cool-down; absent where nobody can tell (isolated, or trials under way).
    /// </summary>
    public TimeSpan? RetryAfter => _pass.RetryAfter;

    /// <summary>The state in which the answer was given.</summary>
    public CircuitState State => _pass.State;

    /// <summary>
    /// The call succeeded. Returns at once; of a trial when the authority knows, or has not answered in time: the last that is needed has then closed
    /// the circuit.
    /// </summary>
    public ValueTask Succeed() => Tell(CircuitOutcome.Succeeded);

    /// <summary>
    /// The call failed. Returns when the authority knows, or has not answered in time: a failure that reaches the threshold has then opened the
    /// circuit.
    /// </summary>
    public ValueTask Fail() => Tell(CircuitOutcome.Failed);

    /// <summary>The call is neither success nor failure, as when its caller cancelled.</summary>
    public ValueTask Ignore() => Tell(CircuitOutcome.Ignored);

    /// <summary>Tells <see cref="Ignore"/> in the background, where nothing was told before.</summary>
    public void Dispose() => _ = Ignore().AsTask();

    /// <summary>Tells <see cref="Ignore"/>, where nothing was told before.</summary>
    public ValueTask DisposeAsync() => Ignore();

    private ValueTask Tell(CircuitOutcome outcome) =>
        Interlocked.Exchange(ref _isDecided, 1) == 0 ? new(_breaker.ReportAsync(_pass, outcome, _startsAt)) : default;
}
