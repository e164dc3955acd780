namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>An activation: the machine, around it what the grain does, and beside it who leads whom in the line.</summary>
internal sealed class BulkheadAuthority
{
    private readonly BulkheadWorld _world;
    private AnswerLog<Obedience> _answers = new();
    private readonly List<(SlotOrder Order, BulkheadActor Node, Instant Until)> _held = [];
    private readonly HashSet<RequestKey> _given = [];
    private readonly Dictionary<Borrower, Waiter> _line = [];
    private int _mostQueued;

    public BulkheadAuthority(BulkheadWorld world, in Heritage<BulkheadMemory> heritage, BulkheadPolicy policy)
    {
        (_world, Epoch, _mostQueued) = (world, heritage.Epoch, policy.QueueLimit);
        Ledger = new SlotLedger(policy, world.Now, heritage);
    }

    public long Epoch { get; }

    public SlotLedger Ledger { get; private set; }

    /// <summary>Its record, where one is kept.</summary>
    public Office<BulkheadMemory>? Office { get; set; }

    /// <summary>Whether it may answer at all.</summary>
    public bool MayDecide => Office is null || Office.MayDecide(Ledger);

    /// <summary>Another activation carries on. Whoever waits for an order to be obeyed asks again.</summary>
    public void CarryOn(SlotLedger ledger, Office<BulkheadMemory>? office, TimeSpan away)
    {
        (Ledger, Office, _answers) = (ledger, office, new AnswerLog<Obedience>());
        _held.Clear();
        foreach (var waiter in _line.Values)
            waiter.HeardAt += away;
    }

    /// <summary>Says something, when what it has decided is recorded.</summary>
    public void Answer(Action say)
    {
        if (Office is null)
            say();
        else
            Office.Answer(Ledger, say);
    }

    public SlotsGrant Renew(in SlotsRequest request)
    {
        var now = _world.Now;
        var isNew = !_line.TryGetValue(request.Holder, out var known) || request.Sequence > known.Sequence;
        var before = Ledger.HasSuccessor;
        var grant = Ledger.Renew(request, now);
        if (isNew && !before && !Ledger.HasSuccessor)
            CheckTurns(request, grant, now);
        Conclude();
        return grant;
    }

    public void Obey(BulkheadActor node, in SlotOrder order)
    {
        var obedience = Ask(order);
        if (!obedience.IsGiven)
            return; // it has a successor, and says so
        if (_given.Add(order.Id.Key))
            _world.Given(this, order);
        Conclude();
        if (obedience.IsObeyed)
        {
            _world.Answer(node, this, order, obedience);
            return;
        }

        _held.Add((order, node, _world.Now + order.Hold));
        _world.Plan(obedience.ObeyedAfter < order.Hold ? obedience.ObeyedAfter : order.Hold, LookAtHeld);
    }

    public void ChangeTo(BulkheadPolicy policy)
    {
        _mostQueued = Math.Max(_mostQueued, policy.QueueLimit);
        Ledger.ChangeTo(policy, _world.Now);
        Conclude();
    }

    private Obedience Ask(in SlotOrder order) =>
        _answers.Once(order.Id, _world.Now, Ledger, order, static (ledger, order, now) => ledger.Obey(order, now));

    // K3: of two nodes that both wait, and are heard of, none is a caller ahead of the other by more than one, unless what is free covers the rest.
    // Where a third was passed over meanwhile, it may be two. Where the capacity changes, or one of them has been passed over, what was set aside may
    // be gone: that is not looked at; nor where what was lent may not be told for a while, and is lent again.
    private void CheckTurns(in SlotsRequest request, in SlotsGrant grant, Instant now)
    {
        var known = _line.TryGetValue(request.Holder, out var asker);
        if (asker is null)
            _line.Add(request.Holder, asker = new Waiter());
        var isBack = now - asker.HeardAt > LeaseTerm.OfPlace;
        (asker.Sequence, asker.HeardAt, asker.WasAway) = (request.Sequence, now, asker.WasAway || (isBack && known));
        var callers = Served(request.Asks ?? [], grant.Slots);
        var free = Ledger.Describe(now) is var status ? Math.Max(0, status.Capacity - Ledger.Lent) : 0;
        if (isBack || asker.Asks.Length == 0)
            Forget(request.Holder, free);
        if (callers > 0)
        {
            foreach (var (holder, other) in _line)
            {
                if (other == asker || other.WasAway || asker.WasAway || other.Asks.Length == 0 || now - other.HeardAt > LeaseTerm.OfPlace)
                    continue;
                var lead = asker.Leads[holder] = asker.Leads.GetValueOrDefault(holder) + callers;
                other.Leads[request.Holder] = other.Leads.GetValueOrDefault(request.Holder) - callers;
                var most = _world.Scenario.IsCalm ? 1 : 2;
                if (lead > most && _world.Scenario is { PolicyChanges: 0, FailingWrites: 0 } && Cost(other.Asks, lead - most) > free)
                    throw new BrokenPromiseException("K3", $"{request.Holder} is {lead} callers ahead of {holder}, and {free} slots are free");
            }
        }

        asker.Asks = Left(request.Asks ?? [], callers, grant.Places);
        if (asker.Asks.Length == 0)
            Forget(request.Holder, free);
        // Those for whom idle slots are called back do not count: so many of each node, at most.
        if (Ledger.Waiting > _mostQueued + (Ledger.Describe(now).Capacity * _line.Count))
            throw new BrokenPromiseException("Queue", $"{Ledger.Waiting} wait, where {_mostQueued} may");
    }

    // It waits no longer, or was passed over: what others were ahead does not count. What is set aside for them, is theirs beforehand.
    private void Forget(Borrower holder, long free)
    {
        _line[holder].Leads.Clear();
        foreach (var other in _line.Values)
            other.Leads[holder] = -Served(other.Asks, (int)free);
    }

    // Of callers in their order, as many as so many slots are enough for; those who do not wait are passed over.
    private static int Served(SlotsAsk[] asks, int slots)
    {
        var callers = 0;
        foreach (var ask in asks)
        {
            for (var i = 0; i < ask.Callers && slots > 0; i++)
            {
                if (slots < ask.Slots)
                    break;
                slots -= ask.Slots;
                callers++;
            }
        }

        return callers;
    }

    private static SlotsAsk[] Left(SlotsAsk[] asks, int served, int places)
    {
        var left = new List<SlotsAsk>();
        foreach (var ask in asks)
        {
            var here = Math.Min(served, ask.Callers);
            served -= here;
            var waiting = ask.MayWait ? Math.Min(ask.Callers - here, places) : 0;
            places -= waiting;
            if (waiting > 0)
                left.Add(ask with { Callers = waiting });
        }

        return [.. left];
    }

    private static long Cost(SlotsAsk[] asks, int callers)
    {
        var slots = 0L;
        foreach (var ask in asks)
        {
            slots += (long)Math.Min(callers, ask.Callers) * ask.Slots;
            callers -= Math.Min(callers, ask.Callers);
        }

        return slots;
    }

    private void LookAtHeld()
    {
        foreach (var held in _held.ToArray())
        {
            var obedience = Ask(held.Order);
            if (!obedience.IsObeyed && _world.Now < held.Until)
                continue;
            _held.Remove(held);
            _world.Answer(held.Node, this, held.Order, obedience);
        }
    }

    private void Conclude()
    {
        var now = _world.Now;
        foreach (var loan in Ledger.TakeHints(now))
            _world.Hint(loan.Borrower, Epoch, Ledger.Version, loan.ToldWanted);
        if (_held.Count > 0 && !Ledger.IsAwaitingObedience(now))
            LookAtHeld();
    }

    private sealed class Waiter
    {
        public long Sequence { get; set; }

        public Instant HeardAt { get; set; }

        /// <summary>It has been passed over at some time.</summary>
        public bool WasAway { get; set; }

        public SlotsAsk[] Asks { get; set; } = [];

        /// <summary>Callers of this one that were served since both have waited, less those of the other.</summary>
        public Dictionary<Borrower, int> Leads { get; } = [];
    }
}
