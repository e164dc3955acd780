namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Numbers the requests of one client object, and knows the oldest whose answer is still awaited. Thread-safe; a few nanoseconds.
/// </summary>
/// <remarks>
/// It keeps two counts and no list: open requests older than a mark, and those since. When the older ones are all answered, the mark moves up.
/// So the oldest open number is told a little too low at times, and never too high.
/// </remarks>
internal sealed class RequestChannel(Guid node, int channel)
{
    private readonly Lock _lock = new();
    private long _next = 1;
    private long _oldStart = 1;
    private long _newStart = 1;
    private int _oldOpen;
    private int _newOpen;

    public RequestId Open()
    {
        lock (_lock)
        {
            var sequence = _next++;
            _newOpen++;
            if (_oldOpen == 0)
                MoveUp();
            return new RequestId(node, channel, sequence, Math.Max(_oldStart, sequence - RequestId.MaxOpen + 1));
        }
    }

    /// <summary>The answer has come, or is not awaited any more. To be called once per request.</summary>
    public void Close(in RequestId id)
    {
        lock (_lock)
        {
            if (id.Sequence < _newStart)
                _oldOpen--;
            else
                _newOpen--;
            if (_oldOpen == 0)
                MoveUp();
        }
    }

    private void MoveUp()
    {
        _oldStart = _newOpen == 0 ? _next : _newStart;
        (_oldOpen, _newOpen) = (_newOpen, 0);
        _newStart = _next;
    }
}
