using System.Runtime.CompilerServices;
using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// What one limiter, breaker or bulkhead of a node and its authority say to each other: the one place in which requests are numbered, repeated, given
/// up and taken back. Thread-safe.
/// </summary>
/// <param name="resource">What they speak of.</param>
/// <param name="authority">The grain.</param>
/// <param name="caller">How it is called.</param>
/// <param name="channel">Numbers the requests.</param>
internal sealed partial class Conversation<TAuthority>(ResourceName resource, TAuthority authority, AuthorityCaller caller, RequestChannel channel)
{
    private static readonly string Kind =
        typeof(TAuthority) == typeof(IRateLimiterProtocol) ? "limiter"
        : typeof(TAuthority) == typeof(ICircuitBreakerProtocol) ? "breaker"
        : "bulkhead";

    private int _isOut;

    public ResourceName Resource { get; } = resource;

    /// <summary>The policy, with its key where it has one.</summary>
    public string Name { get; } = resource.ToString();

    public AuthorityCaller Caller { get; } = caller;

    /// <summary>Under what name something is lent to this end.</summary>
    public Borrower Holder => channel.Holder;

    /// <summary>Asks under a number of its own, so that it is done once however often it has to be repeated.</summary>
    /// <param name="message">Handed to the question.</param>
    /// <param name="question">What kind of request it is.</param>
    /// <param name="cancellationToken">Of the caller; ends the call at once, and what was asked for is taken back in the background.</param>
    /// <exception cref="AuthorityUnavailableException">No answer within the call's time.</exception>
    /// <exception cref="OperationCanceledException">The caller cancelled.</exception>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<Reply<TAnswer>> AskAsync<TMessage, TAnswer>(
        TMessage message, Question<TAuthority, TMessage, TAnswer> question, CancellationToken cancellationToken)
        where TAnswer : struct, IEquatable<TAnswer>
    {
        cancellationToken.ThrowIfCancellationRequested();
        var id = channel.Open();
        var (asks, isTakenBack) = (0, false);
        try
        {
            while (true)
            {
                asks++;
                Caller.Meter.Called(Kind, Resource.Policy, isRepeat: false);
                var askedAt = Caller.Clock.Now;
                var isRepeated = false;
                TAnswer answer;
                try
                {
                    if (!cancellationToken.CanBeCanceled)
                    {
                        var answered = question.Send(authority, id, message);
                        answer = await AuthorityCaller.AnswerAsync(answered, Caller.FirstAttempt(askedAt)).ConfigureAwait(false);
                    }
                    else
                    {
                        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, Caller.FirstAttempt(askedAt));
                        answer = await AuthorityCaller.AnswerAsync(question.Send(authority, id, message), either.Token).ConfigureAwait(false);
                    }
                }
                catch (Exception e) when (AuthorityCaller.IsUnanswered(e))
                {
                    isRepeated = true;
                    answer = await CallAgainAsync(
                        (authority, id, message, question),
                        static call => call.question.Send(call.authority, call.id, call.message),
                        askedAt,
                        e,
                        cancellationToken).ConfigureAwait(false);
                }

                NoteAnswer();
                if (!answer.IsVoid())
                {
                    if (!question.IsUndecided(message, answer))
                        return new Reply<TAnswer>(answer, id, askedAt);
                    await Caller.Clock.WaitAsync(question.AskAgainAfter(message), cancellationToken).ConfigureAwait(false);
                    continue;
                }

                // An authority that does not do what was sent only once has not done it at all: it may be asked for anew.
                if (isRepeated || asks > 1)
                    throw AuthorityUnavailableException.ForVoidAnswer(Name);
                channel.Close(id);
                id = channel.Open();
            }
        }
        catch (Exception e) when (question.TakeBack is not null && IsLeftOpen(e, asks))
        {
            isTakenBack = true;
            Tell(TakeBackAsync(question.TakeBack, id));
            throw;
        }
        finally
        {
            if (!isTakenBack)
                channel.Close(id);
        }
    }

    /// <summary>Sends under a number of its own, without a repeat: what is lost is lost.</summary>
    /// <param name="message">Handed to <paramref name="send"/>.</param>
    /// <param name="send">Makes the grain call.</param>
    public async ValueTask<TAnswer> SendOnceAsync<TMessage, TAnswer>(
        TMessage message, Func<TAuthority, RequestId, TMessage, ValueTask<TAnswer>> send)
    {
        var id = channel.Open();
        Caller.Meter.Called(Kind, Resource.Policy, isRepeat: false);
        try
        {
            return await AuthorityCaller.AnswerAsync(send(authority, id, message), Caller.FirstAttempt(Caller.Clock.Now)).ConfigureAwait(false);
        }
        finally
        {
            channel.Close(id);
        }
    }

    /// <summary>Calls without a number, for what is safe to repeat by itself.</summary>
    /// <param name="message">Handed to <paramref name="send"/>.</param>
    /// <param name="send">Makes the grain call; invoked afresh for each attempt.</param>
    /// <param name="cancellationToken">Of the caller; ends the call at once.</param>
    /// <exception cref="AuthorityUnavailableException">No answer within the call's time.</exception>
    /// <exception cref="OperationCanceledException">The caller cancelled.</exception>
    public async ValueTask<TAnswer> CallAsync<TMessage, TAnswer>(
        TMessage message, Func<TAuthority, TMessage, ValueTask<TAnswer>> send, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var startedAt = Caller.Clock.Now;
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, Caller.FirstAttempt(startedAt));
        return await CallAsync(message, send, startedAt, either.Token, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// As <c>CallAsync</c>, for the next term of what is lent: repeated so soon that one lost message does not let the term run out.
    /// </summary>
    /// <param name="message">Handed to <paramref name="send"/>.</param>
    /// <param name="send">Makes the grain call; invoked afresh for each attempt.</param>
    /// <param name="longestAttempt">How long one attempt may take; absent: as long as the call's time allows.</param>
    public ValueTask<TAnswer> RenewAsync<TMessage, TAnswer>(
        TMessage message, Func<TAuthority, TMessage, ValueTask<TAnswer>> send, TimeSpan? longestAttempt = null)
    {
        var startedAt = Caller.Clock.Now;
        return CallAsync(message, send, startedAt, Caller.FirstRenewal(startedAt), CancellationToken.None, longestAttempt);
    }

    private async ValueTask<TAnswer> CallAsync<TMessage, TAnswer>(
        TMessage message,
        Func<TAuthority, TMessage, ValueTask<TAnswer>> send,
        Instant startedAt,
        CancellationToken firstAttempt,
        CancellationToken cancellationToken,
        TimeSpan? longestAttempt = null)
    {
        TAnswer answer;
        Caller.Meter.Called(Kind, Resource.Policy, isRepeat: false);
        try
        {
            answer = await AuthorityCaller.AnswerAsync(send(authority, message), firstAttempt).ConfigureAwait(false);
        }
        catch (Exception e) when (AuthorityCaller.IsUnanswered(e))
        {
            answer = await CallAgainAsync(
                (authority, message, send),
                static call => call.send(call.authority, call.message),
                startedAt,
                e,
                cancellationToken,
                longestAttempt).ConfigureAwait(false);
        }

        NoteAnswer();
        return answer;
    }

    /// <summary>
    /// Lets what is told to the authority go on in the background. Where it fails, nobody is left to hear of it: it is logged and counted.
    /// </summary>
    public void Tell(ValueTask telling) => _ = TryTellAsync(telling);

    private async Task TryTellAsync(ValueTask telling)
    {
        try
        {
            await telling.ConfigureAwait(false);
        }
        catch (Exception e)
        {
            Caller.Meter.Untold(Kind, Resource.Policy);
            if (e is not ReliabilityException)
                LogUntold(Caller.Logger, Name, e); // an authority that does not answer has been logged already
        }
    }

    private async ValueTask TakeBackAsync(Func<Conversation<TAuthority>, RequestId, ValueTask> takeBack, RequestId id)
    {
        try
        {
            await takeBack(this, id).ConfigureAwait(false);
        }
        finally
        {
            channel.Close(id);
        }
    }

    // An answer that is an exception leaves nothing behind, unless it is that to a repeated question of one who waits: he still has his place.
    private static bool IsLeftOpen(Exception e, int asks) => asks > 1 || e is OperationCanceledException or AuthorityUnavailableException;

    private void NoteAnswer()
    {
        if (Volatile.Read(ref _isOut) != 0 && Interlocked.Exchange(ref _isOut, 0) != 0)
            LogBack(Caller.Logger, Name);
    }

    private async ValueTask<TAnswer> CallAgainAsync<TCall, TAnswer>(
        TCall call,
        Func<TCall, ValueTask<TAnswer>> send,
        Instant startedAt,
        Exception failure,
        CancellationToken cancellationToken,
        TimeSpan? longestAttempt = null)
    {
        try
        {
            return await Caller.CallAgainAsync(
                Resource, Kind, call, send, startedAt, failure, cancellationToken, longestAttempt).ConfigureAwait(false);
        }
        catch (AuthorityUnavailableException e)
        {
            Caller.Meter.Unanswered(Kind, Resource.Policy);
            if (Interlocked.Exchange(ref _isOut, 1) == 0)
                LogOut(Caller.Logger, Name, e);
            throw;
        }
    }

    [LoggerMessage(
        EventId = 101, Level = LogLevel.Warning, Message = "The authority of {Name} does not answer. Further failures are not logged until it does.")]
    private static partial void LogOut(ILogger logger, string name, Exception exception);

    [LoggerMessage(EventId = 102, Level = LogLevel.Information, Message = "The authority of {Name} answers again.")]
    private static partial void LogBack(ILogger logger, string name);

    [LoggerMessage(EventId = 103, Level = LogLevel.Warning, Message = "Something could not be told to the authority of {Name}.")]
    private static partial void LogUntold(ILogger logger, string name, Exception exception);
}
