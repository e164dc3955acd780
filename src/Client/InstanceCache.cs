using System.Collections.Concurrent;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// What a node has of one kind, by name: one object per name for as long as anybody points to it. It keeps a bounded number at hand; of the others it
/// knows only while the application keeps them. Thread-safe.
/// </summary>
/// <param name="capacity">How many are kept at hand; beyond it, those not asked for since the last sweep go first.</param>
/// <param name="create">Makes one.</param>
/// <param name="letGo">Told of each that is not kept at hand any more; it may be asked for again.</param>
internal sealed class InstanceCache<T>(int capacity, Func<ResourceName, T> create, Action<T>? letGo = null)
    where T : class
{
    private readonly ConcurrentDictionary<ResourceName, Entry> _atHand = new();
    private readonly Dictionary<ResourceName, WeakReference<T>> _letGo = [];
    private readonly Lock _lock = new();
    private int _sweeps;
    private int _sweepLetGoAt = 64;

    /// <summary>How many are kept at hand.</summary>
    public int Count => _atHand.Count;

    /// <summary>How many names are remembered of those that were let go; some of them may be gone by now.</summary>
    public int LetGoCount
    {
        get
        {
            lock (_lock)
                return _letGo.Count;
        }
    }

    /// <summary>Those at hand, and those that were let go and that somebody still points to.</summary>
    public List<T> Alive
    {
        get
        {
            lock (_lock)
            {
                var alive = _atHand.Values.Select(static entry => entry.Value).ToList();
                foreach (var reference in _letGo.Values)
                {
                    if (reference.TryGetTarget(out var kept))
                        alive.Add(kept);
                }

                return alive;
            }
        }
    }

    public T Get(string policy, string? key)
    {
        if (policy is not null && _atHand.TryGetValue(new ResourceName(policy, key), out var entry))
        {
            if (entry.LastSweep != _sweeps)
                entry.LastSweep = _sweeps;
            return entry.Value;
        }

        return Find(ResourceName.Of(policy!, key));
    }

    private T Find(ResourceName name)
    {
        var victims = Array.Empty<KeyValuePair<ResourceName, Entry>>();
        var value = Find(name, ref victims);
        foreach (var (_, victim) in victims)
            letGo?.Invoke(victim.Value);
        return value;
    }

    private T Find(ResourceName name, ref KeyValuePair<ResourceName, Entry>[] victims)
    {
        lock (_lock)
        {
            if (_atHand.TryGetValue(name, out var entry))
                return entry.Value;
            entry = new Entry(_letGo.Remove(name, out var kept) && kept.TryGetTarget(out var value) ? value : create(name)) { LastSweep = _sweeps };
            _atHand[name] = entry;
            if (_atHand.Count > capacity)
                victims = Sweep(entry);
            return entry.Value;
        }
    }

    private KeyValuePair<ResourceName, Entry>[] Sweep(Entry newest)
    {
        // A tenth more than must go, so that not every new name sweeps.
        var excess = _atHand.Count - capacity + (capacity / 10);
        var victims = _atHand.Where(entry => entry.Value != newest).OrderBy(entry => entry.Value.LastSweep).Take(excess).ToArray();
        foreach (var victim in victims)
        {
            _atHand.TryRemove(victim);
            _letGo[victim.Key] = new WeakReference<T>(victim.Value.Value);
        }

        _sweeps++;
        if (_letGo.Count >= _sweepLetGoAt)
            ForgetTheGone();
        return victims;
    }

    // Each time that there are twice as many as were left alive the last time: so a new name costs no more for it.
    private void ForgetTheGone()
    {
        foreach (var (name, reference) in _letGo)
        {
            if (!reference.TryGetTarget(out _))
                _letGo.Remove(name);
        }

        _letGo.TrimExcess();
        _sweepLetGoAt = Math.Max(64, 2 * _letGo.Count);
    }

    private sealed class Entry(T value)
    {
        public T Value { get; } = value;

        public int LastSweep { get; set; }
    }
}
