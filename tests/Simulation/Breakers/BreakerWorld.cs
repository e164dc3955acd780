namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>
/// The real machines of a breaker's nodes and its authority, under virtual time, on one thread, from one seed. The authority's clock is the true
/// time.
/// </summary>
internal sealed class BreakerWorld
{
    private static readonly TimeSpan LastOrders = TimeSpan.FromSeconds(3);

    private readonly Stage _stage;
    private readonly Chances _chances;
    private readonly BreakerNode[] _nodes;
    private readonly List<BreakerAuthority> _authorities = [];
    private readonly bool[] _hearsOld;
    private readonly Dictionary<long, (Instant Until, Borrower Holder)> _trials = []; // in hand
    private readonly HashSet<long> _trialsBegun = [];
    private readonly Dictionary<long, Instant> _leases = [];
    private readonly List<Ban> _bans = [];
    private readonly Dictionary<RequestKey, Instant> _askedAgainAt = [];
    private readonly HashSet<(BreakerAuthority?, RequestKey)> _ordersGiven = [];
    private readonly Instant _faultsEnd;
    private readonly Instant _end;
    private CircuitBreakerPolicy _policy;
    private int _mostTrials;
    private readonly Succession<BreakerMemory> _succession;
    private Instant _oldDiesAt;
    private bool _isIll;
    private double _canServe;
    private Instant _servedAt;
    private int _incarnations;

    public BreakerWorld(BreakerScenario scenario)
    {
        (Scenario, _chances, _policy, _mostTrials) = (scenario, new Chances(scenario.Seed), scenario.Policy(), scenario.Trials);
        _faultsEnd = new Instant(TimeSpan.FromSeconds(scenario.Seconds).Ticks);
        var weather = new Weather(scenario.RoundTrip, scenario.Loss, scenario.Duplication, scenario.Delay);
        _stage = new Stage(weather, _chances, _faultsEnd);
        _end = _faultsEnd + scenario.HealsAfter;
        _succession = new Succession<BreakerMemory>(
            _chances,
            () => Now,
            Plan,
            () => AreThereFaults ? scenario.FailingWrites : 0,
            scenario.Durability,
            scenario.RecordsLate);
        if (_succession.IsRecorded)
            Begin();
        else
            _authorities.Add(new BreakerAuthority(this, new(1L << 40, Predecessor.None), _policy));
        _hearsOld = new bool[scenario.Nodes];
        RejectedBy = new long[scenario.Nodes];
        _nodes = new BreakerNode[scenario.Nodes];
        for (var i = 0; i < _nodes.Length; i++)
        {
            _nodes[i] = NewNode(i);
            PlanArrival(i);
        }

        _stage.Often(scenario.Illnesses, () => _isIll = !_isIll);
        _stage.Often(scenario.Switches, ThrowSwitch);
        _stage.Often(scenario.Partitions, () => _stage.Part(_nodes.Length, LeaseTerm.OfVerdict * 3));
        _stage.Often(scenario.Pauses, () => _nodes[_chances.Next(0, _nodes.Length)].PauseUntil(Now + (LeaseTerm.OfVerdict * 2 * _chances.Next())));
        _stage.Often(scenario.Crashes, Crash);
        _stage.Often(scenario.Losses, LoseActivation);
        _stage.Often(scenario.Moves, Move);
        _stage.Often(scenario.PolicyChanges, ChangePolicy);
        Plan(_faultsEnd + LastOrders - Now, Heal);
    }

    public BreakerScenario Scenario { get; }

    public BreakerAuthority Authority => _authorities[^1];

    public IReadOnlyList<BreakerNode> Nodes => _nodes;

    public Instant Now => _stage.Now;

    public long Events => _stage.Events;

    public long Requests { get; private set; }

    /// <summary>Of these, while there may be faults.</summary>
    public long RequestsBeforeTheEnd { get; private set; }

    /// <summary>Callers who were not let through, by node.</summary>
    public long[] RejectedBy { get; }

    /// <summary>Calls that were made, after the first five seconds and while there may be faults.</summary>
    public long Made { get; private set; }

    /// <summary>Of these, so many succeeded.</summary>
    public long Succeeded { get; private set; }

    /// <summary>Whether what one node sees cannot be a reason to reject anybody elsewhere.</summary>
    public bool IsOneNodeBad => Scenario is { HasOneBadNode: true, Quorum: > 1, PolicyChanges: 0, Crashes: 0, Hanging: 0 };

    /// <summary>Whether the time of faults is not over.</summary>
    public bool AreThereFaults => _stage.AreThereFaults;

    /// <exception cref="BrokenPromiseException">A checker found something.</exception>
    public BreakerWorld Run()
    {
        _stage.Run(_end);
        CheckAtEnd();
        return this;
    }

    public void Plan(TimeSpan after, Action action) => _stage.Plan(after, action);

    /// <summary>Something that a node notices; not while it stands still, and never when it is gone.</summary>
    public void Plan(BreakerNode node, TimeSpan after, Action action) => _stage.Plan(node, after, action);

    public void Send(BreakerNode node, VerdictRequest request)
    {
        Requests++;
        if (AreThereFaults)
            RequestsBeforeTheEnd++;
        _stage.Travel(node, isUp: true, () =>
        {
            if (Hears(node) is not { } authority)
                return;
            var grant = authority.Renew(node, request);
            authority.Answer(() => _stage.Travel(node, isUp: false, () => _stage.Notice(node, () => node.OnAnswer(grant))));
        });
    }

    public void Hint(Borrower holder, long epoch, long version)
    {
        if (Array.Find(_nodes, node => node.Holder == holder) is { } node)
            _stage.Travel(node, isUp: false, () => _stage.Notice(node, () => node.OnHint(epoch, version)));
    }

    /// <summary>A switch was thrown; from now on an earlier one's ban may be over.</summary>
    public void Thrown(BreakerAuthority authority, in CircuitOrder order)
    {
        if (!_ordersGiven.Add((_succession.IsRecorded ? null : authority, order.Id.Key)))
            return; // a successor that keeps records knows it

        if (order.Command == CircuitCommand.Reset)
        {
            _bans.RemoveAll(ban => ban.Authority == authority || _succession.IsRecorded);
            return;
        }

        var until = order.Command == CircuitCommand.Isolate ? Instant.Never : Now + _policy.CoolDown;
        _bans.Add(new Ban(authority, order.Id.Key, until, authority.Circuit.Describe(Now).Generation) { BansFrom = Instant.Never });
    }

    /// <summary>B1: when it has returned, it is obeyed.</summary>
    public void Answer(BreakerNode node, BreakerAuthority authority, CircuitOrder order, Obedience obedience) => authority.Answer(() =>
        _stage.Travel(node, isUp: false, () => _stage.Notice(node, () =>
        {
            if (!obedience.IsObeyed && _askedAgainAt.GetValueOrDefault(order.Id.Key) < Now)
                AskAgain(node, order);
            else if (!obedience.IsObeyed)
                return; // the same answer once more
            else if (IsHeld(authority) && _bans.Find(ban => ban.Order == order.Id.Key) is { } ban)
                ban.BansFrom = Now < ban.BansFrom ? Now : ban.BansFrom;
        })));

    /// <summary>A call was let through.</summary>
    public void Began(BreakerNode node, in CircuitPass pass)
    {
        if (pass.Generation < 0)
        {
            if (Scenario.Fallback == CircuitFallback.Reject)
                throw new BrokenPromiseException("R1", $"node {node.Number} goes by a breaker of its own, and should reject");
            return;
        }

        var trial = pass.Trial;
        if (_bans.Find(ban => ban.BansFrom <= Now && Now < ban.Until && (trial == 0 || trial < ban.Generation)) is { } ban)
        {
            throw new BrokenPromiseException("B1", $"node {node.Number} lets a call through, {Now - ban.BansFrom} after a switch had returned");
        }

        if (pass.Trial == 0)
            return;
        if (!_trialsBegun.Add(pass.Trial))
            throw new BrokenPromiseException("B2", $"trial {pass.Trial} begins twice");
        var until = _leases.GetValueOrDefault(pass.Trial);
        if (until <= Now)
            throw new BrokenPromiseException("B2", $"trial {pass.Trial} begins on node {node.Number}, and was not given or is over");
        _trials[pass.Trial] = (until, node.Holder);
        CheckTrials(pass.Trial, pass.Generation);
    }

    /// <summary>A trial was given, for so long.</summary>
    public void Gave(long trial) => _leases[trial] = Now + _policy.TrialLease;

    public void Ended(in CircuitPass pass) => _trials.Remove(pass.Trial);

    /// <summary>What the downstream makes of a call.</summary>
    public (CircuitOutcome Outcome, TimeSpan Time) Call(BreakerNode node)
    {
        var isBad = AreThereFaults && (Scenario.HasOneBadNode ? node.Number == 0 : _isIll);
        var fails = _chances.Is(isBad ? Scenario.IllFailures : AreThereFaults && !Scenario.HasOneBadNode ? Scenario.WellFailures : 0);
        var hangs = AreThereFaults && _chances.Is(Scenario.Hanging);
        var isCancelled = _chances.Is(0.01);
        var isMeasured = AreThereFaults && Now.Ticks >= 5 * TimeSpan.TicksPerSecond;
        fails |= AreThereFaults && Scenario.Capacity > 0 && !TryServe();
        Made += isMeasured ? 1 : 0;
        Succeeded += !isMeasured || fails || isCancelled ? 0 : 1;
        var time = hangs ? TimeSpan.FromSeconds(10) : _chances.NextGap(1_000 / Scenario.CallTime);
        return (isCancelled ? CircuitOutcome.Ignored : fails ? CircuitOutcome.Failed : CircuitOutcome.Succeeded, time);
    }

    // Of one that is kept in memory alone nothing is promised while another lives.
    private bool IsHeld(BreakerAuthority authority) =>
        _succession.IsRecorded || (authority == Authority && Now >= _oldDiesAt + LeaseTerm.OfVerdict);

    private void CheckTrials(long trial, long generation)
    {
        var lender = _authorities.FindLast(authority => authority.Epoch <= trial)!;
        var inHand = _trials.Count(other =>
            other.Value.Until > Now && (_succession.IsRecorded || (other.Key >= lender.Epoch && other.Key < lender.Epoch + (1L << 39))));
        if (inHand > _mostTrials)
            throw new BrokenPromiseException("B2", $"{inHand} trials are under way, where {_mostTrials} may be");
        var status = lender.Circuit.Describe(Now);
        if (status.Generation == generation && status.TrialsInFlight < inHand)
            throw new BrokenPromiseException("B2", $"{inHand} trials are under way, and the authority knows of {status.TrialsInFlight}");
    }

    // It works off what came at once in a tenth of a second.
    private bool TryServe()
    {
        _canServe = Math.Min(_canServe + ((Now - _servedAt).TotalSeconds * Scenario.Capacity), Scenario.Capacity / 10);
        _servedAt = Now;
        if (_canServe < 1)
            return false;
        _canServe--;
        return true;
    }

    private BreakerNode NewNode(int number) => new(this, number, ++_incarnations, _chances.Fork());

    private void PlanArrival(int number) => Plan(_chances.NextGap(Scenario.Rate), () =>
    {
        PlanArrival(number);
        if (!_nodes[number].IsPaused(out _))
            _nodes[number].OnArrival();
    });

    private BreakerAuthority? Hears(BreakerNode node)
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

    private void ThrowSwitch()
    {
        var node = _nodes[_chances.Next(0, _nodes.Length)];
        var command = _chances.One(CircuitCommand.Trip, CircuitCommand.Trip, CircuitCommand.Isolate, CircuitCommand.Reset);
        Order(node, new CircuitOrder(node.Orders.Open(), command, null, TimeSpan.FromMilliseconds(250)));
    }

    // Repeated twice; if there is no answer then, it is unknown whether it was thrown.
    private void Order(BreakerNode node, CircuitOrder order)
    {
        for (var i = 0; i < 3; i++)
            Plan(node, TimeSpan.FromMilliseconds(300 * i), () =>
            {
                if (AreThereFaults)
                    _stage.Travel(node, isUp: true, () => Hears(node)?.Obey(node, order));
            });
    }

    private void AskAgain(BreakerNode node, CircuitOrder order)
    {
        _askedAgainAt[order.Id.Key] = Now + (order.Hold / 2);
        if (AreThereFaults)
            _stage.Travel(node, isUp: true, () => Hears(node)?.Obey(node, order));
    }

    private void Crash()
    {
        var number = _chances.Next(0, _nodes.Length);
        _nodes[number].IsGone = true;
        foreach (var (trial, (_, holder)) in _trials)
        {
            if (holder == _nodes[number].Holder)
                _trials.Remove(trial);
        }

        _nodes[number] = NewNode(number);
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
        _authorities.Add(new BreakerAuthority(this, new(Authority.Epoch + (1L << 40), Predecessor.None), _policy));
        if (!Scenario.LivesOn)
            return;
        _oldDiesAt = Now + (LeaseTerm.OfVerdict * 2 * _chances.Next());
        for (var i = 0; i < _hearsOld.Length; i++)
            _hearsOld[i] = _chances.Is(0.5);
    }

    private void Move()
    {
        if (Now < _oldDiesAt || _succession.IsNobodyThere)
            return;
        var authority = Authority;
        authority.Circuit.Describe(Now);
        _succession.Move(authority.Circuit, authority.Office, heritage =>
        {
            if (heritage is { } moved)
                authority.CarryOn(new Circuit(_policy, Now, moved with { Elapsed = Now - _succession.LeftAt }), null);
            else
                Begin();
        });
    }

    private void Begin()
    {
        var (heritage, office) = _succession.Begin((_authorities.Count == 0 ? 0 : Authority.Epoch) + (1L << 40), isExact: true);
        if (heritage.Predecessor == Predecessor.Finished)
            Authority.CarryOn(new Circuit(_policy, Now, heritage), office);
        else
            _authorities.Add(new BreakerAuthority(this, heritage, _policy) { Office = office });
        if (heritage.Predecessor != Predecessor.Lost || !Scenario.LivesOn)
            return;
        _authorities[^2].Office!.IsCutOff = _chances.Is(0.7);
        _oldDiesAt = Now + (LeaseTerm.OfOwnership * 2 * _chances.Next());
        for (var i = 0; i < _hearsOld.Length; i++)
            _hearsOld[i] = _chances.Is(0.5);
    }

    private void ChangePolicy()
    {
        var scenario = Scenario with { Threshold = _chances.Next(1, 6), Trials = _chances.Next(1, 4), TrialLease = Scenario.TrialLease * 2 };
        _policy = scenario.Policy();
        _mostTrials = Math.Max(_mostTrials, scenario.Trials);
        foreach (var authority in _authorities)
            authority.ChangeTo(_policy);
    }

    // What was under way has arrived by now. However it stands, it opens once more, and must find out by itself that all is well.
    private void Heal()
    {
        if (_succession.IsNobodyThere || !Authority.MayDecide)
        {
            Plan(TimeSpan.FromMilliseconds(100), Heal);
            return;
        }

        _bans.Clear();
        Authority.Obey(_nodes[0], new CircuitOrder(_nodes[0].Orders.Open(), CircuitCommand.Trip, null, default));
        if (Authority.Circuit.Describe(Now).State == CircuitState.Isolated)
            Authority.Obey(_nodes[0], new CircuitOrder(_nodes[0].Orders.Open(), CircuitCommand.Reset, null, default));
    }

    private void CheckAtEnd()
    {
        foreach (var node in _nodes)
            node.CheckAtEnd();
        var status = Authority.Circuit.Describe(Now);
        if (status.State != CircuitState.Closed)
            throw new BrokenPromiseException("Healed", $"{status} long after the last fault");
        if (Scenario.Rate < 20)
            return;
        foreach (var node in _nodes)
        {
            if (!node.Last.IsAdmitted || node.Last.IsAlone)
                throw new BrokenPromiseException("Healed", $"node {node.Number} goes by no word of the authority, long after the last fault");
        }
    }

    // From when on nobody is let through by what he was told before.
    private sealed class Ban(BreakerAuthority authority, RequestKey order, Instant until, long generation)
    {
        /// <summary>Trials of this and later ones are tickets of the new state.</summary>
        public long Generation { get; } = generation;

        public BreakerAuthority Authority { get; } = authority;

        public RequestKey Order { get; } = order;

        public Instant Until { get; } = until;

        public Instant BansFrom { get; set; }
    }
}
