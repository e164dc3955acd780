namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Where a node hears the authorities' hints: one object for all its breakers and bulkheads, kept in a field, for Orleans itself holds it weakly.
/// Thread-safe.
/// </summary>
/// <param name="refer">Makes the reference that authorities are given; null where nobody can reach this node.</param>
/// <param name="release">Takes it back.</param>
internal sealed class NodeObserver(Func<INodeObserver, INodeObserver?>? refer = null, Action<INodeObserver>? release = null) : INodeObserver
{
    private readonly Dictionary<int, WeakReference<IHearsHints>> _hearers = [];
    private readonly Lock _lock = new();
    private INodeObserver? _reference;
    private bool _isReleased;
    private int _sweepAt = 64;

    /// <summary>To be sent along with each renewal.</summary>
    public INodeObserver? Reference
    {
        get
        {
            if (Volatile.Read(ref _reference) is { } known)
                return known;
            lock (_lock)
                return _reference ??= _isReleased ? null : refer?.Invoke(this);
        }
    }

    public void Add(int channel, IHearsHints hearer)
    {
        lock (_lock)
        {
            _hearers[channel] = new WeakReference<IHearsHints>(hearer);
            if (_hearers.Count < _sweepAt)
                return;
            foreach (var (gone, reference) in _hearers)
            {
                if (!reference.TryGetTarget(out _))
                    _hearers.Remove(gone);
            }

            _sweepAt = Math.Max(64, 2 * _hearers.Count);
        }
    }

    /// <inheritdoc/>
    public void Changed(int channel, long epoch, long version, int wanted)
    {
        IHearsHints? hearer = null;
        lock (_lock)
        {
            if (_hearers.TryGetValue(channel, out var reference))
                reference.TryGetTarget(out hearer);
        }

        hearer?.Hint(epoch, version, wanted);
    }

    /// <summary>Nothing is heard any more.</summary>
    public void Release()
    {
        INodeObserver? reference;
        lock (_lock)
        {
            (reference, _reference, _isReleased) = (_reference, null, true);
        }

        if (reference is not null)
            release?.Invoke(reference);
    }
}

/// <summary>Something on the node that an authority gives hints to.</summary>
internal interface IHearsHints
{
    /// <summary>See <see cref="INodeObserver.Changed"/>.</summary>
    void Hint(long epoch, long version, int wanted);
}
