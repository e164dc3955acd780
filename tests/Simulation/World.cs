namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>
/// The real machines of many nodes and their authority, under virtual time, on one thread, from one seed. The authority's clock is the true time.
/// </summary>
internal sealed class World
{
    private readonly Agenda _agenda = new();
    private readonly Chances _chances;
    private readonly SimulatedNode[] _nodes;
    private readonly Instant _end;
    private readonly Instant _measuredFrom;

    public World(Scenario scenario)
    {
        Scenario = scenario;
        _chances = new Chances(scenario.Seed);
        Ledger = new TokenLedger(scenario.Policy, default, epoch: 1);
        Central = new IdealBucket(scenario.Policy);
        Books = new Books(this);
        Totals = new Totals(scenario.Nodes);
        _end = new Instant(TimeSpan.FromSeconds(scenario.Seconds).Ticks);
        _measuredFrom = new Instant(TimeSpan.FromSeconds(scenario.WarmUp).Ticks);
        _nodes = new SimulatedNode[scenario.Nodes];
        for (var i = 0; i < _nodes.Length; i++)
        {
            _nodes[i] = new SimulatedNode(this, i, _chances.Fork());
            _agenda.Plan(Now + _nodes[i].NextGap(), What.Arrival, i);
        }
    }

    public Scenario Scenario { get; }

    public TokenLedger Ledger { get; }

    /// <summary>One bucket that is asked by the same callers.</summary>
    public IdealBucket Central { get; }

    public Books Books { get; }

    public Totals Totals { get; }

    public IReadOnlyList<SimulatedNode> Nodes => _nodes;

    /// <summary>The true time.</summary>
    public Instant Now { get; private set; }

    public bool IsMeasured => Now >= _measuredFrom;

    public long Events { get; private set; }

    /// <summary>Runs to the end.</summary>
    /// <exception cref="BrokenPromiseException">A checker found something.</exception>
    public World Run()
    {
        while (!_agenda.IsEmpty && _agenda.NextAt <= _end)
        {
            var entry = _agenda.Take();
            Now = entry.At;
            Events++;
            Happen(entry);
            if (Scenario.ChecksBooks)
                Books.Check();
        }

        Now = _end;
        Books.CheckAtEnd();
        return this;
    }

    public void PlanTimer(int node, Instant at) => _agenda.Plan(at, What.Timer, node);

    /// <summary>Puts a request on its way.</summary>
    public void Send(int node, PartRequest request)
    {
        Totals.Call(node, IsMeasured);
        _agenda.Plan(Now + OneWay(), What.Request, node, request);
    }

    public void Admitted(int node, int tokens)
    {
        Books.Admitted(tokens);
        Totals.Admitted(node, tokens, IsMeasured);
    }

    private void Happen(in Entry entry)
    {
        var node = _nodes[entry.Node];
        switch (entry.What)
        {
            case What.Arrival:
                _agenda.Plan(Now + node.NextGap(), What.Arrival, entry.Node);
                node.OnArrival();
                break;
            case What.Timer:
                node.OnTimer(Now);
                break;
            case What.Request:
                var request = (PartRequest)entry.Message!;
                var grant = Ledger.Renew(request, Now);
                if (grant.Served > 0)
                    Admitted(entry.Node, grant.Served);
                Books.Answered(entry.Node, grant);
                _agenda.Plan(Now + OneWay(), What.Answer, entry.Node, grant);
                break;
            case What.Answer:
                node.OnAnswer((PartGrant)entry.Message!);
                break;
        }
    }

    private TimeSpan OneWay() => TimeSpan.FromMilliseconds(Scenario.RoundTrip) / 2 * (0.8 + (0.4 * _chances.Next()));
}
