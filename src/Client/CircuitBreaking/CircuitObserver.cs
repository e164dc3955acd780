namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Where a node hears the authorities' hints: one object for all its breakers, kept in a field, for Orleans itself holds it weakly. Thread-safe.
/// </summary>
/// <param name="refer">Makes the reference that authorities are given; null where nobody can reach this node.</param>
/// <param name="release">Takes it back.</param>
internal sealed class CircuitObserver(Func<ICircuitObserver, ICircuitObserver?>? refer = null, Action<ICircuitObserver>? release = null)
    : ICircuitObserver
{
    private readonly Dictionary<int, WeakReference<CircuitBreakerNode>> _breakers = [];
    private readonly Lock _lock = new();
    private ICircuitObserver? _reference;
    private bool _isReleased;
    private int _sweepAt = 64;

    /// <summary>To be sent along with each renewal.</summary>
    public ICircuitObserver? Reference
    {
        get
        {
            if (Volatile.Read(ref _reference) is { } known)
                return known;
            lock (_lock)
                return _reference ??= _isReleased ? null : refer?.Invoke(this);
        }
    }

    public void Add(int channel, CircuitBreakerNode breaker)
    {
        lock (_lock)
        {
            _breakers[channel] = new WeakReference<CircuitBreakerNode>(breaker);
            if (_breakers.Count < _sweepAt)
                return;
            foreach (var (gone, reference) in _breakers)
            {
                if (!reference.TryGetTarget(out _))
                    _breakers.Remove(gone);
            }

            _sweepAt = Math.Max(64, 2 * _breakers.Count);
        }
    }

    /// <inheritdoc/>
    public void Changed(int channel, long epoch, long version)
    {
        CircuitBreakerNode? breaker = null;
        lock (_lock)
        {
            if (_breakers.TryGetValue(channel, out var reference))
                reference.TryGetTarget(out breaker);
        }

        breaker?.Hint(epoch, version);
    }

    /// <summary>Nothing is heard any more.</summary>
    public void Release()
    {
        ICircuitObserver? reference;
        lock (_lock)
        {
            (reference, _reference, _isReleased) = (_reference, null, true);
        }

        if (reference is not null)
            release?.Invoke(reference);
    }
}
