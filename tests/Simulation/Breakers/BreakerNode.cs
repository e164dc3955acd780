namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>A node: the machine, and around it what the shell does. Its clock began at some other time, and runs a little faster or slower.</summary>
internal sealed class BreakerNode : INodeObserver, IActor
{
    private static readonly TimeSpan RepeatAfter = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan GiveUpAfter = TimeSpan.FromSeconds(1);

    private readonly BreakerWorld _world;
    private readonly Chances _chances;
    private readonly DriftingClock _clock;
    private readonly double _behind;
    private readonly List<(CircuitCaller Caller, Instant Since)> _atTheDoor = [];
    private readonly List<(CircuitTelling Telling, Instant Since)> _telling = [];
    private (VerdictGrant Grant, Instant AskedAt) _taken;
    private Instant _askedAt;
    private Instant _timerAt = Instant.Never;
    private Instant _pausedUntil;

    public BreakerNode(BreakerWorld world, int number, int incarnation, Chances chances)
    {
        (_world, Number, _chances) = (world, number, chances);
        _clock = new DriftingClock(world.Scenario.Drift, chances);
        _behind = chances.Next() * world.Scenario.Behind * TimeSpan.TicksPerMillisecond;
        Holder = new Borrower(new Guid(number + 1, (short)incarnation, 0, new byte[8]), 1);
        Orders = new RequestChannel(Holder.Node, 2);
        View = new CircuitView(Holder, world.Scenario.Fallback);
    }

    public int Number { get; }

    public Borrower Holder { get; }

    public RequestChannel Orders { get; }

    public CircuitView View { get; }

    public bool IsGone { get; set; }

    /// <summary>Callers who had to wait for the authority; not those of the first second, nor of the end.</summary>
    public long Waited { get; private set; }

    /// <summary>How the last caller was decided.</summary>
    public (bool IsAdmitted, bool IsAlone) Last { get; private set; }

    private Instant Clock => _clock.At(_world.Now);

    private Instant Glance => new(Clock.Ticks - (long)_behind);

    public void PauseUntil(Instant until) => _pausedUntil = Instant.Later(_pausedUntil, until);

    public bool IsPaused(out Instant until)
    {
        until = _pausedUntil;
        return until > _world.Now;
    }

    public void OnArrival()
    {
        var verdict = View.Verdict;
        if (verdict.Admits(Glance))
        {
            Begin(new CircuitPass(true, verdict.Generation, 0, null, CircuitState.Closed));
            return;
        }

        var fate = View.Enter(Clock, out var pass, out var caller);
        if (caller is not null)
        {
            Waited += _world.AreThereFaults && _world.Now.Ticks > TimeSpan.TicksPerSecond ? 1 : 0;
            _atTheDoor.Add((caller, _world.Now));
        }
        else
        {
            Decided(fate, pass);
        }

        Follow();
    }

    public void OnTimer()
    {
        if (_timerAt > _world.Now)
            return; // it has been set anew
        _timerAt = Instant.Never;
        View.Advance(Clock);
        Follow();
    }

    public void OnAnswer(in VerdictGrant grant)
    {
        if (grant.Sequence == 0)
        {
            View.Fail(View.Awaited, isSilent: true, _chances.Next(), Clock);
        }
        else
        {
            if (grant.Sequence == View.Awaited)
                _taken = (grant, _askedAt);
            View.Take(grant, Clock);
        }

        Follow();
    }

    public void OnHint(long epoch, long version)
    {
        View.Hint(epoch, version, Clock);
        Follow();
    }

    public void OnPatience(VerdictRequest request, Instant askedAt)
    {
        if (View.Awaited != request.Sequence)
            return;
        if (_world.Now - askedAt >= GiveUpAfter)
        {
            View.Fail(request.Sequence, isSilent: true, _chances.Next(), Clock);
            Follow();
            return;
        }

        _world.Send(this, request);
        _world.Plan(this, RepeatAfter, () => OnPatience(request, askedAt));
    }

    void INodeObserver.Changed(int channel, long epoch, long version, int wanted) => OnHint(epoch, version);

    private void Decided(CircuitFate fate, in CircuitPass pass)
    {
        Last = (fate == CircuitFate.Admitted, fate == CircuitFate.Unavailable || pass.Generation < 0);
        if (fate == CircuitFate.Admitted)
            Begin(pass);
        else
            _world.RejectedBy[Number]++;
    }

    private void Begin(CircuitPass pass)
    {
        Last = (true, pass.Generation < 0);
        _world.Began(this, pass);
        var (outcome, time) = _world.Call(this);
        _world.Plan(this, time, () => OnEnd(pass, outcome));
    }

    private void OnEnd(CircuitPass pass, CircuitOutcome outcome)
    {
        _world.Ended(pass);
        var verdict = View.Verdict;
        if (outcome == CircuitOutcome.Succeeded && pass.Generation == verdict.Generation && verdict.Admits(Glance))
        {
            verdict.Tally?.Add();
            CheckSilence(pass);
            return;
        }

        var before = View.Untold;
        var isKnown = View.IsAuthorityHeard;
        if (View.Tell(pass, outcome, default, Clock) is { } telling)
            _telling.Add((telling, _world.Now));
        else if (isKnown && outcome == CircuitOutcome.Failed && pass.Generation == _taken.Grant.Generation && pass.Trial == 0)
            throw new BrokenPromiseException("B4", $"a failure on node {Number} was not told");
        var isLeftOut = outcome == CircuitOutcome.Succeeded && View.Untold == before && pass.Trial == 0;
        if (isKnown && isLeftOut && _world.Scenario is { Ratio: 0, Shedding: null })
            CheckSilence(pass);
        Follow();
    }

    // A success is left out only while the node believes that nothing fails, and may.
    private void CheckSilence(in CircuitPass pass)
    {
        var (grant, askedAt) = _taken;
        if (pass.Generation != grant.Generation)
            return;
        if (grant.IsFailing || Clock > LeaseTerm.HeldUntil(askedAt, grant.Term))
            throw new BrokenPromiseException("B4", $"a success on node {Number} was left out, though failures are counted");
    }

    // What the shell does after every verb.
    private void Follow()
    {
        if (View.TryAsk(Clock, this, out var request))
        {
            _askedAt = Clock;
            _world.Send(this, request);
            var askedAt = _world.Now;
            _world.Plan(this, RepeatAfter, () => OnPatience(request, askedAt));
        }

        for (var i = 0; i < _atTheDoor.Count; i++)
        {
            var (caller, since) = _atTheDoor[i];
            if (caller.Fate == CircuitFate.AtTheDoor)
                continue;
            _atTheDoor.RemoveAt(i--);
            CheckWait(since, "at the door");
            Decided(caller.Fate, caller.Pass);
        }

        for (var i = 0; i < _telling.Count; i++)
        {
            if (!_telling[i].Telling.IsOver)
                continue;
            CheckWait(_telling[i].Since, "for his failure to be told");
            _telling.RemoveAt(i--);
        }

        SetTimer();
    }

    /// <summary>Nobody is left waiting.</summary>
    public void CheckAtEnd()
    {
        foreach (var (_, since) in _atTheDoor)
            CheckWait(since, "at the door");
        foreach (var (_, since) in _telling)
            CheckWait(since, "for his failure to be told");
    }

    // One request that is under way, and the next, each with its time.
    private void CheckWait(Instant since, string where)
    {
        if (_world.Scenario.Pauses == 0 && _world.Now - since > (GiveUpAfter + RepeatAfter) * 2)
            throw new BrokenPromiseException("R1", $"a caller of node {Number} waited {_world.Now - since} {where}");
    }

    private void SetTimer()
    {
        var due = View.NextDueAt;
        if (due == Instant.Never)
            return;
        var at = Instant.Later(_clock.TrueAt(due), _world.Now);
        if (_world.Scenario.Late > 0)
            at += TimeSpan.FromMilliseconds(_world.Scenario.Late * _chances.Next());
        if (at >= _timerAt)
            return;
        _timerAt = at;
        _world.Plan(this, at - _world.Now, OnTimer);
    }
}
