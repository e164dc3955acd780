namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>
/// An activation: the machine, around it what the grain does, and beside it the plainest breaker there is, told the same in the same order.
/// </summary>
internal sealed class BreakerAuthority
{
    private readonly BreakerWorld _world;
    private AnswerLog<Obedience> _answers = new();
    private readonly Dictionary<Borrower, long> _heard = [];
    private readonly List<(CircuitOrder Order, BreakerNode Node, Instant Until)> _held = [];
    private readonly Dictionary<long, int> _rounds = [];
    private readonly Dictionary<long, ReferenceBreaker.Call> _trials = [];
    private readonly Dictionary<Borrower, List<long>> _given = [];
    private readonly HashSet<Borrower> _failing = [];
    private readonly HashSet<RequestKey> _thrown = [];
    private ReferenceBreaker? _reference;
    private (long Generation, CircuitState State) _last;

    public BreakerAuthority(BreakerWorld world, in Heritage<BreakerMemory> heritage, CircuitBreakerPolicy policy)
    {
        (_world, Epoch) = (world, heritage.Epoch);
        Circuit = new Circuit(policy, world.Now, heritage);
        var scenario = world.Scenario;
        if (scenario.Quorum == 1 && scenario.Ratio == 0 && scenario.Shedding is null && scenario.PolicyChanges == 0 && heritage.Memory is null)
        {
            _reference = new ReferenceBreaker(
                policy.FailureThreshold, policy.CoolDown.Ticks, policy.HalfOpenMaxCalls, policy.TrialLease.Ticks);
        }

        Conclude();
    }

    public long Epoch { get; }

    public Circuit Circuit { get; private set; }

    /// <summary>Its record, where one is kept.</summary>
    public Office<BreakerMemory>? Office { get; set; }

    /// <summary>Whether it may answer at all.</summary>
    public bool MayDecide => Office is null || Office.MayDecide(Circuit);

    /// <summary>
    /// Another activation carries on. Whoever waits for an order to be obeyed asks again. The reference knows of no time that does not count: a
    /// trial's.
    /// </summary>
    public void CarryOn(Circuit circuit, Office<BreakerMemory>? office)
    {
        if (Circuit.Describe(_world.Now).TrialsInFlight > 0 || circuit.Describe(_world.Now).TrialsInFlight > 0)
            _reference = null;
        (Circuit, Office, _answers) = (circuit, office, new AnswerLog<Obedience>());
        _held.Clear();
        Conclude();
    }

    /// <summary>Says something, when what it has decided is recorded.</summary>
    public void Answer(Action say)
    {
        if (Office is null)
            say();
        else
            Office.Answer(Circuit, say);
    }

    public VerdictGrant Renew(BreakerNode node, in VerdictRequest request)
    {
        var now = _world.Now;
        _reference?.PassTime(now.Ticks);
        var isNew = request.Sequence > _heard.GetValueOrDefault(request.Holder) && !HasSuccessor(request);
        if (isNew)
            Hear(request);
        var grant = Circuit.Renew(request, now);
        if (isNew && grant.Trials > 0)
            Give(request.Holder, grant);
        if (grant.State == CircuitState.Open && grant.Cause == CircuitCause.Failures && node.Number != 0 && _world.IsOneNodeBad)
            throw new BrokenPromiseException("Poison", $"one bad node opened the circuit of node {node.Number}: {grant.Cause}");
        Conclude();
        return grant;
    }

    public void Obey(BreakerNode node, in CircuitOrder order)
    {
        var now = _world.Now;
        _reference?.PassTime(now.Ticks);
        var obedience = Ask(order);
        if (!obedience.IsGiven)
            return; // it has a successor, and says so
        if (_thrown.Add(order.Id.Key))
            Throw(order);
        Conclude();
        if (obedience.IsObeyed)
        {
            _world.Answer(node, this, order, obedience);
        }
        else
        {
            _held.Add((order, node, now + order.Hold));
            _world.Plan(obedience.ObeyedAfter < order.Hold ? obedience.ObeyedAfter : order.Hold, LookAtHeld);
        }
    }

    public void ChangeTo(CircuitBreakerPolicy policy)
    {
        Circuit.ChangeTo(policy, _world.Now);
        Conclude();
    }

    private bool HasSuccessor(in VerdictRequest request)
    {
        if (request.Epoch > Epoch)
            IsSucceeded = true;
        return IsSucceeded;
    }

    private bool IsSucceeded { get; set; }

    private Obedience Ask(in CircuitOrder order) =>
        _answers.Once(order.Id, _world.Now, Circuit, order, static (circuit, order, now) => circuit.Obey(order, now));

    private void Throw(in CircuitOrder order)
    {
        if (order.Command == CircuitCommand.Reset)
            _reference?.Reset();
        else if (order.Command == CircuitCommand.Isolate)
            _reference?.Isolate();
        else
            _reference?.Trip(_world.Now.Ticks);
        _world.Thrown(this, order);
    }

    // What the machine has not heard of this node before, told to the reference as it stands.
    private void Hear(in VerdictRequest request)
    {
        _heard[request.Holder] = request.Sequence;
        foreach (var news in request.Outcomes ?? [])
        {
            if (news.Outcome == CircuitOutcome.Failed)
                _failing.Add(request.Holder);
            if (_reference is null)
                continue;
            var call = news.Trial != 0 ? _trials.GetValueOrDefault(news.Trial)
                : _rounds.TryGetValue(news.Generation, out var round) ? new ReferenceBreaker.Call(round, long.MaxValue) : null;
            for (var i = 0; i < news.Calls && call is not null; i++)
                _reference.End(call, news.Outcome, _world.Now.Ticks);
        }

        var held = request.Trials ?? [];
        foreach (var given in _given.GetValueOrDefault(request.Holder) ?? [])
        {
            if (!held.Contains(given) && _trials.TryGetValue(given, out var call))
                _reference?.End(call, CircuitOutcome.Ignored, _world.Now.Ticks);
        }
    }

    private void Give(Borrower holder, in VerdictGrant grant)
    {
        if (!_given.TryGetValue(holder, out var given))
            _given.Add(holder, given = []);
        for (var i = 0; i < grant.Trials; i++)
        {
            given.Add(grant.FirstTrial + i);
            _world.Gave(grant.FirstTrial + i);
            if (_reference is null)
                continue;
            if (_reference.Begin(_world.Now.Ticks) is not { } call || call.EndsAt == long.MaxValue)
                throw new BrokenPromiseException("Reference", "a trial was given that the reference breaker has no place for");
            _trials[grant.FirstTrial + i] = call;
        }
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
        var status = Circuit.Describe(now);
        if (status.Generation != _last.Generation)
        {
            if (_last != default && status.Cause == CircuitCause.Quorum && _failing.Count < _world.Scenario.Quorum)
                throw new BrokenPromiseException("Quorum", $"opened for all, and {_failing.Count} nodes had failures");
            _failing.Clear();
            _last = (status.Generation, status.State);
        }

        if (_reference is not null)
        {
            _reference.PassTime(now.Ticks);
            _rounds[status.Generation] = _reference.Round;
            var state = status.State switch
            {
                CircuitState.Closed => "closed",
                CircuitState.Open => "open",
                CircuitState.HalfOpen => "half open",
                _ => "isolated",
            };
            if (state != _reference.State || status.ConsecutiveFailures != _reference.Failures || status.TrialsInFlight != _reference.TrialCount)
            {
                throw new BrokenPromiseException(
                    "Reference",
                    $"{state}, {status.ConsecutiveFailures} failures, {status.TrialsInFlight} trials; the reference breaker: {_reference.State}, "
                    + $"{_reference.Failures}, {_reference.TrialCount}");
            }
        }

        var (epoch, version) = Circuit.Shown;
        foreach (var holder in Circuit.TakeHints(now))
            _world.Hint(holder.Borrower, epoch, version);
        if (_held.Count > 0 && !Circuit.IsAwaitingObedience(now))
            LookAtHeld();
    }
}
