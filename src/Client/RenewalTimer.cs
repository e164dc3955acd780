namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The one timer of a node's limiters and breakers: it wakes each when something is due there, those of one instant in batches that do not wait for
/// each other. Thread-safe.
/// </summary>
internal sealed class RenewalTimer
{
    // Some 10 µs each: what falls due in the meantime is late by a millisecond at most.
    private const int MostInABatch = 64;

    private readonly NodeClock _clock;
    private readonly Lock _lock = new();
    private readonly PriorityQueue<IHasDueTime, long> _due = new();
    private readonly ITimer _timer;
    private Instant _setFor = Instant.Never;

    public RenewalTimer(NodeClock clock)
    {
        _clock = clock;
        _timer = clock.CreateTimer(static self => ((RenewalTimer)self!).WakeDue(), this);
    }

    /// <summary>Wakes it then, or earlier; it plans anew when it is woken.</summary>
    public void Plan(IHasDueTime node, Instant at)
    {
        if (at >= node.PlannedAt)
            return;
        lock (_lock)
        {
            if (at >= node.PlannedAt)
                return;
            node.PlannedAt = at;
            _due.Enqueue(node, at.Ticks);
            if (at < _setFor)
                SetFor(at);
        }
    }

    private void WakeDue()
    {
        var batch = new List<IHasDueTime>();
        bool isMoreDue;
        lock (_lock)
        {
            var now = _clock.Now;
            while (batch.Count < MostInABatch && TryTakeDue(now, out var node))
                batch.Add(node);
            isMoreDue = _due.TryPeek(out _, out var next) && next <= now.Ticks;
            SetFor(isMoreDue || _due.Count == 0 ? Instant.Never : new Instant(next));
        }

        if (isMoreDue)
            ThreadPool.UnsafeQueueUserWorkItem(static self => self.WakeDue(), this, preferLocal: false);
        foreach (var node in batch)
            node.OnTime();
    }

    // Some were planned for a later time before.
    private bool TryTakeDue(Instant now, out IHasDueTime node)
    {
        while (_due.TryPeek(out node!, out var at) && at <= now.Ticks)
        {
            _due.Dequeue();
            if (node.PlannedAt.Ticks != at)
                continue;
            node.PlannedAt = Instant.Never;
            return true;
        }

        return false;
    }

    private void SetFor(Instant at)
    {
        _setFor = at;
        var wait = at == Instant.Never ? Timeout.InfiniteTimeSpan : TimeSpan.FromMilliseconds(Math.Ceiling(at.After(_clock.Now).TotalMilliseconds));
        _timer.Change(wait, Timeout.InfiniteTimeSpan);
    }
}

/// <summary>Something that the timer wakes.</summary>
internal interface IHasDueTime
{
    /// <summary>When it is to be woken; the timer's own.</summary>
    Instant PlannedAt { get; set; }

    /// <summary>Something is due.</summary>
    void OnTime();
}
