using System.Threading.RateLimiting;
using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// How many retries there may be for the calls that are made, so that retries do not double the load on what is down already: in any time at most
/// <c>share · calls + perSecond · seconds</c>, and a reserve of ten seconds' worth (at least one). Without it, three attempts per call are three
/// times the load just when it cannot be borne. As in Finagle's RetryBudget and in the Google SRE book (Handling Overload). Thread-safe; one budget
/// may serve several <see cref="Retry"/>.
/// </summary>
public sealed partial class RetryBudget
{
    private static readonly TimeSpan ReserveOf = TimeSpan.FromSeconds(10);

    private readonly double _share;
    private readonly double _perSecond;
    private readonly RateLimiter? _shared;
    private readonly NodeClock _clock;
    private readonly StripedCount _calls = new();
    private readonly Lock _lock = new();
    private double _level;
    private long _callsSeen;
    private Instant _lookedAt;
    private int _hasSharedFailed;

    /// <summary>A budget with its reserve in it.</summary>
    /// <param name="share">Of the calls. Default 0.2; 0 to 1.</param>
    /// <param name="perSecond">Besides, for those who call seldom. Default 10; 0 to 1,000,000.</param>
    /// <param name="shared">
    /// A limiter that each retry also takes a token of, so that a fleet has one budget: <c>toolkit.GetRateLimiter("retries")</c>. Not waited for;
    /// where its authority does not answer, the node's own budget decides alone. Default: none.
    /// </param>
    /// <param name="timeProvider">Default: the system's.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is out of its range.</exception>
    public RetryBudget(double share = 0.2, double perSecond = 10, RateLimiter? shared = null, TimeProvider? timeProvider = null)
    {
        if (share is not (>= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(share), share, "A share is 0 to 1.");
        if (perSecond is not (>= 0 and <= 1_000_000))
            throw new ArgumentOutOfRangeException(nameof(perSecond), perSecond, "0 to 1,000,000 a second.");
        (_share, _perSecond) = (share, perSecond);
        _shared = shared is ClusterRateLimiter limiter ? limiter.WithoutWaiting() : shared;
        _clock = new NodeClock(timeProvider ?? TimeProvider.System);
        (_level, _lookedAt) = (Reserve, _clock.Now);
    }

    private double Reserve => Math.Max(1, _perSecond * ReserveOf.TotalSeconds);

    /// <summary>A call is made: its first attempt.</summary>
    internal void NoteCall() => _calls.Add();

    /// <summary>Whether there may be another attempt; it is then spent. Never throws: it would hide the error that is to be retried.</summary>
    internal async ValueTask<bool> TryTakeAsync(ILogger? logger, CancellationToken cancellationToken)
    {
        if (!TryTake(_clock.Now))
            return false;
        if (_shared is null)
            return true;
        try
        {
            using var lease = await _shared.AcquireAsync(1, cancellationToken).ConfigureAwait(false);
            return lease.IsAcquired
                || (lease.TryGetMetadata(ToolkitMetadata.Reason, out var reason) && reason == RefusalReason.AuthorityUnavailable);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return false; // nobody wants it any more
        }
        catch (Exception e)
        {
            if (logger is not null && Interlocked.Exchange(ref _hasSharedFailed, 1) == 0)
                LogSharedFailed(logger, e);
            return true; // the node's own has decided
        }
    }

    internal bool TryTake(Instant now)
    {
        lock (_lock)
        {
            var calls = _calls.Sum;
            var seconds = Math.Max(0, (now - _lookedAt).TotalSeconds);
            _level = Math.Min(Reserve, _level + (_share * (calls - _callsSeen)) + (_perSecond * seconds));
            (_callsSeen, _lookedAt) = (calls, Instant.Later(_lookedAt, now));
            if (_level < 1)
                return false;
            _level--;
            return true;
        }
    }

    [LoggerMessage(
        EventId = 115,
        Level = LogLevel.Error,
        Message = "The limiter of the shared retry budget has thrown; the node's own budget decides. Not logged again for this budget.")]
    private static partial void LogSharedFailed(ILogger logger, Exception exception);
}
