namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>
/// The real machines of a bulkhead's nodes and its authority, under virtual time, on one thread, from one seed. The authority's clock is the true
/// time.
/// </summary>
internal sealed class BulkheadWorld
{
    private const int MostLeft = 10; // waiters of a node, at the end: else they cannot all be served

    private static readonly TimeSpan LastArrivals = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(100);

    private readonly Stage _stage;
    private readonly Chances _chances;
    private readonly BulkheadActor[] _nodes;
    private readonly List<BulkheadAuthority> _authorities = [];
    private readonly bool[] _hearsOld;
    private readonly List<Ban> _bans = [];
    private readonly Dictionary<RequestKey, Instant> _askedAgainAt = [];
    private readonly HashSet<(BulkheadAuthority?, RequestKey)> _ordersGiven = [];
    private readonly Instant _faultsEnd;
    private readonly Instant _end;
    private BulkheadPolicy _policy;
    private int _mostSlots;
    private readonly Succession<BulkheadMemory> _succession;
    private Instant _oldDiesAt;
    private Instant _idleSince;
    private SlotCaller? _last;
    private int _incarnations;

    public BulkheadWorld(BulkheadScenario scenario)
    {
        (Scenario, _chances, _policy, _mostSlots) = (scenario, new Chances(scenario.Seed), scenario.Policy(), scenario.Capacity);
        _faultsEnd = new Instant(TimeSpan.FromSeconds(scenario.Seconds).Ticks);
        var weather = new Weather(scenario.RoundTrip, scenario.Loss, scenario.Duplication, scenario.Delay);
        _stage = new Stage(weather, _chances, _faultsEnd);
        _end = _faultsEnd + scenario.HealsAfter;
        _succession = new Succession<BulkheadMemory>(
            _chances,
            () => Now,
            Plan,
            () => AreThereFaults ? scenario.FailingWrites : 0,
            scenario.Durability,
            scenario.RecordsLate);
        if (_succession.IsRecorded)
            Begin();
        else
            _authorities.Add(new BulkheadAuthority(this, new(1L << 40, Predecessor.None), _policy));
        _hearsOld = new bool[scenario.Nodes];
        _nodes = new BulkheadActor[scenario.Nodes];
        for (var i = 0; i < _nodes.Length; i++)
        {
            _nodes[i] = NewNode(i);
            PlanArrival(i);
        }

        _stage.Often(scenario.Switches, Switch);
        _stage.Often(scenario.Partitions, () => _stage.Part(_nodes.Length, scenario.LeaseTime * 2));
        _stage.Often(scenario.Pauses, () => _nodes[_chances.Next(0, _nodes.Length)].PauseUntil(Now + (scenario.LeaseTime * 2 * _chances.Next())));
        _stage.Often(scenario.Crashes, Crash);
        _stage.Often(scenario.Losses, LoseActivation);
        _stage.Often(scenario.Moves, Move);
        _stage.Often(scenario.PolicyChanges, ChangePolicy);
        if (scenario is { IsCalm: true, Large: 0, Switches: 0 })
            Plan(LookEvery, LookForIdle);
        Plan(_faultsEnd + LastArrivals - Now, Heal);
        Plan((_end - Now) - (scenario.LeaseTime * 1.5), TakeAll);
    }

    public BulkheadScenario Scenario { get; }

    public BulkheadAuthority Authority => _authorities[^1];

    public IReadOnlyList<BulkheadActor> Nodes => _nodes;

    public Instant Now => _stage.Now;

    public long Events => _stage.Events;

    /// <summary>Requests while there may be faults.</summary>
    public long RequestsBeforeTheEnd { get; private set; }

    /// <summary>Whether the time of faults is not over.</summary>
    public bool AreThereFaults => _stage.AreThereFaults;

    // Where an activation is lost and its successor does not know, or it lives on, there may be as many again.
    private int Cap => _mostSlots
        * (!_succession.IsRecorded && Scenario is { Losses: > 0, IsUnnoticed: true } or { Losses: > 0, LivesOn: true } ? _authorities.Count : 1);

    /// <exception cref="BrokenPromiseException">A checker found something.</exception>
    public BulkheadWorld Run()
    {
        _stage.Run(_end);
        CheckAtEnd();
        return this;
    }

    public void Plan(TimeSpan after, Action action) => _stage.Plan(after, action);

    /// <summary>Something that a node notices; not while it stands still, and never when it is gone.</summary>
    public void Plan(BulkheadActor node, TimeSpan after, Action action) => _stage.Plan(node, after, action);

    public void Send(BulkheadActor node, SlotsRequest request)
    {
        RequestsBeforeTheEnd += AreThereFaults ? 1 : 0;
        _stage.Travel(node, isUp: true, () =>
        {
            if (Hears(node) is not { } authority)
                return;
            var grant = authority.Renew(request);
            authority.Answer(() => _stage.Travel(node, isUp: false, () => _stage.Notice(node, () => node.OnAnswer(grant))));
        });
    }

    public void Hint(Borrower holder, long epoch, long version, int wanted)
    {
        if (Array.Find(_nodes, node => node.Holder == holder) is { } node)
            _stage.Travel(node, isUp: false, () => _stage.Notice(node, () => node.OnHint(epoch, version, wanted)));
    }

    /// <summary>An order was given; from now on an earlier one's ban may be over.</summary>
    public void Given(BulkheadAuthority authority, in SlotOrder order)
    {
        if (!_ordersGiven.Add((_succession.IsRecorded ? null : authority, order.Id.Key)))
            return; // a successor that keeps records knows it

        if (order.Command == SlotCommand.Reopen)
        {
            _bans.RemoveAll(ban => ban.Authority == authority || _succession.IsRecorded);
            return;
        }

        var waiting = Scenario.IsCalm
            ? _nodes.SelectMany(static node => node.KnownToWait).Where(static caller => caller.Fate == SlotFate.InLine).ToArray()
            : [];
        _bans.Add(new Ban(authority, order.Id.Key, waiting) { BansFrom = Instant.Never });
    }

    /// <summary>K4: when it has returned, it is obeyed.</summary>
    public void Answer(BulkheadActor node, BulkheadAuthority authority, SlotOrder order, Obedience obedience) => authority.Answer(() =>
        _stage.Travel(node, isUp: false, () => _stage.Notice(node, () =>
        {
            if (!obedience.IsObeyed && _askedAgainAt.GetValueOrDefault(order.Id.Key) < Now)
            {
                AskAgain(node, order);
            }
            else if (obedience.IsObeyed
                && (_succession.IsRecorded || (authority == Authority && Now >= _oldDiesAt + Scenario.LeaseTime))
                && _bans.Find(ban => ban.Order == order.Id.Key) is { } ban)
            {
                ban.BansFrom = Now < ban.BansFrom ? Now : ban.BansFrom;
                if (ban.Waiting.FirstOrDefault(static caller => caller.Fate == SlotFate.InLine && caller.IsPatient) is { } left)
                    throw new BrokenPromiseException("K4", $"a caller who came at {left.CameAt} still waits, though it was closed");
            }
        })));

    /// <summary>K1 and K4, for one who was admitted just now.</summary>
    public void CheckCap(BulkheadActor node)
    {
        _idleSince = Now;
        var valid = 0;
        foreach (var each in _nodes)
            valid += each.Valid();
        if (valid > Cap)
            throw new BrokenPromiseException("K1", $"{valid} slots are in use, the last on node {node.Number}, where {Cap} may be");
        if (_bans.Find(ban => ban.BansFrom <= Now) is { } ban)
            throw new BrokenPromiseException("K4", $"node {node.Number} admits a caller, {Now - ban.BansFrom} after it was closed");
    }

    private BulkheadActor NewNode(int number) => new(this, number, ++_incarnations, _chances.Fork());

    private void PlanArrival(int number) => Plan(_chances.NextGap(number == 0 ? Scenario.Rate * Scenario.Skew : Scenario.Rate), () =>
    {
        if (Now > _faultsEnd + LastArrivals)
            return;
        PlanArrival(number);
        if (!_nodes[number].IsPaused(out _))
            _nodes[number].OnArrival();
    });

    private BulkheadAuthority? Hears(BulkheadActor node)
    {
        var isOldAlive = _authorities.Count > 1 && Now < _oldDiesAt;
        _hearsOld[node.Number] ^= isOldAlive && _chances.Is(0.1);
        var heard = isOldAlive && _hearsOld[node.Number] ? _authorities[^2] : Authority;
        if (heard == Authority && heard.Office is { IsOver: true } && !_succession.IsNobodyThere)
        {
            Begin();
            return null;
        }

        return (heard == Authority && _succession.IsNobodyThere) || !heard.MayDecide ? null : heard;
    }

    private void Switch()
    {
        var node = _nodes[_chances.Next(0, _nodes.Length)];
        var command = _chances.One(SlotCommand.Close, SlotCommand.Reopen);
        var order = new SlotOrder(node.Orders.Open(), command, TimeSpan.FromMilliseconds(250));

        // Repeated twice; if there is no answer then, it is unknown whether it was given.
        for (var i = 0; i < 3; i++)
        {
            Plan(node, TimeSpan.FromMilliseconds(300 * i), () =>
            {
                if (AreThereFaults)
                    _stage.Travel(node, isUp: true, () => Hears(node)?.Obey(node, order));
            });
        }
    }

    private void AskAgain(BulkheadActor node, SlotOrder order)
    {
        _askedAgainAt[order.Id.Key] = Now + (order.Hold / 2);
        if (AreThereFaults)
            _stage.Travel(node, isUp: true, () => Hears(node)?.Obey(node, order));
    }

    // K2: what it held is back within a lease, counted from the last word that was under way.
    private void Crash()
    {
        var number = _chances.Next(0, _nodes.Length);
        var (node, authority) = (_nodes[number], Authority);
        node.Crash();
        _nodes[number] = NewNode(number);
        var underWay = TimeSpan.FromMilliseconds(Scenario.RoundTrip) + (Scenario.Delay > 0 ? TimeSpan.FromSeconds(2) : default);
        var (at, wasSomebodyThere) = (Now, !_succession.IsNobodyThere);
        Plan(Scenario.LeaseTime + underWay, () =>
        {
            if (authority != Authority || !wasSomebodyThere || _succession.LeftAt >= at || Scenario.PolicyChanges > 0)
                return;
            authority.Ledger.Describe(Now);
            if (authority.Ledger.LentTo(node.Holder) is > 0 and var slots)
                throw new BrokenPromiseException("K2", $"{slots} slots of node {number}, which has crashed, are not back after a lease");
        });
    }

    private void LoseActivation()
    {
        if (Now < _oldDiesAt)
            return; // one at a time
        if (_succession.IsRecorded)
        {
            if (!_succession.IsNobodyThere)
                Begin();
            return;
        }

        if (_succession.IsNobodyThere)
            return;
        _bans.Clear(); // what is kept in memory alone is forgotten
        _authorities.Add(new BulkheadAuthority(
            this, new(Authority.Epoch + (1L << 40), Scenario.IsUnnoticed ? Predecessor.None : Predecessor.Possible), _policy));
        if (!Scenario.LivesOn)
            return;
        _oldDiesAt = Now + (Scenario.LeaseTime * 2 * _chances.Next());
        for (var i = 0; i < _hearsOld.Length; i++)
            _hearsOld[i] = _chances.Is(0.5);
    }

    private void Move()
    {
        if (Now < _oldDiesAt || _succession.IsNobodyThere)
            return;
        var authority = Authority;
        authority.Ledger.Describe(Now);
        _succession.Move(authority.Ledger, authority.Office, heritage =>
        {
            if (heritage is { } moved)
                authority.CarryOn(new SlotLedger(_policy, Now, moved), null, Now - _succession.LeftAt);
            else
                Begin();
        });
    }

    private void Begin()
    {
        var (heritage, office) = _succession.Begin((_authorities.Count == 0 ? 0 : Authority.Epoch) + (1L << 40));
        if (heritage.Predecessor == Predecessor.Finished)
            Authority.CarryOn(new SlotLedger(_policy, Now, heritage), office, Now - _succession.LeftAt);
        else
            _authorities.Add(new BulkheadAuthority(this, heritage, _policy) { Office = office });
        if (heritage.Predecessor != Predecessor.Lost || !Scenario.LivesOn)
            return;
        _authorities[^2].Office!.IsCutOff = _chances.Is(0.7);
        _oldDiesAt = Now + (LeaseTerm.OfOwnership * 2 * _chances.Next());
        for (var i = 0; i < _hearsOld.Length; i++)
            _hearsOld[i] = _chances.Is(0.5);
    }

    private void ChangePolicy()
    {
        var scenario = Scenario with { Capacity = _chances.Next(1, 9), QueueLimit = _chances.One(3, 1_000) };
        _policy = scenario.Policy();
        _mostSlots = Math.Max(_mostSlots, scenario.Capacity);
        foreach (var authority in _authorities)
            authority.ChangeTo(_policy);
    }

    // Without faults nothing lies idle for long while somebody waits.
    private void LookForIdle()
    {
        if (!AreThereFaults)
            return;
        Plan(LookEvery, LookForIdle);
        var inUse = 0;
        var waitsLong = false;
        foreach (var node in _nodes)
        {
            inUse += node.Valid();
            waitsLong |= node.LongestSince < new Instant(Now.Ticks - TimeSpan.TicksPerSecond);
        }

        if (inUse >= Scenario.Capacity || !waitsLong)
            _idleSince = Now;
        else if (Now - _idleSince > TimeSpan.FromMilliseconds(500 + (4 * Scenario.RoundTrip)))
            throw new BrokenPromiseException("Idle", $"somebody waits, and since {Now - _idleSince} not all slots are in use");
    }

    private void Heal()
    {
        _bans.Clear();
        foreach (var node in _nodes)
            node.Thin(MostLeft);
        Reopen();
    }

    private void Reopen()
    {
        if (_succession.IsNobodyThere || !Authority.MayDecide)
            Plan(LookEvery, Reopen);
        else
            Authority.Obey(_nodes[0], new SlotOrder(_nodes[0].Orders.Open(), SlotCommand.Reopen, default));
    }

    // No slot is lost for ever: whoever wants them all, gets them.
    private void TakeAll()
    {
        if (_last is not { Fate: SlotFate.InLine })
            _last = _nodes[^1].Arrive(_policy.Capacity, isTry: false, isAttempt: false);
        if (_last is { Fate: not SlotFate.Admitted })
            Plan(LookEvery, TakeAll); // the queue may be full yet
    }

    private void CheckAtEnd()
    {
        if (_policy.QueueLimit > 0 && _last is { Fate: not SlotFate.Admitted })
            throw new BrokenPromiseException("Healed", $"who wants all slots is {_last.Fate} {_last.Reason}, long after the last fault");
        foreach (var node in _nodes)
            node.CheckAtEnd();
    }

    // From when on nobody is admitted.
    private sealed class Ban(BulkheadAuthority authority, RequestKey order, SlotCaller[] waiting)
    {
        public BulkheadAuthority Authority { get; } = authority;

        public RequestKey Order { get; } = order;

        public SlotCaller[] Waiting { get; } = waiting;

        public Instant BansFrom { get; set; }
    }
}
