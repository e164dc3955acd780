namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>
/// The real machines of many nodes and their authority, under virtual time, on one thread, from one seed. The authority's clock is the true time.
/// </summary>
internal sealed class World
{
    private const int MostEventsAtOnce = 100_000;

    // The time that shares take to follow a shift of demand.
    private static readonly TimeSpan BelowSupplyAfter = TimeSpan.FromMilliseconds(500);

    private readonly Agenda _agenda = new();
    private readonly Chances _chances;
    private readonly Chances _refunds;
    private readonly SimulatedNode[] _nodes;
    private readonly double[] _rates;
    private readonly List<SimulatedAuthority> _authorities = [];
    private readonly bool[] _hearsOld;
    private readonly Dictionary<(int Node, bool IsUp), Instant> _partedUntil = [];
    private readonly Ceiling _whole;
    private readonly Instant _faultsEnd;
    private readonly Instant _arrivalsEnd;
    private readonly Instant _end;
    private readonly Instant _measuredFrom;
    private RateLimiterPolicy _policy;
    private Instant _policyKeptUntil;
    private Instant _raisedUntil = Instant.Never;
    private Instant _oldDiesAt;
    private readonly Succession<LimiterMemory> _succession;
    private Instant _policyChangedAt;
    private readonly List<Letter>? _held;
    private Instant _centralShortAt;
    private bool _isOneMoreComingBack;
    private long _movesBefore;
    private int _incarnations;
    private int _eventsNow;

    /// <param name="scenario">What it is made of.</param>
    /// <param name="shares">Who decides how much each node is to get; null: as the product does.</param>
    /// <param name="held">Where messages go, for somebody who delivers them as he likes; null: they travel by themselves.</param>
    public World(Scenario scenario, TokenShares? shares = null, List<Letter>? held = null)
    {
        (Scenario, Shares, _held) = (scenario, shares, held);
        _chances = new Chances(scenario.Seed);
        _refunds = new Chances(~scenario.Seed);
        _policy = scenario.Policy();
        Central = new IdealBucket(_policy);
        _whole = new Ceiling("L1 over all", _policy, scenario.ChecksBooks);
        Totals = new Totals(scenario.Nodes);
        _arrivalsEnd = At(scenario.Seconds);
        _faultsEnd = At(scenario.Seconds * scenario.Faulty);
        _end = At(scenario.Seconds + scenario.Drain);
        _measuredFrom = At(scenario.WarmUp);
        _succession = new Succession<LimiterMemory>(
            _chances, () => Now, Plan, () => scenario.FailingWrites, scenario.Durability, scenario.RecordsLate);
        if (_succession.IsRecorded)
            Begin();
        else
            _authorities.Add(new SimulatedAuthority(this, new(1, Predecessor.None), Told(_policy), _policy));
        _nodes = new SimulatedNode[scenario.Nodes];
        _rates = new double[scenario.Nodes];
        _hearsOld = new bool[scenario.Nodes];
        for (var i = 0; i < _nodes.Length; i++)
        {
            _nodes[i] = new SimulatedNode(this, i, ++_incarnations, _chances.Fork());
            _rates[i] = scenario.RateOf(i);
        }

        if (scenario.StartsEmpty)
            Empty();
        PlanArrivals();
        foreach (var (fault, perSecond) in Faults())
            PlanFault(fault, perSecond);
    }

    private enum Fault
    {
        Partition,
        Pause,
        Crash,
        Loss,
        PolicyChange,
        Move,
    }

    public Scenario Scenario { get; }

    public TokenShares? Shares { get; }

    /// <summary>The activation that is found today.</summary>
    public SimulatedAuthority Authority => _authorities[^1];

    /// <summary>One bucket that is asked by the same callers.</summary>
    public IdealBucket Central { get; }

    public Totals Totals { get; }

    public IReadOnlyList<SimulatedNode> Nodes => _nodes;

    /// <summary>The true time.</summary>
    public Instant Now { get; private set; }

    public bool IsMeasured => Now >= _measuredFrom && Now < _arrivalsEnd;

    /// <summary>Whether a message may not come.</summary>
    public bool CanFail => Scenario.Loss > 0 || Scenario.Delay > 0 || Scenario.Partitions > 0 || Scenario.Losses > 0 || Scenario.Pauses > 0
        || Scenario.Moves > 0 || Scenario.FailingWrites > 0 || Scenario.Durability == Durability.Fenced;

    public bool HasFaults => CanFail || Scenario.Duplication > 0 || Scenario.Crashes > 0 || Scenario.Drift > 0 || Scenario.PolicyChanges > 0;

    public long Events { get; private set; }

    public long Callers { get; set; }

    private bool AreThereFaults => Now < _faultsEnd;

    public static RateLimiterPolicy Policy(int rate, int burst, int queueLimit) =>
        new() { TokensPerPeriod = rate, Period = TimeSpan.FromSeconds(1), Burst = burst, QueueLimit = queueLimit };

    /// <summary>Runs to the end.</summary>
    /// <exception cref="BrokenPromiseException">A checker found something.</exception>
    public World Run()
    {
        Happen(_end);
        if (Scenario.ChecksBooks)
            CheckAtEnd();
        return this;
    }

    /// <summary>All happens that is to happen by then.</summary>
    /// <exception cref="BrokenPromiseException">A checker found something.</exception>
    public void Pass(TimeSpan time) => Happen(Now + time);

    /// <summary>Delivers one of the messages that were held.</summary>
    /// <exception cref="BrokenPromiseException">A checker found something.</exception>
    public void Deliver(Letter letter)
    {
        if (letter.IsUp)
            OnRequest(letter);
        else
            OnAnswer(letter);
        CheckBooks();
    }

    private void Happen(Instant end)
    {
        while (!_agenda.IsEmpty && _agenda.NextAt <= end)
        {
            var entry = _agenda.Take();
            _eventsNow = entry.At == Now ? _eventsNow + 1 : 0;
            if (_eventsNow > MostEventsAtOnce)
                throw new BrokenPromiseException("Stuck", $"time does not pass at {TimeSpan.FromTicks(Now.Ticks)}");
            PassUntil(entry.At);
            Events++;
            Happen(entry);
            if (Scenario.ChecksBooks)
                CheckBooks();
        }

        PassUntil(end);
    }

    private void Plan(TimeSpan after, Action action) => _agenda.Plan(Now + after, What.Do, null, action);

    public void Plan(What what, SimulatedNode node, TimeSpan after, object? message = null) => _agenda.Plan(Now + after, what, node, message);

    public void Called(SimulatedNode node) => Totals.Call(node.Number, IsMeasured, Now);

    public void Send(SimulatedNode node, in PartRequest request) => Send(node, true, new Letter(node) { PartRequest = request });

    public void Send(SimulatedNode node, Waiting waiting, in TokenRequest request) =>
        Send(node, true, new Letter(node) { Waiting = waiting, TokenRequest = request });

    public void Send(SimulatedNode node, in RequestId cancelled) => Send(node, true, new Letter(node) { Cancelled = cancelled });

    /// <summary>What stands in a bucket that was fed with all admissions.</summary>
    public Int128 Ideal(Instant at) => _whole.LevelAt(at);

    /// <summary>What one central bucket does with the same caller.</summary>
    public Central Arrives(SimulatedNode node, int tokens, CallerPatience patience)
    {
        var isAdmitted = patience == CallerPatience.ForTokens || Central.TryTake(tokens, Now);
        if (patience == CallerPatience.ForTokens)
            Central.Take(tokens, Now);
        var wait = Central.OwedFor(Now);
        if (!isAdmitted || wait > TimeSpan.Zero)
            _centralShortAt = Now;
        Totals.Arrived(node.Number, tokens, isAdmitted ? tokens : 0, IsMeasured);
        return new Central(isAdmitted, wait, Now - _centralShortAt > BelowSupplyAfter);
    }

    /// <summary>Tokens were taken from a part, which one of the authorities lent.</summary>
    public void AdmittedHere(SimulatedNode node, int tokens, long epoch, Instant at)
    {
        Totals.Admitted(node.Number, tokens, IsMeasured);
        var lender = _authorities.Find(authority => authority.Epoch == epoch)!;
        if (at == Now && Scenario.ChecksBooks)
            lender.Books.CheckTerm(node);
        Admitted(lender, tokens, at);
        if (Scenario.Refunds == 0 || !_refunds.Is(Scenario.Refunds))
            return;
        Plan(TimeSpan.FromSeconds(_refunds.Next()), () =>
        {
            if (!node.IsGone && !node.IsPaused(out _))
                node.OnRefund(tokens);
        });
    }

    /// <summary>Tokens have come back to a part that one of the authorities lent.</summary>
    public void Refunded(long epoch, int tokens)
    {
        if (tokens > 0)
            Returned(_authorities.Find(authority => authority.Epoch == epoch)!, (Int128)tokens * _policy.Period.Ticks);
    }

    /// <summary>Tokens for which a part had no room come back to the authority, if the message gets there.</summary>
    public void Send(int refund)
    {
        if (AreThereFaults && _refunds.Is(Scenario.Loss))
            return;
        Plan(TimeSpan.FromMilliseconds(Scenario.RoundTrip / 2), () =>
        {
            var authority = Authority;
            if (!authority.MayDecide)
                return;
            authority.Ledger.Describe(Now);
            var before = authority.Ledger.Rest.Units;
            authority.Ledger.Refund(refund, Now);
            var scale = authority.Ledger.Rest.Cost / _policy.Period.Ticks;
            Returned(authority, (authority.Ledger.Rest.Units - before + scale - 1) / scale);
        });
    }

    /// <summary>Tokens were given by an authority itself.</summary>
    public void AdmittedThere(SimulatedNode node, SimulatedAuthority authority, int tokens, Instant at)
    {
        Totals.Admitted(node.Number, tokens, IsMeasured);
        Admitted(authority, tokens, at);
    }

    public void Decided(TimeSpan wait, Waiting waiting, bool isAdmitted)
    {
        var isWaitOfInterest = Scenario.Waiters == 0 || waiting.Caller.Patience == CallerPatience.ForTokens;
        Totals.Decided(waiting.Central, isAdmitted, isWaitOfInterest ? wait : null, waiting.Since >= _measuredFrom && IsMeasured);
    }

    /// <summary>One was admitted by a hit.</summary>
    public void Hit() => Totals.Decided(new Central(true, default, false), true, Scenario.Waiters == 0 ? TimeSpan.Zero : null, IsMeasured);

    /// <summary>
    /// Where nobody else comes before him, he comes back when he was told to, and must be admitted; unless a renewal has moved something between
    /// the rest and a part in the meantime.
    /// </summary>
    public void Refused(SimulatedNode node, Waiting waiting)
    {
        if (Scenario.Traffic != Traffic.ComingBack || waiting.Caller.Patience != CallerPatience.ForAnAnswer)
            return;
        if (waiting.IsBack && _movesBefore == Authority.Books.Moves)
            throw new BrokenPromiseException("L5", $"refused again, when he came back as told, at {TimeSpan.FromTicks(Now.Ticks)}");
        if ((waiting.Asks == 0 && node.Stock.Part.Room == 0) || node.Stock.Books.Awaited != 0)
            return; // he was told what another had been told before, or what is under way moves something
        (_isOneMoreComingBack, _movesBefore) = (true, waiting.Asks == 0 ? Authority.Books.Moves : waiting.MovesBefore);
        Plan(What.Return, node, waiting.Caller.RetryAfter, waiting.Caller.Tokens);
    }

    public void CameBack() => _isOneMoreComingBack = false;

    /// <summary>
    /// An authority was first asked by one who does not know that it had a predecessor. That costs a burst, until what the predecessor lent and
    /// promised has ended.
    /// </summary>
    public void StartedUnaware(SimulatedAuthority authority)
    {
        if (authority == _authorities[0] || _succession.IsRecorded)
            return;
        _whole.Raise(_policy.Burst, Now);
        _raisedUntil = authority.BornAt + LeaseTerm.OfPart;
    }

    private static Instant At(double seconds) => new(TimeSpan.FromSeconds(seconds).Ticks);

    private void Admitted(SimulatedAuthority authority, int tokens, Instant at)
    {
        if (Scenario.ChecksBooks)
            authority.Books.Admitted(tokens, at);
        if (Scenario.LivesOn && Scenario.Durability != Durability.Fenced)
            return; // of two that live at once nothing is promised but what each promises by itself
        _whole.Take(tokens, at);
    }

    private void Returned(SimulatedAuthority authority, Int128 units)
    {
        if (Scenario.ChecksBooks)
            authority.Books.Returned(units);
        if (!Scenario.LivesOn || Scenario.Durability == Durability.Fenced)
            _whole.Return(units, Now);
    }

    private void PassUntil(Instant at)
    {
        if (_raisedUntil <= at)
        {
            _whole.ChangeTo(_policy, _raisedUntil);
            _raisedUntil = Instant.Never;
        }

        if (Now < _measuredFrom && at >= _measuredFrom)
            Totals.Begin(Stock(_measuredFrom), Central.TokensAt(_measuredFrom));
        if (Now < _arrivalsEnd && at >= _arrivalsEnd)
            Totals.End(Stock(_arrivalsEnd), Central.TokensAt(_arrivalsEnd), _nodes.Count(node => node.Stock.Part.Room > 0));
        Now = at;
        foreach (var authority in _authorities)
            authority.Books.Advance();
    }

    // Tokens in the rest and in all parts.
    private double Stock(Instant at)
    {
        Authority.Ledger.Describe(at);
        double all = Authority.Ledger.Rest.Units;
        foreach (var node in _nodes)
            all += (double)node.Stock.Part.UnitsAt(node.ClockAt(at)) * Authority.Ledger.Rest.Cost / node.Stock.Part.Cost;
        return all / Authority.Ledger.Rest.Cost;
    }

    private void Empty()
    {
        Authority.Ledger.Acquire(new TokenRequest(new RequestChannel(default, 1).Open(), _policy.Burst, false), Now);
        Central.Take(_policy.Burst, Now);
        _whole.Take(_policy.Burst, Now);
        if (Scenario.ChecksBooks)
            Authority.Books.Admitted(_policy.Burst, Now);
    }

    private void CheckBooks()
    {
        foreach (var authority in _authorities)
            authority.Books.Check();
    }

    private void CheckAtEnd()
    {
        foreach (var authority in _authorities)
            authority.Books.CheckAtEnd();
        if (Scenario.Drain == 0)
            return;
        foreach (var node in _nodes)
        {
            if (node.Undecided > 0)
                throw new BrokenPromiseException("Forgotten", $"{node.Undecided} callers of node {node.Number} still wait at the end");
        }

        Authority.Ledger.Describe(Now);
        if (Authority.Ledger.Parts.LentRoom > 0 || Authority.Ledger.Parts.LentRate > 0)
            throw new BrokenPromiseException("Back", "not all that was lent is back at the end");
    }

    private void Happen(in Entry entry)
    {
        var node = entry.Node;
        if (node is not null && entry.What != What.Request && entry.What != What.Arrival && (node.IsGone || IsDeferred(node, entry)))
            return;
        switch (entry.What)
        {
            case What.Arrival:
                OnArrival((int)entry.Message!);
                break;
            case What.Return:
                if (Now < _arrivalsEnd)
                    node!.OnArrival((int)entry.Message!, CallerPatience.ForAnAnswer, isBack: true);
                break;
            case What.Leave:
                node!.OnLeave((Waiting)entry.Message!);
                break;
            case What.Timer:
                node!.OnTimer();
                break;
            case What.Time:
                node!.OnTime((Waiting)entry.Message!);
                break;
            case What.PartPatience:
                var (request, askedAt) = ((PartRequest, Instant))entry.Message!;
                node!.OnPatience(request, askedAt);
                break;
            case What.Patience:
                var (waiting, ask) = ((Waiting, int))entry.Message!;
                node!.OnPatience(waiting, ask);
                break;
            case What.Request:
                OnRequest((Letter)entry.Message!);
                break;
            case What.Answer:
                OnAnswer((Letter)entry.Message!);
                break;
            case What.WakeUp:
                node!.WakeUp((Sleeper)entry.Message!);
                break;
            case What.Fault:
                OnFault((Fault)entry.Message!);
                break;
            case What.Do:
                ((Action)entry.Message!)();
                break;
        }
    }

    // What comes to a node that stands still it notices afterwards, in the same order.
    private bool IsDeferred(SimulatedNode node, in Entry entry)
    {
        if (!node.IsPaused(out var until))
            return false;
        _agenda.Plan(until, entry.What, node, entry.Message);
        return true;
    }

    private void PlanArrivals()
    {
        for (var i = 0; i < _nodes.Length; i++)
            _agenda.Plan(Now + NextGap(i), What.Arrival, null, i);
    }

    private TimeSpan NextGap(int node) => _chances.NextGap(_rates[node] / (Scenario.Traffic == Traffic.Bursts ? 10 : 1));

    private void OnArrival(int number)
    {
        if (Now >= _arrivalsEnd)
            return;
        _agenda.Plan(Now + NextGap(number), What.Arrival, null, number);
        var isQuiet = Scenario.Traffic switch
        {
            Traffic.OnOff => Now.Ticks % TimeSpan.TicksPerSecond > TimeSpan.TicksPerSecond * 3 / 10,
            Traffic.LateJoiner => number == _nodes.Length - 1 && Now < At(Scenario.Seconds / 2),
            Traffic.ComingBack => _isOneMoreComingBack || _nodes.Any(node => node.Undecided > 0),
            _ => false,
        };
        var node = _nodes[number];
        if (isQuiet || node.IsPaused(out _))
            return;
        for (var i = Scenario.Traffic == Traffic.Bursts ? 10 : 1; i > 0; i--)
        {
            if (AreThereFaults && _chances.Is(Scenario.Sleepers))
                Plan(What.WakeUp, node, TimeSpan.FromMilliseconds(20 * _chances.Next()), node.FallAsleep());
            var most = Math.Min(Scenario.MostTokens, _policy.Burst);
            node.OnArrival(most == 1 ? 1 : _chances.Next(1, most + 1), Patience());
        }
    }

    private CallerPatience Patience()
    {
        if (Scenario.Attempts == 0 && Scenario.Waiters == 0)
            return CallerPatience.ForAnAnswer;
        var draw = _chances.Next() * Math.Max(1, Scenario.Attempts + Scenario.Waiters);
        return draw < Scenario.Attempts ? CallerPatience.None
            : draw < Scenario.Attempts + Scenario.Waiters ? CallerPatience.ForTokens : CallerPatience.ForAnAnswer;
    }

    private void Send(SimulatedNode node, bool isUp, Letter letter)
    {
        letter.IsUp = isUp;
        if (_held is not null)
        {
            _held.Add(letter);
            return;
        }

        if (AreThereFaults)
        {
            if (_chances.Is(Scenario.Loss) || (_partedUntil.TryGetValue((node.Number, isUp), out var until) && until > Now))
                return;
            if (_chances.Is(Scenario.Duplication))
                Deliver();
        }

        Deliver();

        void Deliver()
        {
            var travel = TimeSpan.FromMilliseconds(Scenario.RoundTrip) / 2 * (0.8 + (0.4 * _chances.Next()));
            if (AreThereFaults && _chances.Is(Scenario.Delay))
                travel += TimeSpan.FromMilliseconds(_chances.One(5, 50, 500, 2_000) * _chances.Next());
            _agenda.Plan(Now + travel, isUp ? What.Request : What.Answer, node, letter);
        }
    }

    private void OnRequest(Letter letter)
    {
        var isOldAlive = _authorities.Count > 1 && Now < _oldDiesAt;
        _hearsOld[letter.Node.Number] ^= isOldAlive && _chances.Is(0.1);
        var authority = isOldAlive && _hearsOld[letter.Node.Number] ? _authorities[^2] : Authority;
        if (authority == Authority && authority.Office is { IsOver: true } && !_succession.IsNobodyThere)
            Begin();
        if (authority.Office is { IsOver: true } || (authority == Authority && _succession.IsNobodyThere) || !authority.MayDecide)
            return;
        if (letter.PartRequest is { } request)
        {
            var part = authority.Renew(letter.Node, request);
            if (part.Sequence != 0)
                authority.Answer(() => Send(letter.Node, false, new Letter(letter.Node) { PartGrant = part }));
        }
        else if (letter.TokenRequest is { } asked)
        {
            try
            {
                var grant = authority.Acquire(letter.Node, asked);
                authority.Answer(() => Send(letter.Node, false, new Letter(letter.Node) { Waiting = letter.Waiting, TokenGrant = grant }));
                letter.Waiting!.MovesBefore = authority.Books.Moves;
            }
            catch (ArgumentOutOfRangeException)
            {
                // More than a smaller policy allows: to the caller an answer like a refusal.
                Send(letter.Node, false, new Letter(letter.Node) { Waiting = letter.Waiting, TokenGrant = default(TokenGrant) });
            }
        }
        else if (letter.Cancelled is { } cancelled)
        {
            authority.Cancel(cancelled);
        }
    }

    private static void OnAnswer(Letter letter)
    {
        if (letter.PartGrant is { } part)
            letter.Node.OnAnswer(part);
        else if (letter.TokenGrant is { } grant)
            letter.Node.OnAnswer(letter.Waiting!, grant);
    }

    private IEnumerable<(Fault, double)> Faults() =>
    [
        (Fault.Partition, Scenario.Partitions),
        (Fault.Pause, Scenario.Pauses),
        (Fault.Crash, Scenario.Crashes),
        (Fault.Loss, Scenario.Losses),
        (Fault.PolicyChange, Scenario.PolicyChanges),
        (Fault.Move, Scenario.Moves),
    ];

    private void PlanFault(Fault fault, double perSecond)
    {
        if (perSecond > 0)
            _agenda.Plan(Now + _chances.NextGap(perSecond), What.Fault, null, fault);
    }

    private void OnFault(Fault fault)
    {
        if (!AreThereFaults)
            return;
        PlanFault(fault, Faults().First(each => each.Item1 == fault).Item2);
        var number = _chances.Next(0, _nodes.Length);
        var node = _nodes[number];
        switch (fault)
        {
            case Fault.Partition:
                var until = Now + (LeaseTerm.OfPart * 3 * _chances.Next());
                var direction = _chances.Next(0, 3);
                if (direction != 0)
                    _partedUntil[(number, true)] = until;
                if (direction != 1)
                    _partedUntil[(number, false)] = until;
                break;
            case Fault.Pause:
                var wakesAt = Now + (LeaseTerm.OfPart * 3 * _chances.Next() * _chances.Next());
                _agenda.Plan(wakesAt, What.WakeUp, node, node.FallAsleep());
                if (_chances.Is(0.5))
                    node.PauseUntil(wakesAt); // or only that one thread slept
                break;
            case Fault.Crash:
                node.IsGone = true;
                _nodes[number] = new SimulatedNode(this, number, ++_incarnations, _chances.Fork());
                break;
            case Fault.Loss:
                LoseActivation();
                break;
            case Fault.PolicyChange:
                ChangePolicy();
                break;
            case Fault.Move:
                Move();
                break;
        }
    }

    private void LoseActivation()
    {
        if (Now < _oldDiesAt || _succession.IsNobodyThere || (_raisedUntil != Instant.Never && Now < _raisedUntil))
            return; // one at a time
        if (_succession.IsRecorded)
            Begin();
        else
            _authorities.Add(new SimulatedAuthority(
                this, new(Authority.Epoch + 1 + _chances.Next(0, 3), Predecessor.Possible), Told(_policy), _policy));
        if (!Scenario.LivesOn || _succession.IsRecorded)
            return;
        _oldDiesAt = Now + (LeaseTerm.OfPart * 3 * _chances.Next());
        for (var i = 0; i < _hearsOld.Length; i++)
            _hearsOld[i] = _chances.Is(0.5);
    }

    private void Move()
    {
        if (Now < _oldDiesAt || _succession.IsNobodyThere)
            return;
        var authority = Authority;
        authority.Books.Left();
        authority.Ledger.Describe(Now);
        _succession.Move(authority.Ledger, authority.Office, heritage =>
        {
            if (heritage is { } moved)
                authority.CarryOn(new TokenLedger(Told(_policy), Now, moved, Shares), null, Now - _succession.LeftAt);
            else
                Begin();
        });
    }

    private void Begin()
    {
        var (heritage, office) = _succession.Begin(_authorities.Count == 0 ? 1 : Authority.Epoch + 1 + _chances.Next(0, 3));
        if (heritage.Predecessor == Predecessor.Finished)
            Authority.CarryOn(new TokenLedger(Told(_policy), Now, heritage, Shares), office, Now - _succession.LeftAt);
        else
            _authorities.Add(new SimulatedAuthority(this, heritage, Told(_policy), _policy) { Office = office });
        if (heritage.Predecessor != Predecessor.Lost || !Scenario.LivesOn)
            return;
        _authorities[^2].Office!.IsCutOff = _chances.Is(0.7);
        _oldDiesAt = Now + (LeaseTerm.OfOwnership * 2 * _chances.Next());
        for (var i = 0; i < _hearsOld.Length; i++)
            _hearsOld[i] = _chances.Is(0.5);
    }

    private void ChangePolicy()
    {
        if (Now < _policyKeptUntil || _raisedUntil != Instant.Never || (_succession.IsNobodyThere && _policyChangedAt > _succession.LeftAt))
            return; // a policy that came and went while nobody was there was never in force
        _policyChangedAt = Now;
        var rate = Math.Max(10, (int)(Scenario.Rate * _chances.One(0.2, 0.5, 1, 2)) / 10 * 10);
        var burst = Math.Max(1, (int)(Scenario.Burst * _chances.One(0.2, 0.5, 1, 2)));
        var policy = Policy(rate, burst, Scenario.QueueLimit);
        _policyKeptUntil = Now + (LeaseTerm.OfPart * 1.1);
        foreach (var authority in _authorities)
        {
            authority.Books.Changed(policy);
            authority.Ledger.ChangeTo(Told(policy), Now);
        }

        _whole.ChangeTo(Policy(Math.Max(rate, _policy.TokensPerPeriod), Math.Max(burst, _policy.Burst), 0), Now);
        _policy = policy;
        _raisedUntil = Now + LeaseTerm.OfPart;
    }

    // The same, per second or per tenth of a second: units change, and nothing else.
    private RateLimiterPolicy Told(RateLimiterPolicy policy) => Scenario.PolicyChanges == 0 || _chances.Is(0.5) ? policy : new()
    {
        TokensPerPeriod = policy.TokensPerPeriod / 10,
        Period = policy.Period / 10,
        Burst = policy.Burst,
        QueueLimit = policy.QueueLimit,
    };

    /// <summary>What is on its way between a node and its authority.</summary>
    internal sealed class Letter(SimulatedNode node)
    {
        /// <summary>To the authority.</summary>
        public bool IsUp { get; set; }

        public SimulatedNode Node { get; } = node;

        public Waiting? Waiting { get; init; }

        public PartRequest? PartRequest { get; init; }

        public PartGrant? PartGrant { get; init; }

        public TokenRequest? TokenRequest { get; init; }

        public TokenGrant? TokenGrant { get; init; }

        public RequestId? Cancelled { get; init; }
    }
}
