namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The nodes that wait for slots of a bulkhead, in the order in which they came: one caller of each in turn. A caller who wants more than is free
/// holds up all who come after him. Who has not been heard for a while is passed over, and keeps his place. Not thread-safe.
/// </summary>
/// <remarks>
/// Each node has the number of its next turn. One that comes takes part in the turn that is under way, behind those who have come before. What is
/// free is set aside in that order, without anything being lent, until each has come and asked.
/// </remarks>
internal sealed class SlotLine
{
    private readonly List<SlotLoans.Loan> _nodes = [];
    private long _came;

    /// <summary>Callers who wait, of all nodes.</summary>
    public long Callers { get; private set; }

    public bool IsEmpty => _nodes.Count == 0;

    public IReadOnlyList<SlotLoans.Loan> Nodes => _nodes;

    /// <summary>Goes on with one whose callers waited at another authority: it keeps its place.</summary>
    public void Resume(SlotLoans.Loan node, in LoanMemory memory)
    {
        (node.Turn, node.CameAs) = (memory.Turn, memory.CameAs);
        _came = Math.Max(_came, memory.CameAs);
        Wait(node, memory.Asks, memory.Waiting);
    }

    /// <summary>It has just been heard. One that has come, or was passed over, has no turn before the one that is under way.</summary>
    public void Welcome(SlotLoans.Loan node, Instant heardBefore, Instant now)
    {
        var waits = node.Asks.Length > 0;
        if (waits && now - heardBefore <= LeaseTerm.OfPlace)
            return;
        var (first, last) = (long.MaxValue, long.MinValue);
        foreach (var other in _nodes)
        {
            if (other != node && IsPresent(other, now))
                (first, last) = (Math.Min(first, other.Turn), Math.Max(last, other.Turn));
        }

        // Where one was served ahead of others for whom enough was set aside, that is no reason to keep it waiting longer than for one turn of each.
        var turn = Math.Max(first, last - 1);
        if (!waits)
            (node.Turn, node.CameAs) = (last == long.MinValue ? 0 : turn, ++_came);
        else if (last != long.MinValue)
            node.Turn = Math.Max(node.Turn, turn);
    }

    /// <summary>
    /// How many of a node's callers come before what is free runs out; its turn moves on by so many. Those who are not ready to wait are passed over
    /// where they do not find enough.
    /// </summary>
    /// <param name="node">Who has just been welcomed.</param>
    /// <param name="asks">Of its callers.</param>
    /// <param name="free">Slots.</param>
    /// <param name="now">The grain's instant.</param>
    /// <param name="callers">How many of those who are ready to wait were served.</param>
    /// <param name="left">What of <paramref name="asks"/> is to be waited for.</param>
    /// <returns>Slots for them.</returns>
    public int Serve(SlotLoans.Loan node, SlotsAsk[] asks, long free, Instant now, out int callers, out SlotsAsk[] left)
    {
        var served = 0;
        callers = 0;
        for (var i = 0; i < asks.Length; i++)
        {
            var ask = asks[i];
            for (var unserved = ask.Callers; unserved > 0; unserved--)
            {
                if (AheadOf(node, now) + served + ask.Slots <= free)
                {
                    served += ask.Slots;
                    node.Turn++;
                    callers += ask.MayWait ? 1 : 0;
                    continue;
                }

                if (!ask.MayWait)
                    break;
                left = [ask with { Callers = unserved }, .. asks.Skip(i + 1).Where(static later => later.MayWait)];
                return served;
            }
        }

        left = [];
        return served;
    }

    /// <summary>So many of its callers wait from now on.</summary>
    /// <returns>Whether more is wanted than before.</returns>
    public bool Wait(SlotLoans.Loan node, SlotsAsk[] asks, int callers)
    {
        asks = First(asks, callers);
        var waited = node.Asks.Length > 0;
        var isMore = Slots(asks) > Slots(node.Asks);
        Callers += callers - node.Waiting;
        (node.Asks, node.Waiting) = (asks, callers);
        if (waited && asks.Length == 0)
            _nodes.Remove(node);
        else if (!waited && asks.Length > 0)
            _nodes.Add(node);
        return isMore;
    }

    /// <summary>Slots that are wanted by others, if they are there to come for them.</summary>
    public long WantedBesides(SlotLoans.Loan? node, Instant now)
    {
        var wanted = 0L;
        foreach (var other in _nodes)
        {
            if (other == node || !IsPresent(other, now))
                continue;
            wanted += Slots(other.Asks);
        }

        return wanted;
    }

    /// <summary>Those whose turn has come: what is free is enough for one caller of each, and all who come before him.</summary>
    public IEnumerable<SlotLoans.Loan> Due(long free, Instant now)
    {
        if (free <= 0)
            yield break;
        foreach (var node in _nodes.Where(node => IsPresent(node, now)).OrderBy(static node => node.Turn).ThenBy(static node => node.CameAs))
        {
            if (AheadOf(node, now) + node.Asks[0].Slots > free)
                yield break;
            yield return node;
        }
    }

    // Where there are not places for all, those at the end have none.
    private static SlotsAsk[] First(SlotsAsk[] asks, int callers)
    {
        for (var i = 0; i < asks.Length; i++)
        {
            if (asks[i].Callers >= callers)
                return callers == 0 ? asks[..i] : [.. asks[..i], asks[i] with { Callers = callers }];
            callers -= asks[i].Callers;
        }

        return asks;
    }

    private static long Slots(SlotsAsk[] asks)
    {
        var slots = 0L;
        foreach (var ask in asks)
            slots += (long)ask.Slots * ask.Callers;
        return slots;
    }

    private static bool IsPresent(SlotLoans.Loan node, Instant now) => now - node.HeardAt <= LeaseTerm.OfPlace;

    // What the callers of all others want whose turns come before its next one.
    private long AheadOf(SlotLoans.Loan node, Instant now)
    {
        var slots = 0L;
        foreach (var other in _nodes)
        {
            if (other == node || !IsPresent(other, now))
                continue;
            var callers = node.Turn - other.Turn + (other.CameAs < node.CameAs ? 1 : 0);
            foreach (var ask in other.Asks)
            {
                if (callers <= 0)
                    break;
                slots += Math.Min(callers, ask.Callers) * ask.Slots;
                callers -= ask.Callers;
            }
        }

        return slots;
    }
}
