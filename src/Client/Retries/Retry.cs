using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Retry with exponential backoff and full jitter: the delay before attempt k + 1 is uniform over [0, min(MaxDelay, BaseDelay · 2^(k-1))]
/// (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). Local; immutable; thread-safe.
/// </summary>
/// <remarks>
/// The operation is invoked afresh for each attempt. The last error reaches the caller unchanged. Cancellation ends a wait at once and is never
/// retried. Where the error is a <see cref="ReliabilityException"/> that knows a RetryAfter, that is waited for first and the jittered delay comes on
/// top, so that all who were turned away with the same RetryAfter do not come back in the same instant. A <see cref="RetryOptions.RetryIf"/> that
/// throws says no. Retries are bounded by a <see cref="RetryBudget"/> as a share of the calls.
/// </remarks>
public sealed partial class Retry
{
    private readonly int _maxAttempts;
    private readonly TimeSpan _baseDelay;
    private readonly TimeSpan _maxDelay;
    private readonly Func<Exception, bool> _retryIf;
    private readonly RetryBudget? _budget;
    private readonly ILogger? _logger;
    private readonly NodeClock _clock;
    private readonly Random _random;
    private int _hasPredicateFailed;

    /// <summary>A retry with these options, read once.</summary>
    /// <param name="options">Absent: the defaults.</param>
    /// <exception cref="ArgumentException">The options have faults; the message tells all of them.</exception>
    public Retry(RetryOptions? options = null)
    {
        options ??= new RetryOptions();
        var faults = options.Validate();
        if (faults.Count > 0)
            throw new ArgumentException(string.Join(" ", faults), nameof(options));
        _maxAttempts = options.MaxAttempts;
        _baseDelay = options.BaseDelay;
        _maxDelay = options.MaxDelay;
        (_retryIf, _budget, _logger) = (options.RetryIf ?? RetryOptions.CanSucceed, options.Budget, options.Logger);
        _clock = new NodeClock(options.TimeProvider);
        _random = options.Random;
    }

    /// <summary>
    /// Runs the operation until it succeeds, may not be retried, or has used up its attempts. No allocation where the first attempt succeeds without
    /// waiting.
    /// </summary>
    /// <param name="operation">Invoked once per attempt, with <paramref name="state"/> and <paramref name="cancellationToken"/>.</param>
    /// <param name="state">Handed to the operation, in place of a closure.</param>
    /// <param name="cancellationToken">Ends the wait between attempts at once; handed to the operation.</param>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ValueTask<TResult> RunAsync<TState, TResult>(
        Func<TState, CancellationToken, ValueTask<TResult>> operation, TState state, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);
        if (cancellationToken.IsCancellationRequested)
            return ValueTask.FromCanceled<TResult>(cancellationToken);

        _budget?.NoteCall();
        ValueTask<TResult> first;
        try
        {
            first = operation(state, cancellationToken);
        }
        catch (Exception e)
        {
            first = ValueTask.FromException<TResult>(e);
        }

        return first.IsCompletedSuccessfully ? first : RunOnAsync(first, operation, state, cancellationToken);
    }

    /// <inheritdoc cref="RunAsync{TState, TResult}(Func{TState, CancellationToken, ValueTask{TResult}}, TState, CancellationToken)"/>
    public ValueTask RunAsync<TState>(
        Func<TState, CancellationToken, ValueTask> operation, TState state, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);
        var run = RunAsync(static (call, token) => WithoutResult(call.operation(call.state, token)), (operation, state), cancellationToken);
        return Consumed(run);
    }

    /// <inheritdoc cref="RunAsync{TState, TResult}(Func{TState, CancellationToken, ValueTask{TResult}}, TState, CancellationToken)"/>
    [System.Runtime.CompilerServices.OverloadResolutionPriority(1)]
    public ValueTask<TResult> RunAsync<TResult>(Func<CancellationToken, ValueTask<TResult>> operation, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);
        return RunAsync(static (call, token) => call(token), operation, cancellationToken);
    }

    /// <inheritdoc cref="RunAsync{TState, TResult}(Func{TState, CancellationToken, ValueTask{TResult}}, TState, CancellationToken)"/>
    [System.Runtime.CompilerServices.OverloadResolutionPriority(1)]
    public ValueTask RunAsync(Func<CancellationToken, ValueTask> operation, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);
        return RunAsync(static (call, token) => call(token), operation, cancellationToken);
    }

    /// <inheritdoc cref="RunAsync{TState, TResult}(Func{TState, CancellationToken, ValueTask{TResult}}, TState, CancellationToken)"/>
    public ValueTask<TResult> RunAsync<TResult>(Func<CancellationToken, Task<TResult>> operation, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);
        return RunAsync(static (call, token) => new ValueTask<TResult>(call(token)), operation, cancellationToken);
    }

    /// <inheritdoc cref="RunAsync{TState, TResult}(Func{TState, CancellationToken, ValueTask{TResult}}, TState, CancellationToken)"/>
    public ValueTask RunAsync(Func<CancellationToken, Task> operation, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);
        return RunAsync(static (call, token) => new ValueTask(call(token)), operation, cancellationToken);
    }

    private async ValueTask<TResult> RunOnAsync<TState, TResult>(
        ValueTask<TResult> attempt, Func<TState, CancellationToken, ValueTask<TResult>> operation, TState state, CancellationToken cancellationToken)
    {
        for (var attempts = 1; ; attempts++)
        {
            TimeSpan delay;
            try
            {
                return attempts == 1 ? await attempt.ConfigureAwait(true) : await operation(state, cancellationToken).ConfigureAwait(true);
            }
            catch (Exception e)
            {
                if (attempts >= _maxAttempts || cancellationToken.IsCancellationRequested || !MayRetry(e))
                    throw;
                if (_budget is not null && !await _budget.TryTakeAsync(_logger, cancellationToken).ConfigureAwait(true))
                {
                    RetryMeter.OverBudget.Add(1);
                    throw;
                }

                delay = DelayAfter(attempts, e);
            }

            RetryMeter.Repeated.Add(1);

            // The operation is the caller's code: it runs where he called, in a grain on the grain's own scheduler.
            await _clock.WaitAsync(delay, cancellationToken).ConfigureAwait(true);
        }
    }

    // A predicate that throws cannot tell, and must not hide the operation's own error.
    private bool MayRetry(Exception error)
    {
        try
        {
            return _retryIf(error);
        }
        catch (Exception e)
        {
            if (_logger is not null && Interlocked.Exchange(ref _hasPredicateFailed, 1) == 0)
                LogPredicateFailed(_logger, e);
            return false;
        }
    }

    private TimeSpan DelayAfter(int failedAttempts, Exception e)
    {
        var jittered = Backoff.Delay(_baseDelay, _maxDelay, failedAttempts, _random.NextDouble());
        return e is ReliabilityException { RetryAfter: { } floor } && floor > TimeSpan.Zero && floor < TimeSpan.MaxValue - jittered
            ? floor + jittered
            : jittered;
    }

    [LoggerMessage(
        EventId = 114, Level = LogLevel.Error, Message = "RetryIf has thrown; the error is not retried. Not logged again for this retry.")]
    private static partial void LogPredicateFailed(ILogger logger, Exception exception);

    // A ValueTask may stand on a source that is used again once its result has been taken: it must be taken, exactly once, also where nobody wants
    // it.
    private static ValueTask<bool> WithoutResult(ValueTask operation)
    {
        if (!operation.IsCompletedSuccessfully)
            return Awaited(operation);
        operation.GetAwaiter().GetResult();
        return default;

        static async ValueTask<bool> Awaited(ValueTask operation)
        {
            await operation.ConfigureAwait(false);
            return true;
        }
    }

    private static ValueTask Consumed(ValueTask<bool> run)
    {
        if (!run.IsCompletedSuccessfully)
            return new ValueTask(run.AsTask());
        _ = run.GetAwaiter().GetResult();
        return default;
    }
}
