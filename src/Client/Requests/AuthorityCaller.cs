using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// How a node calls the authorities. A call that got no answer is made again, with full jitter, until its time is over: all requests are safe to
/// repeat.
/// </summary>
internal sealed class AuthorityCaller(NodeClock clock, Chance chance, TimeSpan timeout, ILogger logger, NodeMeter meter)
{
    private static readonly TimeSpan BaseDelay = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan MaxDelay = TimeSpan.FromMilliseconds(200);

    // The first attempt may take half of the time, so that one lost message does not cost the call.
    private readonly SharedDeadlines _firstAttempts = new(clock, timeout / 2);

    private readonly SharedDeadlines _firstRenewals = new(clock, Sooner(timeout / 2, LeaseTerm.RenewAfter(LeaseTerm.OfPart)));

    public NodeClock Clock { get; } = clock;

    public Chance Chance { get; } = chance;

    public ILogger Logger { get; } = logger;

    public NodeMeter Meter { get; } = meter;

    /// <summary>How long a call waits for an answer, repeats included.</summary>
    public TimeSpan Timeout { get; } = timeout;

    /// <summary>
    /// How long an authority may hold the call of one who waits: short of any attempt, so that a waiter notices as soon as others that it has gone.
    /// </summary>
    public TimeSpan Hold { get; } = timeout / 4;

    /// <summary>The deadline of a call's first attempt.</summary>
    public CancellationToken FirstAttempt(Instant startedAt) => _firstAttempts.Next(startedAt);

    /// <summary>Of one that is to be made again while what it renews still stands.</summary>
    public CancellationToken FirstRenewal(Instant startedAt) => _firstRenewals.Next(startedAt);

    /// <summary>Everything but an answer of the grain: rejected, shed, lost, late. All but the first leave open whether it was carried out.</summary>
    public static bool IsUnanswered(Exception e) =>
        e is OrleansException or TimeoutException or OperationCanceledException or ObjectDisposedException or AuthorityUnavailableException;

    /// <summary>
    /// What the grain answers, while the token is not cancelled. The grain hears nothing of that: to cancel a call that it has answered already, or
    /// that was lost, keeps it busy for seconds, and as long as it is busy it can neither be moved nor succeeded.
    /// </summary>
    /// <exception cref="OperationCanceledException">The token was cancelled; whether the request was carried out is unknown.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public static async ValueTask<TAnswer> AnswerAsync<TAnswer>(ValueTask<TAnswer> answer, CancellationToken cancellationToken)
    {
        if (answer.IsCompleted)
            return await answer.ConfigureAwait(false);
        var answered = answer.AsTask();
        try
        {
            return await answered.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            if (!answered.IsCompleted)
                answered.Ignore(); // one that fails later is nobody's any more
        }
    }

    /// <summary>The further attempts of a call.</summary>
    /// <param name="resource">What it is about.</param>
    /// <param name="kind">Limiter, breaker or bulkhead.</param>
    /// <param name="call">Handed to <paramref name="send"/>.</param>
    /// <param name="send">Makes the grain call; invoked afresh for each attempt.</param>
    /// <param name="startedAt">When the first attempt was made.</param>
    /// <param name="failure">What it ran into.</param>
    /// <param name="cancellationToken">Of the caller; ends the call at once.</param>
    /// <param name="longestAttempt">How long one attempt may take; absent: as long as the call's time allows.</param>
    /// <exception cref="AuthorityUnavailableException">No answer in time, or none to be had: this node's host has stopped.</exception>
    /// <exception cref="OperationCanceledException">The caller cancelled; whether the request was carried out is unknown.</exception>
    public async ValueTask<TAnswer> CallAgainAsync<TCall, TAnswer>(
        ResourceName resource,
        string kind,
        TCall call,
        Func<TCall, ValueTask<TAnswer>> send,
        Instant startedAt,
        Exception failure,
        CancellationToken cancellationToken,
        TimeSpan? longestAttempt = null)
    {
        for (var failedAttempts = 1; ; failedAttempts++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var delay = Backoff.Delay(BaseDelay, MaxDelay, failedAttempts, Chance.Next());
            var left = startedAt + Timeout - Clock.Now - delay;
            if (left <= TimeSpan.Zero || failure is ObjectDisposedException)
                throw new AuthorityUnavailableException(resource.ToString(), Timeout, failure);
            await Task.Delay(delay, Clock.Time, cancellationToken).ConfigureAwait(false);
            Meter.Called(kind, resource.Policy, isRepeat: true);
            try
            {
                using var deadline = new CancellationTokenSource(Sooner(TimeForAttempt(left), longestAttempt ?? left), Clock.Time);
                using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
                return await AnswerAsync(send(call), either.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (IsUnanswered(e))
            {
                failure = e;
            }
        }
    }

    private static TimeSpan Sooner(TimeSpan left, TimeSpan right) => left < right ? left : right;

    // Half of what is left, so that one that hangs leaves time for another; but enough for an authority that holds the call.
    private TimeSpan TimeForAttempt(TimeSpan left)
    {
        var attempt = left / 2 > Hold * 1.5 ? left / 2 : Hold * 1.5;
        return attempt < left ? attempt : left;
    }

    /// <summary>
    /// Tokens that are cancelled a while after now, one for all calls that begin within a twentieth of that: a timer of its own would cost each call
    /// more than the rest of it.
    /// </summary>
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
