namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>A node: the machine, and around it what the shell does. Its clock may begin elsewhere, and run a little faster or slower.</summary>
internal sealed class SimulatedNode
{
    private readonly World _world;
    private readonly int _number;
    private readonly Chances _chances;
    private readonly double _rate;
    private readonly List<Waiting> _waiting = [];
    private Instant _timerAt = Instant.Never;

    public SimulatedNode(World world, int number, Chances chances)
    {
        (_world, _number, _chances) = (world, number, chances);
        _rate = world.Scenario.RateOf(number);
        Stock = new TokenStock(new PartHolder(new Guid(number, 0, 0, new byte[8]), 1), Clock);
    }

    public TokenStock Stock { get; }

    /// <summary>What the node's clock shows.</summary>
    public Instant Clock => _world.Now;

    public TimeSpan NextGap() => _chances.NextGap(_rate);

    public void OnArrival()
    {
        var wouldBeAdmitted = _world.Central.TryTake(1, _world.Now);
        _world.Totals.Arrived(wouldBeAdmitted, _world.IsMeasured);
        if (Stock.Lot.TryTake(1, Clock))
        {
            _world.Admitted(_number, 1);
            return;
        }

        var caller = Stock.Acquire(1, mayWait: false, Clock);
        _waiting.Add(new Waiting(caller, _world.Now, wouldBeAdmitted));
        Follow();
    }

    public void OnTimer(Instant at)
    {
        if (at != _timerAt)
            return; // it has been set anew
        _timerAt = Instant.Never;
        Stock.Advance(Clock);
        Follow();
    }

    public void OnAnswer(in PartGrant grant)
    {
        Stock.Take(grant, Clock);
        Follow();
    }

    // What the shell does after every verb: it tells callers what became of them, sends what is to be sent, and sets its timer.
    private void Follow()
    {
        if (Stock.TryAsk(Clock, _chances.Next(), out var request))
            _world.Send(_number, request);
        var kept = 0;
        for (var i = 0; i < _waiting.Count; i++)
        {
            if (_waiting[i].Caller.Fate == CallerFate.Undecided)
                _waiting[kept++] = _waiting[i];
            else
                Decided(_waiting[i]);
        }

        _waiting.RemoveRange(kept, _waiting.Count - kept);
        var at = Instant.Later(Stock.NextDueAt, _world.Now);
        if (at < _timerAt)
        {
            _timerAt = at;
            _world.PlanTimer(_number, at);
        }
    }

    private void Decided(in Waiting waiting)
    {
        _world.Totals.Waited(_world.Now - waiting.Since, _world.IsMeasured);
        if (waiting.Caller.Fate == CallerFate.AdmittedHere)
            _world.Admitted(_number, waiting.Caller.Tokens);
        else if (waiting.Caller.Fate == CallerFate.Refused)
            _world.Totals.Refused(waiting.WouldBeAdmitted, _world.IsMeasured);
    }

    private readonly record struct Waiting(TokenCaller Caller, Instant Since, bool WouldBeAdmitted);
}
