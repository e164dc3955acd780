using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Slots of a bulkhead, held until disposed. The node renews it in the background; where it cannot, <see cref="Lost"/> fires before the authority
/// gives the slots to anybody else. Disposing frees the slots; twice is harmless.
/// </summary>
public sealed class BulkheadPermit : RateLimitLease
{
    internal static readonly BulkheadPermit NoLocalStock = new(RefusalReason.NoLocalStock);
    internal static readonly BulkheadPermit Unavailable = new(RefusalReason.AuthorityUnavailable);

    private static readonly string[] Names = [MetadataName.ReasonPhrase.Name, ToolkitMetadata.Reason.Name];

    private readonly BulkheadNode? _bulkhead;
    private readonly RequestId _id;
    private readonly RefusalReason _reason;
    private CancellationTokenSource? _lost;
    private int _isDisposed;
    private volatile bool _isLost;

    internal BulkheadPermit(BulkheadNode bulkhead, in RequestId id, long number)
    {
        _bulkhead = bulkhead;
        _id = id;
        Number = number;
        IsAcquired = true;
    }

    internal BulkheadPermit(RefusalReason reason) => _reason = reason;

    /// <summary>Whether slots were given. Whether they are still held, <see cref="Lost"/> tells.</summary>
    public override bool IsAcquired { get; }

    /// <summary>
    /// Cancelled once the permit could not be renewed and may soon be somebody else's: stop what the slots protect. Never cancelled by disposing.
    /// </summary>
    public CancellationToken Lost
    {
        get
        {
            var source = Volatile.Read(ref _lost);
            if (source is null)
            {
                var created = new CancellationTokenSource();
                source = Interlocked.CompareExchange(ref _lost, created, null) ?? created;
            }

            if (_isLost)
                source.Cancel(); // lost before anybody looked
            return source.Token;
        }
    }

    /// <inheritdoc/>
    public override IEnumerable<string> MetadataNames => IsAcquired ? [] : Names;

    internal long Number { get; }

    /// <inheritdoc/>
    public override bool TryGetMetadata(string metadataName, out object? metadata)
    {
        metadata = IsAcquired ? null
            : metadataName == MetadataName.ReasonPhrase.Name ? _reason.ToString()
            : metadataName == ToolkitMetadata.Reason.Name ? _reason
            : null;
        return metadata is not null;
    }

    /// <summary>Fires <see cref="Lost"/>.</summary>
    internal void Lose()
    {
        _isLost = true;
        Volatile.Read(ref _lost)?.Cancel();
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (_bulkhead is not null && Interlocked.Exchange(ref _isDisposed, 1) == 0)
            _bulkhead.Release(this, _id);
        base.Dispose(disposing);
    }
}
