namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Which nodes a breaker's verdict was lent to, until when each may admit calls by it, and what each is known to know. Not thread-safe.
/// </summary>
internal sealed class VerdictHolders
{
    private readonly Dictionary<Borrower, Holder> _byBorrower = [];
    private readonly LinkedList<Holder> _silent = []; // those heard last, or worth remembering, at the end

    public IEnumerable<Holder> Known => _silent;

    /// <summary>What is known of one; null: nothing.</summary>
    public Holder? Find(Borrower borrower) => _byBorrower.GetValueOrDefault(borrower);

    /// <summary>All of them, for the authority that carries on.</summary>
    public VerdictMemory[] Capture(Instant now) =>
    [
        .. _silent.Select(holder => new VerdictMemory(
            holder.Borrower,
            now - holder.HeardAt,
            now - holder.RememberedAt,
            holder.Sequence,
            holder.Trials.First,
            holder.Trials.Count,
            holder.Trials.Generation,
            holder.AdmitsUntil.After(now),
            holder.Knows,
            holder.Own?.Capture(now),
            holder.OwnBeganIn)),
    ];

    /// <summary>Goes on with one, with what it alone has seen.</summary>
    public void Resume(in VerdictMemory memory, CircuitStates? own, Instant now)
    {
        var holder = Hear(memory.Borrower, new Instant(now.Ticks - memory.HeardAgo.Ticks));
        holder.RememberedAt = new Instant(now.Ticks - memory.RememberedAgo.Ticks);
        (holder.Sequence, holder.Knows, holder.AdmitsUntil) = (memory.Sequence, memory.Knows, now + memory.AdmitsFor);
        holder.Trials = (memory.FirstTrial, memory.TrialCount, memory.TrialGeneration);
        (holder.Own, holder.OwnBeganIn) = (own, memory.OwnBeganIn);
    }

    /// <summary>What is known of a node that has just said something.</summary>
    public Holder Hear(Borrower borrower, Instant now)
    {
        if (_byBorrower.TryGetValue(borrower, out var holder))
            _silent.Remove(holder.Place);
        else
            _byBorrower.Add(borrower, holder = new Holder(borrower));
        _silent.AddLast(holder.Place);
        holder.HeardAt = holder.RememberedAt = now;
        return holder;
    }

    /// <summary>
    /// Forgets who has been silent since before <paramref name="silentSince"/>, which is longer than any term, and whose own circuit is as a new one.
    /// </summary>
    public void ForgetSilent(Instant silentSince, Instant now)
    {
        while (_silent.First is { } first && first.Value.RememberedAt < silentSince)
        {
            _silent.RemoveFirst();
            if (first.Value.Own?.MemorableUntil > now)
            {
                first.Value.RememberedAt = now;
                _silent.AddLast(first);
                continue;
            }

            _byBorrower.Remove(first.Value.Borrower);
        }
    }

    /// <summary>One node.</summary>
    internal sealed class Holder : IListener
    {
        public Holder(Borrower borrower)
        {
            Borrower = borrower;
            Place = new LinkedListNode<Holder>(this);
        }

        public Borrower Borrower { get; }

        public LinkedListNode<Holder> Place { get; }

        public Instant HeardAt { get; set; }

        /// <summary>Since when it may be forgotten, after a while.</summary>
        public Instant RememberedAt { get; set; }

        /// <summary>Of the newest request that was taken.</summary>
        public long Sequence { get; set; }

        /// <summary>The trials that its answer gave, by number, and in which generation.</summary>
        public (long First, int Count, long Generation) Trials { get; set; }

        /// <summary>Until when it may admit calls by what it was told.</summary>
        public Instant AdmitsUntil { get; set; }

        /// <summary>It believes nothing that is older than this version.</summary>
        public long Knows { get; set; }

        public INodeObserver? Observer { get; set; }

        /// <summary>What this node alone has seen, where a quorum is wanted.</summary>
        public CircuitStates? Own { get; set; }

        /// <summary>In which generation of the circuit for all that one began, and with which it ends.</summary>
        public long OwnBeganIn { get; set; }
    }
}
