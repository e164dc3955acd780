using System.Threading.RateLimiting;
using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans;

/// <summary>The shell around <see cref="TokenDebt"/>: it wakes when a piece is due, and acquires that. Thread-safe.</summary>
/// <param name="name">Of the limiter, for the log.</param>
/// <param name="clock">The node's.</param>
/// <param name="timer">The node's.</param>
/// <param name="logger">Hears of pieces that cannot be acquired.</param>
/// <param name="most">That one acquire may ask for, and that may be owed in all: the burst, as it was last heard.</param>
/// <param name="acquire">Takes tokens of the limiter, or waits for them.</param>
internal sealed partial class DebtRepayment(
    string name, NodeClock clock, RenewalTimer timer, ILogger logger, Func<int> most, Func<int, ValueTask<RateLimitLease>> acquire) : IHasDueTime
{
    private readonly Lock _lock = new();
    private readonly TokenDebt _debt = new();
    private long _plannedAt = Instant.Never.Ticks;

    /// <inheritdoc/>
    public Instant PlannedAt
    {
        get => new(Volatile.Read(ref _plannedAt));
        set => Volatile.Write(ref _plannedAt, value.Ticks);
    }

    /// <summary>More was spent than taken.</summary>
    /// <returns>So much is owed; the rest is forgiven.</returns>
    public long Owe(long tokens)
    {
        lock (_lock)
        {
            var owed = _debt.Owe(tokens, most(), clock.Now);
            timer.Plan(this, _debt.NextAt);
            return owed;
        }
    }

    /// <inheritdoc/>
    public void OnTime()
    {
        int piece;
        lock (_lock)
        {
            piece = _debt.TakePiece(most(), clock.Now);
            timer.Plan(this, _debt.NextAt);
        }

        if (piece > 0)
            _ = RepayAsync(piece);
    }

    private async Task RepayAsync(int piece)
    {
        var isAcquired = false;
        try
        {
            using var lease = await acquire(piece).ConfigureAwait(false);
            isAcquired = lease == TokenLease.Acquired;
        }
        catch (Exception e)
        {
            LogNotRepaid(logger, name, e);
        }

        lock (_lock)
        {
            _debt.Repaid(piece, isAcquired, clock.Now);
            timer.Plan(this, _debt.NextAt);
        }
    }

    [LoggerMessage(EventId = 116, Level = LogLevel.Warning, Message = "What the node owes {Name} could not be repaid yet.")]
    private static partial void LogNotRepaid(ILogger logger, string name, Exception exception);
}
