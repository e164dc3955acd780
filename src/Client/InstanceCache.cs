using System.Collections.Concurrent;

namespace ReliabilityToolkit.Orleans;

/// <summary>The client objects of one kind, by name: bounded, and those that were not asked for since the last sweep go first. Thread-safe.</summary>
internal sealed class InstanceCache<T>(int capacity, Func<ResourceName, T> create)
    where T : class
{
    private readonly ConcurrentDictionary<ResourceName, Entry> _entries = new();
    private readonly Lock _sweeping = new();
    private int _sweeps;

    public int Count => _entries.Count;

    public T Get(string policy, string? key)
    {
        if (policy is not null && _entries.TryGetValue(new ResourceName(policy, key), out var entry))
        {
            if (entry.LastSweep != _sweeps)
                entry.LastSweep = _sweeps;
            return entry.Value;
        }

        entry = _entries.GetOrAdd(ResourceName.Of(policy!, key), static (name, cache) => new Entry(cache.create(name)) { LastSweep = cache._sweeps }, (create, _sweeps));
        if (_entries.Count > capacity)
            Sweep(entry);
        return entry.Value;
    }

    private void Sweep(Entry newest)
    {
        lock (_sweeping)
        {
            var excess = _entries.Count - capacity;
            if (excess <= 0)
                return;

            // A tenth more than must go, so that not every new name sweeps.
            var victims = _entries.Where(entry => entry.Value != newest).OrderBy(entry => entry.Value.LastSweep).Take(excess + (capacity / 10));
            foreach (var victim in victims.ToArray())
                _entries.TryRemove(victim);
            _sweeps++;
        }
    }

    private sealed class Entry(T value)
    {
        public T Value { get; } = value;

        public int LastSweep { get; set; }
    }
}
