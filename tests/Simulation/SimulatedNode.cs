namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>
/// A node: the machine, and around it what the shell does. Its clock began at some other time, and runs a little faster or slower than the true time.
/// </summary>
internal sealed class SimulatedNode
{
    private static readonly TimeSpan RepeatAfter = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan GiveUpAfter = TimeSpan.FromSeconds(1);

    private readonly World _world;
    private readonly Chances _chances;
    private readonly double _speed;
    private readonly double _behind;
    private readonly long _origin;
    private readonly RequestChannel _channel;
    private readonly LinkedList<Waiting> _inLine = [];
    private int _asking;
    private Instant _timerAt = Instant.Never;
    private Instant _pausedUntil;

    public SimulatedNode(World world, int number, int incarnation, Chances chances)
    {
        (_world, Number, _chances) = (world, number, chances);
        var drift = world.Scenario.Drift;
        if (drift > 0)
        {
            _speed = ((2 * chances.Next()) - 1) * drift / 1e6;
            _origin = (long)(chances.Next() * TimeSpan.TicksPerDay);
        }

        _behind = chances.Next() * world.Scenario.Behind * TimeSpan.TicksPerMillisecond;
        var holder = new Borrower(new Guid(number + 1, (short)incarnation, 0, new byte[8]), 1);
        _channel = new RequestChannel(holder.Node, holder.Channel);
        Stock = new TokenStock(holder, Clock);
    }

    public int Number { get; }

    public TokenStock Stock { get; }

    /// <summary>Whether it has died.</summary>
    public bool IsGone { get; set; }

    /// <summary>What the node's clock shows.</summary>
    public Instant Clock => ClockAt(_world.Now);

    /// <summary>Its clock as hits see it.</summary>
    public Instant Glance => new(Clock.Ticks - (long)_behind);

    /// <summary>By how much its clock is faster than the true time.</summary>
    public double Speed => _speed;

    /// <summary>Those who are not decided yet.</summary>
    public int Undecided => _inLine.Count + _asking;

    /// <summary>Stands still: what happens to it meanwhile it notices afterwards. One thread of it has just read lot and clock.</summary>
    public void PauseUntil(Instant until) => _pausedUntil = Instant.Later(_pausedUntil, until);

    /// <summary>When it notices what happens now.</summary>
    public bool IsPaused(out Instant until)
    {
        until = _pausedUntil;
        return _pausedUntil > _world.Now;
    }

    /// <summary>A thread that was about to take a token goes on, with the clock that it read before it fell asleep.</summary>
    public void WakeUp(in Sleeper sleeper)
    {
        if (sleeper.Lot.TryTake(1, sleeper.LookAt, sleeper.Clock))
            _world.AdmittedHere(this, 1, sleeper.Epoch, sleeper.ReadAt);
    }

    /// <summary>A thread that is about to take a token, and falls asleep.</summary>
    public Sleeper FallAsleep() => new(Stock.Lot, Stock.Lot.LookAt, Glance, _world.Now, Stock.Part.Epoch);

    public void OnArrival(int tokens, CallerPatience patience, bool isBack = false)
    {
        var central = _world.Arrives(this, tokens, patience);
        var part = Stock.Part;
        var epoch = part.Epoch;
        var lot = Stock.Lot;
        if (lot.TryTake(tokens, lot.LookAt, Glance))
        {
            CheckOrder(long.MaxValue);
            _world.AdmittedHere(this, tokens, epoch, _world.Now);
            _world.Hit();
            return;
        }

        var caller = Stock.Acquire(tokens, patience, Clock);
        var waiting = new Waiting(caller, _world.Now, ++_world.Callers, central, isBack);
        if (caller.Fate == CallerFate.AdmittedHere)
            CheckOrder(waiting.Number);
        if (patience == CallerPatience.ForTokens && _world.Scenario.Patience > 0)
            _world.Plan(What.Leave, this, _chances.NextGap(1_000 / _world.Scenario.Patience), waiting);
        if (caller.Fate == CallerFate.InLine)
            _inLine.AddLast(waiting);
        else
            GoOn(waiting);
        Follow();
    }

    public void OnLeave(Waiting waiting)
    {
        if (waiting.IsDecided)
            return;
        var wasInLine = waiting.Caller.Fate == CallerFate.InLine;
        Stock.Leave(waiting.Caller);
        if (!wasInLine)
            GoOn(waiting);
        Follow();
    }

    /// <summary>What was taken from its part turns out to have cost nothing.</summary>
    public void OnRefund(int tokens)
    {
        Stock.Advance(Clock);
        Follow(); // who is served from the part as it was is booked as such
        var epoch = Stock.Part.Epoch;
        var back = Stock.Refund(tokens, Clock);
        _world.Refunded(epoch, back);
        Follow();
        if (back < tokens)
            _world.Send(tokens - back);
    }

    public void OnTimer()
    {
        if (_timerAt > _world.Now)
            return; // it has been set anew
        _timerAt = Instant.Never;
        Stock.Advance(Clock);
        Follow();
    }

    public void OnAnswer(in PartGrant grant)
    {
        Stock.Advance(Clock);
        Follow(); // who is served from the part as it was is booked as such
        Stock.Take(grant, Clock);
        Follow();
    }

    public void OnAnswer(Waiting waiting, in TokenGrant grant)
    {
        if (!waiting.IsAsking || waiting.Answers >= waiting.Asks)
            return;
        waiting.Answers = waiting.Asks;
        if (grant.IsVoid())
            Stock.Fail(waiting.Caller, isSilent: false, Clock);
        else
            Stock.Hear(waiting.Caller, grant, Clock);
        GoOn(waiting);
        Follow();
    }

    /// <summary>A request of the part has had no answer for a while.</summary>
    public void OnPatience(PartRequest request, Instant askedAt)
    {
        if (Stock.Books.Awaited != request.Sequence)
            return;
        if (_world.Now - askedAt >= GiveUpAfter)
        {
            Stock.Fail(request.Sequence, isSilent: true, Clock);
            Follow();
            return;
        }

        _world.Send(this, request);
        _world.Plan(What.PartPatience, this, RepeatAfter, (request, askedAt));
    }

    /// <summary>The question of a caller has had no answer for a while.</summary>
    public void OnPatience(Waiting waiting, int ask)
    {
        if (waiting.IsDecided || waiting.Asks != ask || waiting.Answers == ask)
            return;
        if (_world.Now - waiting.AskedAt >= GiveUpAfter)
        {
            Stock.Fail(waiting.Caller, isSilent: true, Clock);
            GoOn(waiting);
            Follow();
            return;
        }

        _world.Send(this, waiting, waiting.Request);
        _world.Plan(What.Patience, this, RepeatAfter, (waiting, ask));
    }

    /// <summary>Time has come for one who waits.</summary>
    public void OnTime(Waiting waiting)
    {
        if (!waiting.IsDecided)
            GoOn(waiting);
    }

    /// <summary>The first instant of the true time at which the node's clock shows this.</summary>
    public Instant TrueTime(Instant clock)
    {
        var time = new Instant((long)((clock.Ticks - _origin) / (1 + _speed)) - 2);
        while (ClockAt(time) < clock)
            time += new TimeSpan(1);
        return time;
    }

    // What the shell does after every verb: it tells callers what became of them, sends what is to be sent, and sets its timer.
    private void Follow()
    {
        var now = Clock;
        if (Stock.TryAsk(now, _chances.Next(), out var request))
        {
            _world.Called(this);
            _world.Send(this, request);
            if (_world.CanFail)
                _world.Plan(What.PartPatience, this, RepeatAfter, (request, _world.Now));
        }

        while (_inLine.Count != Stock.Waiting && _inLine.First is { } first && first.Value.Caller.Fate != CallerFate.InLine)
        {
            _inLine.RemoveFirst();
            GoOn(first.Value);
        }

        if (_inLine.Count != Stock.Waiting)
            GoOnInLine();
        SetTimer();
    }

    private void GoOnInLine()
    {
        var firstInLine = long.MaxValue;
        for (var place = _inLine.First; place is not null;)
        {
            var (waiting, next) = (place.Value, place.Next);
            if (waiting.Caller.Fate == CallerFate.InLine)
            {
                if (waiting.Caller.Patience == CallerPatience.ForTokens)
                    firstInLine = Math.Min(firstInLine, waiting.Number);
            }
            else
            {
                _inLine.Remove(place);
                CheckOrder(waiting, firstInLine);
                GoOn(waiting);
            }

            place = next;
        }

        void CheckOrder(Waiting waiting, long firstInLine)
        {
            if (waiting.Caller.Fate == CallerFate.AdmittedHere && waiting.Number > firstInLine)
                throw new BrokenPromiseException("Order", $"a caller of node {Number} was served ahead of one who waits");
        }
    }

    // What the shell does with one who is not in line (any more).
    private void GoOn(Waiting waiting)
    {
        var caller = waiting.Caller;
        var now = Clock;
        switch (caller.Fate)
        {
            case CallerFate.AsksThere:
                Ask(waiting, now);
                return;
            case CallerFate.Promised when caller.At > now:
                _world.Plan(What.Time, this, TrueTime(caller.At) - _world.Now, waiting);
                return;
            case CallerFate.AdmittedHere:
                _world.AdmittedHere(this, caller.Tokens, Stock.Part.Epoch, _world.Now);
                break;
        }

        if (waiting.IsAsking)
        {
            if (caller.Fate is CallerFate.Gone || caller.Reason == RefusalReason.AuthorityUnavailable)
                _world.Send(this, waiting.Request.Id); // what it may have got, or may yet get, is taken back
            _channel.Close(waiting.Request.Id);
            _asking--;
        }

        waiting.IsDecided = true;
        CheckCalls(waiting);
        var isAdmitted = caller.Fate is CallerFate.AdmittedHere or CallerFate.AdmittedThere or CallerFate.Promised;
        if (caller.Fate != CallerFate.Gone)
            _world.Decided(_world.Now - waiting.Since, waiting, isAdmitted);
        if (caller.Fate == CallerFate.Refused)
            _world.Refused(this, waiting);
        else if (waiting.IsBack)
            _world.CameBack();
    }

    private void Ask(Waiting waiting, Instant now)
    {
        if (waiting.IsAsking && waiting.Answers < waiting.Asks)
            return; // the answer is awaited
        if (waiting.Caller.At > now)
        {
            _world.Plan(What.Time, this, TrueTime(waiting.Caller.At) - _world.Now, waiting);
            return;
        }

        var id = waiting.IsAsking ? waiting.Request.Id : _channel.Open();
        _asking += waiting.IsAsking ? 0 : 1;
        (waiting.IsAsking, waiting.AskedAt) = (true, _world.Now);
        waiting.Asks++;
        waiting.Request = Stock.Ask(waiting.Caller, id, now);
        _world.Called(this);
        _world.Send(this, waiting, waiting.Request);
        if (_world.CanFail)
            _world.Plan(What.Patience, this, RepeatAfter, (waiting, waiting.Asks));
    }

    private void SetTimer()
    {
        var due = Stock.NextDueAt;
        if (due == Instant.Never)
            return;
        var at = Instant.Later(TrueTime(due), _world.Now);
        if (_world.Scenario.Late > 0)
            at += TimeSpan.FromMilliseconds(_world.Scenario.Late * _chances.Next());
        if (at >= _timerAt)
            return;
        _timerAt = at;
        _world.Plan(What.Timer, this, at - _world.Now);
    }

    // Where somebody wants more than half of the burst, parts must become smaller for him, and those behind him ask a little more often.
    private void CheckCalls(Waiting waiting)
    {
        var (wait, scenario) = (_world.Now - waiting.Since, _world.Scenario);
        var apart = scenario.MostTokens > scenario.Burst / 2 ? LeaseTerm.OfPart / 10 : LeaseTerm.OfPart;
        if (!_world.HasFaults && waiting.Asks > 2 + (wait / apart))
            throw new BrokenPromiseException("L4", $"{waiting.Asks} calls in {wait} for one who waits on node {Number}");
    }

    private void CheckOrder(long number)
    {
        if (!_world.Scenario.ChecksBooks)
            return;
        foreach (var waiting in _inLine)
        {
            if (waiting.Number < number && waiting.Caller is { Fate: CallerFate.InLine, Patience: CallerPatience.ForTokens })
                throw new BrokenPromiseException("Order", $"a caller of node {Number} was served ahead of one who waits");
        }
    }

    public Instant ClockAt(Instant time) => new(_origin + time.Ticks + (long)(time.Ticks * _speed));
}

/// <summary>A caller who is not decided yet, as the shell sees him.</summary>
internal sealed class Waiting(TokenCaller caller, Instant since, long number, Central central, bool isBack)
{
    public TokenCaller Caller { get; } = caller;

    public Instant Since { get; } = since;

    /// <summary>In the order in which they came, in the whole world.</summary>
    public long Number { get; } = number;

    public Central Central { get; } = central;

    /// <summary>He was refused, and has come back when he was told to.</summary>
    public bool IsBack { get; } = isBack;

    public TokenRequest Request { get; set; }

    public Instant AskedAt { get; set; }

    /// <summary>How much had moved between the rest and the parts when the authority answered.</summary>
    public long MovesBefore { get; set; }

    public int Asks { get; set; }

    public int Answers { get; set; }

    public bool IsAsking { get; set; }

    public bool IsDecided { get; set; }
}

/// <summary>What a thread had read when it fell asleep.</summary>
internal readonly record struct Sleeper(TokenLot Lot, Instant LookAt, Instant Clock, Instant ReadAt, long Epoch);

/// <summary>What one central bucket would have done with a caller.</summary>
/// <param name="IsAdmitted">Whether it would have admitted him.</param>
/// <param name="Wait">After so long.</param>
/// <param name="IsBelowSupply">It would have let nobody wait and refused nobody of late.</param>
internal readonly record struct Central(bool IsAdmitted, TimeSpan Wait, bool IsBelowSupply);
