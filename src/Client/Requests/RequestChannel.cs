using System.Numerics;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Numbers the requests of one limiter, breaker or bulkhead of a node, gives each a slot, and knows the oldest whose answer is still awaited.
/// Thread-safe; a few nanoseconds.
/// </summary>
/// <remarks>
/// For the oldest it keeps two counts and no list: open requests older than a mark, and those since. When the older ones are all answered, the mark
/// moves up. So the oldest open number is told a little too low at times, and never too high.
/// </remarks>
internal sealed class RequestChannel(Guid node, int channel)
{
    private const int SlotsPerWord = 64;

    private readonly Lock _lock = new();
    private ulong[] _slotsInUse = new ulong[1];
    private long _next = 1;
    private long _oldStart = 1;
    private long _newStart = 1;
    private int _oldOpen;
    private int _newOpen;

    /// <summary>Under what name a part is lent to this limiter of this node.</summary>
    public Borrower Holder => new(node, channel);

    public RequestId Open()
    {
        lock (_lock)
        {
            var sequence = _next++;
            _newOpen++;
            if (_oldOpen == 0)
                MoveUp();
            return new RequestId(node, channel, sequence, _oldStart, TakeSlot());
        }
    }

    /// <summary>The answer has come, or is not awaited any more. To be called once per request.</summary>
    public void Close(in RequestId id)
    {
        lock (_lock)
        {
            _slotsInUse[id.Slot / SlotsPerWord] &= ~(1UL << (id.Slot % SlotsPerWord));
            if (id.Sequence < _newStart)
                _oldOpen--;
            else
                _newOpen--;
            if (_oldOpen == 0)
                MoveUp();
        }
    }

    // The lowest free one, so that there are no more of them than requests were ever open at once.
    private int TakeSlot()
    {
        var word = _slotsInUse.AsSpan().IndexOfAnyExcept(ulong.MaxValue);
        if (word < 0)
        {
            word = _slotsInUse.Length;
            Array.Resize(ref _slotsInUse, 2 * word);
        }

        var bit = BitOperations.TrailingZeroCount(~_slotsInUse[word]);
        _slotsInUse[word] |= 1UL << bit;
        return (word * SlotsPerWord) + bit;
    }

    private void MoveUp()
    {
        _oldStart = _newOpen == 0 ? _next : _newStart;
        (_oldOpen, _newOpen) = (_newOpen, 0);
        _newStart = _next;
    }
}
