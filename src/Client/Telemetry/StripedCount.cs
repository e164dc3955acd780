using System.Numerics;
using System.Runtime.InteropServices;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A count that many threads add to: each has a line of memory that few others have, so that they do not wait for each other. By thread and not by
/// processor: what the runtime says of that may be out of date, and two threads then meet. Thread-safe.
/// </summary>
internal sealed class StripedCount
{
    private static readonly int Mask = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(8, Environment.ProcessorCount)) - 1;

    private static int _threads;

    [ThreadStatic]
    private static int _thread; // counted from 1

    private readonly Cell[] _cells = new Cell[Mask + 1];

    public long Sum
    {
        get
        {
            var sum = 0L;
            for (var i = 0; i < _cells.Length; i++)
                sum += Interlocked.Read(ref _cells[i].Count);
            return sum;
        }
    }

    public void Add()
    {
        if (_thread == 0)
            _thread = Interlocked.Increment(ref _threads);
        Interlocked.Increment(ref _cells[_thread & Mask].Count);
    }

    // Two lines, for processors fetch them in pairs.
    [StructLayout(LayoutKind.Explicit, Size = 128)]
    private struct Cell
    {
        [FieldOffset(0)]
        public long Count;
    }
}
