using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Slots of a bulkhead, held until disposed. The node renews what it holds in the background; where it cannot, <see cref="IsHeld"/> turns false and
/// <see cref="Lost"/> fires before the authority gives the slots to anybody else. Disposing frees the slots for the next on this node, or gives them
/// back where others wait; twice is harmless. Thread-safe.
/// </summary>
/// <remarks>
/// A process that stands still (a collection, a frozen machine) for longer than the lease runs no callback in the meantime: look at
/// <see cref="IsHeld"/> before each step that must not be taken without the slots, or have whoever takes it compare the
/// <see cref="FencingToken"/>.
/// </remarks>
public sealed class BulkheadPermit : RateLimitLease, IAsyncDisposable
{
    private readonly BulkheadNode _bulkhead;
    private readonly SlotLot _lot;
    private readonly int _slots; // of one that is refused: why
    private int _isDisposed;
    private CancellationTokenSource? _lost;

    internal BulkheadPermit(BulkheadNode bulkhead, SlotLot lot, int slots)
    {
        (_bulkhead, _lot, _slots) = (bulkhead, lot, slots);
        FencingToken = lot.Number;
    }

    /// <summary>A refusal.</summary>
    internal BulkheadPermit(BulkheadNode bulkhead, RefusalReason reason) => (_bulkhead, _lot, _slots) = (bulkhead, SlotLot.None, (int)reason);

    /// <summary>Whether slots were given. Whether they are still held, <see cref="IsHeld"/> tells.</summary>
    public override bool IsAcquired => _lot != SlotLot.None;

    /// <summary>
    /// Whether the slots are held at this instant, by this node's clock: acquired, not disposed, and not lost. Costs a read of the clock.
    /// </summary>
    public bool IsHeld =>
        IsAcquired && Volatile.Read(ref _isDisposed) == 0 && !_lot.IsOver && _bulkhead.Now < _lot.ValidUntil;

    /// <summary>
    /// Grows with each grant of the authority to a node, also from one activation to the next; 0 where nothing was acquired. Permits of one node that
    /// stem from one grant share it. With a capacity of 1, whoever compares it downstream can tell a permit that was lost from its successor.
    /// </summary>
    /// <remarks>The fencing token of M. Kleppmann, How to do distributed locking (2016).</remarks>
    public long FencingToken { get; }

    /// <summary>
    /// Cancelled once the permit could not be renewed and may soon be somebody else's: stop what the slots protect. Never cancelled by disposing. The
    /// callbacks of each permit run on the thread pool, and one that throws or is slow is no matter to other permits.
    /// </summary>
    public CancellationToken Lost
    {
        get
        {
            if (!IsAcquired)
                return default;
            if (Volatile.Read(ref _lost) is { } known)
                return known.Token;
            var created = new CancellationTokenSource();
            if (Interlocked.CompareExchange(ref _lost, created, null) is { } other)
                return other.Token;
            if (Volatile.Read(ref _isDisposed) == 0 && !_lot.TryWatch(created))
                created.Cancel(); // lost before anybody looked
            return created.Token;
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<string> MetadataNames => IsAcquired ? [] : RefusalMetadata.Names(_bulkhead.Resource, hasRetryAfter: false);

    /// <inheritdoc/>
    public override bool TryGetMetadata(string metadataName, out object? metadata)
    {
        metadata = IsAcquired ? null : RefusalMetadata.Find(metadataName, _bulkhead.Resource, (RefusalReason)_slots, null);
        return metadata is not null;
    }

    /// <summary>As <see cref="RateLimitLease.Dispose()"/>; completes at once.</summary>
    public ValueTask DisposeAsync()
    {
        Dispose();
        return default;
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (IsAcquired && Interlocked.Exchange(ref _isDisposed, 1) == 0)
        {
            if (Volatile.Read(ref _lost) is { } lost)
                _lot.Unwatch(lost);
            if (!_lot.TryGiveBack(_slots))
                _bulkhead.Release(_lot, _slots);
        }

        base.Dispose(disposing);
    }
}
