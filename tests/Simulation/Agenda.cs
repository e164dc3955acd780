namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>What is to happen, in order of time, and of the planning where the time is the same.</summary>
internal sealed class Agenda
{
    private Entry[] _heap = new Entry[16];
    private int _count;
    private long _planned;

    public bool IsEmpty => _count == 0;

    /// <summary>When the next thing is to happen.</summary>
    public Instant NextAt => _heap[0].At;

    public void Plan(Instant at, What what, SimulatedNode? node, object? message = null)
    {
        if (_count == _heap.Length)
            Array.Resize(ref _heap, 2 * _count);
        var entry = new Entry(at, ++_planned, what, node, message);
        var i = _count++;
        while (i > 0)
        {
            var parent = (i - 1) / 4;
            if (!entry.IsBefore(_heap[parent]))
                break;
            _heap[i] = _heap[parent];
            i = parent;
        }

        _heap[i] = entry;
    }

    public Entry Take()
    {
        var top = _heap[0];
        var last = _heap[--_count];
        _heap[_count] = default;
        var i = 0;
        while (true)
        {
            var first = (4 * i) + 1;
            if (first >= _count)
                break;
            var least = first;
            for (var child = first + 1; child < first + 4 && child < _count; child++)
            {
                if (_heap[child].IsBefore(_heap[least]))
                    least = child;
            }

            if (!_heap[least].IsBefore(last))
                break;
            _heap[i] = _heap[least];
            i = least;
        }

        if (_count > 0)
            _heap[i] = last;
        return top;
    }
}

/// <summary>What can happen.</summary>
internal enum What
{
    /// <summary>A caller comes to a node.</summary>
    Arrival,

    /// <summary>One who was refused comes back when he was told to.</summary>
    Return,

    /// <summary>A caller's patience is at its end.</summary>
    Leave,

    /// <summary>A node's timer.</summary>
    Timer,

    /// <summary>A promise's instant, or the time to ask again for one in line.</summary>
    Time,

    /// <summary>A node has waited for an answer for its part.</summary>
    PartPatience,

    /// <summary>A node has waited for an answer for a caller.</summary>
    Patience,

    /// <summary>A message reaches the authority.</summary>
    Request,

    /// <summary>An answer reaches a node.</summary>
    Answer,

    /// <summary>A thread that slept goes on.</summary>
    WakeUp,

    /// <summary>A fault of the world.</summary>
    Fault,

    /// <summary>Something else.</summary>
    Do,
}

/// <summary>One thing that is to happen.</summary>
internal readonly record struct Entry(Instant At, long Number, What What, SimulatedNode? Node, object? Message)
{
    public bool IsBefore(in Entry other) => At < other.At || (At == other.At && Number < other.Number);
}
