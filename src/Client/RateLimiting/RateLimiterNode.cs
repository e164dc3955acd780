using System.Runtime.CompilerServices;
using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The shell of a limiter on its node: one per node and name, whatever objects point to it. It asks the authority, waits for promised tokens, and
/// counts.
/// </summary>
internal sealed class RateLimiterNode
{
    private static readonly Question<IRateLimiterProtocol, (int Tokens, bool MayWait), TokenGrant> Acquire = new()
    {
        Send = static (authority, id, ask, token) => authority.AcquireAsync(new TokenRequest(id, ask.Tokens, ask.MayWait), token),
        IsUndecided = static grant => grant.AskAgainAfter > TimeSpan.Zero,
        AskAgainAfter = static grant => grant.AskAgainAfter,
        TakeBack = static (conversation, id) => CancelAsync(conversation, id),
    };

    private static readonly Question<IRateLimiterProtocol, bool, Acknowledgement> Refill = new()
    {
        Send = static (authority, id, _, token) => authority.ResetAsync(id, token),
    };

    private readonly Conversation<IRateLimiterProtocol> _conversation;
    private readonly NodeClock _clock;
    private long _admitted;
    private long _refused;
    private int _waiting;
    private long _lastUsedAt;
    private volatile int _burst;

    public RateLimiterNode(Conversation<IRateLimiterProtocol> conversation)
    {
        _conversation = conversation;
        _clock = conversation.Caller.Clock;
        _lastUsedAt = _clock.Now.Ticks;
        Limiter = new ClusterRateLimiter(this);
    }

    /// <summary>The public face.</summary>
    public ClusterRateLimiter Limiter { get; }

    /// <summary>Null while callers wait here.</summary>
    public TimeSpan? IdleFor => Volatile.Read(ref _waiting) > 0 ? null : _clock.Now - new Instant(Volatile.Read(ref _lastUsedAt));

    public RateLimiterStatistics Statistics => new()
    {
        TotalSuccessfulLeases = Interlocked.Read(ref _admitted),
        TotalFailedLeases = Interlocked.Read(ref _refused),
        CurrentQueuedCount = Volatile.Read(ref _waiting),
    };

    /// <summary>Without a call. What is above the burst is refused as such once an answer has told the burst.</summary>
    /// <exception cref="ArgumentOutOfRangeException">More than the burst.</exception>
    public TokenLease Attempt(int permitCount)
    {
        if (_burst is > 0 and var burst && permitCount > burst)
            throw PermitCount.IsAbove(burst, permitCount);
        Count(isAdmitted: false);
        return TokenLease.NoLocalStock;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<RateLimitLease> AcquireAsync(int permitCount, bool mayWait, CancellationToken cancellationToken)
    {
        Reply<TokenGrant> reply;
        var waits = mayWait ? 1 : 0;
        Interlocked.Add(ref _waiting, waits);
        try
        {
            reply = await _conversation.AskAsync((permitCount, mayWait), Acquire, cancellationToken).ConfigureAwait(false);
            _burst = reply.Answer.Burst;
            if (reply.Answer.ReadyAfter > TimeSpan.Zero)
                await WaitAsync(reply.Id, reply.Answer.ReadyAfter, cancellationToken).ConfigureAwait(false);
        }
        catch (AuthorityUnavailableException)
        {
            Count(isAdmitted: false);
            return TokenLease.Unavailable;
        }
        catch (ArgumentOutOfRangeException e)
        {
            throw PermitCount.IsRefused(e, permitCount);
        }
        finally
        {
            Interlocked.Add(ref _waiting, -waits);
        }

        Count(reply.Answer.IsGranted);
        return TokenLease.From(reply.Answer);
    }

    public async Task ResetAsync(CancellationToken cancellationToken) =>
        await _conversation.AskAsync(true, Refill, cancellationToken).ConfigureAwait(false);

    public ValueTask<RateLimiterStatus> GetStatusAsync(CancellationToken cancellationToken) =>
        _conversation.CallAsync(true, static (authority, _, token) => authority.GetStatusAsync(token), cancellationToken);

    private async ValueTask WaitAsync(RequestId id, TimeSpan readyAfter, CancellationToken cancellationToken)
    {
        try
        {
            await _clock.WaitAsync(readyAfter, cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            _conversation.Tell(CancelAsync(_conversation, id));
            throw;
        }
    }

    // Where it fails the tokens are lost, and nobody is admitted too many.
    private static async ValueTask CancelAsync(Conversation<IRateLimiterProtocol> conversation, RequestId id) =>
        await conversation.CallAsync(
            new TokenCancellation(id),
            static (authority, cancellation, token) => authority.CancelAsync(cancellation, token),
            CancellationToken.None).ConfigureAwait(false);

    private void Count(bool isAdmitted)
    {
        Interlocked.Increment(ref isAdmitted ? ref _admitted : ref _refused);
        Volatile.Write(ref _lastUsedAt, _clock.Now.Ticks);
    }
}
