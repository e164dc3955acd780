namespace ReliabilityToolkit.Orleans;

/// <summary>
/// "Closed, nothing failing, and you may believe it until then": what a node's callers go by without asking anybody. Read by any thread; the machine
/// puts another in its place when it learns something else.
/// </summary>
/// <param name="generation">In which calls that go by it begin.</param>
/// <param name="endsAt">For those who look by <see cref="NodeClock.Glance"/>: as much earlier as that may be behind.</param>
/// <param name="tally">Where successes are counted; null: nobody wants to know.</param>
internal sealed class HeldVerdict(long generation, Instant endsAt, SuccessTally? tally)
{
    /// <summary>Nothing to go by.</summary>
    public static readonly HeldVerdict None = new(long.MinValue, new Instant(long.MinValue), null);

    private bool _isUsed;

    public long Generation { get; } = generation;

    public SuccessTally? Tally { get; } = tally;

    /// <summary>Whether anybody went by it.</summary>
    public bool IsUsed => Volatile.Read(ref _isUsed);

    /// <summary>Whether a call may be made.</summary>
    /// <param name="glance">Read after this object was.</param>
    public bool Admits(Instant glance)
    {
        if (glance >= endsAt)
            return false;
        if (!_isUsed)
            _isUsed = true; // written once, so that callers on other processors go on sharing it
        return true;
    }
}

/// <summary>Successes of one generation that were not told yet, where the authority counts them. Any thread.</summary>
internal sealed class SuccessTally
{
    private long _count;

    public void Add() => Interlocked.Increment(ref _count);

    public long Take() => Interlocked.Exchange(ref _count, 0);
}
