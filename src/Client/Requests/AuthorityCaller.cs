using System.Runtime.CompilerServices;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The one place through which grain calls go. A call that got no answer is made again, with full jitter, until its deadline: all requests are safe to repeat.
/// </summary>
internal sealed class AuthorityCaller(NodeClock clock, Random random, TimeSpan timeout)
{
    private static readonly TimeSpan BaseDelay = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan MaxDelay = TimeSpan.FromMilliseconds(200);

    // One attempt may take half of the time, so that one lost message does not cost the call.
    private readonly SharedDeadlines _attemptDeadlines = new(clock, timeout / 2);

    /// <summary>How long a call waits for an answer, repeats included.</summary>
    public TimeSpan Timeout { get; } = timeout;

    /// <summary>Calls, and repeats while the outcome is unknown.</summary>
    /// <param name="name">Of the limiter, breaker or bulkhead, for the exception.</param>
    /// <param name="request">Handed to <paramref name="send"/>: the grain and the message.</param>
    /// <param name="send">Makes the grain call; invoked afresh for each attempt.</param>
    /// <param name="cancellationToken">Of the caller; ends the call at once.</param>
    /// <exception cref="AuthorityUnavailableException">No answer within the deadline.</exception>
    /// <exception cref="OperationCanceledException">The caller cancelled; whether the request was carried out is unknown.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<TAnswer> CallAsync<TRequest, TAnswer>(
        string name, TRequest request, Func<TRequest, CancellationToken, ValueTask<TAnswer>> send, CancellationToken cancellationToken)
    {
        var startedAt = clock.Now;
        try
        {
            if (!cancellationToken.CanBeCanceled)
                return await send(request, _attemptDeadlines.Next(startedAt)).ConfigureAwait(false);

            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _attemptDeadlines.Next(startedAt));
            return await send(request, either.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (IsUnanswered(e))
        {
            return await CallAgainAsync(name, request, send, startedAt + Timeout, e, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>As <see cref="CallAsync"/>, for a call that the authority may hold for <paramref name="hold"/> before it answers.</summary>
    public async ValueTask<TAnswer> CallHeldAsync<TRequest, TAnswer>(
        string name, TRequest request, Func<TRequest, CancellationToken, ValueTask<TAnswer>> send, TimeSpan hold, CancellationToken cancellationToken)
    {
        var startedAt = clock.Now;
        try
        {
            using var deadline = new CancellationTokenSource(hold + (Timeout / 2), clock.Time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
            return await send(request, either.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (IsUnanswered(e))
        {
            // The authority counts the hold anew for each attempt; what is left of it is not needed to find out whether it is there.
            return await CallAgainAsync(name, request, send, Instant.Later(startedAt + Timeout, clock.Now + (Timeout / 2)) + hold, e, cancellationToken).ConfigureAwait(false);
        }
    }

    private async ValueTask<TAnswer> CallAgainAsync<TRequest, TAnswer>(
        string name, TRequest request, Func<TRequest, CancellationToken, ValueTask<TAnswer>> send, Instant deadline, Exception last, CancellationToken cancellationToken)
    {
        for (var failedAttempts = 1; ; failedAttempts++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var left = deadline - clock.Now;
            var delay = Backoff.Delay(BaseDelay, MaxDelay, failedAttempts, random.NextDouble());
            if (delay >= left)
                throw new AuthorityUnavailableException(name, Timeout, last);
            await Task.Delay(delay, clock.Time, cancellationToken).ConfigureAwait(false);
            try
            {
                using var rest = new CancellationTokenSource(left - delay, clock.Time);
                using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, rest.Token);
                return await send(request, either.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (IsUnanswered(e))
            {
                last = e;
            }
        }
    }

    // Everything but an answer of the grain: rejected, shed, lost, late. All but the first leave open whether it was carried out.
    private static bool IsUnanswered(Exception e) => e is OrleansException or TimeoutException or OperationCanceledException;

    /// <summary>Tokens that are cancelled a while after now, one for all calls that begin within a twentieth of that: a timer of its own would cost each call more than the rest of it.</summary>
    private sealed class SharedDeadlines(NodeClock clock, TimeSpan timeout)
    {
        private readonly TimeSpan _slice = timeout / 20;
        private Slice _current = new(default, default);

        public CancellationToken Next(Instant now)
        {
            var current = Volatile.Read(ref _current);
            if (now < current.EndsAt)
                return current.Token;
            var next = new Slice(now + _slice, new CancellationTokenSource(timeout + _slice, clock.Time).Token);
            Volatile.Write(ref _current, next); // two threads may both begin one; either token will do
            return next.Token;
        }

        private sealed record Slice(Instant EndsAt, CancellationToken Token);
    }
}
