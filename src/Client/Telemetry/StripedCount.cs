using System.Numerics;
using System.Runtime.InteropServices;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A count that many threads add to: each processor has a line of memory of its own, so that they do not wait for each other. Thread-safe.
/// </summary>
internal sealed class StripedCount
{
    private static readonly int Mask = (int)BitOperations.RoundUpToPowerOf2((uint)Environment.ProcessorCount) - 1;

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

    public void Add() => Interlocked.Increment(ref _cells[Thread.GetCurrentProcessorId() & Mask].Count);

    // Two lines, for processors fetch them in pairs.
    [StructLayout(LayoutKind.Explicit, Size = 128)]
    private struct Cell
    {
        [FieldOffset(0)]
        public long Count;
    }
}
