namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Whether an authority is known not to answer. While it is, callers are decided at once, and the authority is asked again once per interval, in the
/// background, by a node that has been asked for something since. Not thread-safe.
/// </summary>
internal struct Outage
{
    /// <summary>How long after one that had no answer it is asked again, at most.</summary>
    public static readonly TimeSpan ProbeInterval = TimeSpan.FromSeconds(1);

    /// <summary>Whether the last that is known of it is that it did not answer.</summary>
    public bool IsOn { get; private set; }

    /// <summary>When it is to be asked again. What is known is out of date by then, unless somebody does ask.</summary>
    public Instant ProbeAt { get; private set; }

    /// <summary>A call had no answer.</summary>
    /// <param name="now">The node's instant.</param>
    /// <param name="hurry">0 to 1, of the interval: by chance, so that nodes do not come in step.</param>
    public void Begin(Instant now, double hurry)
    {
        if (!IsOn || now >= ProbeAt)
            (IsOn, ProbeAt) = (true, now + (ProbeInterval * hurry));
    }

    /// <summary>It answered.</summary>
    public void End() => IsOn = false;
}
