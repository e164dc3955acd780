namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A breaker as a node sees it: the last verdict and until when it may be believed, the callers who wait for one, and what is to be told. While the
/// authority does not answer, a breaker of its own. Not thread-safe: the shell guards it.
/// </summary>
/// <remarks>
/// One request is in flight at a time and says all that there is to say; the answer to an older one is not taken. So what is told is told in order,
/// and a trial that the node does not name is not in its hands.
/// </remarks>
/// <param name="holder">Under what name it asks.</param>
/// <param name="fallback">What it does while the authority does not answer.</param>
internal sealed class CircuitView(Borrower holder, CircuitFallback fallback = CircuitFallback.LocalBreaker)
{
    /// <summary>Successes are told so often at most, where no failure is to be told with them.</summary>
    public static readonly TimeSpan SuccessesEvery = TimeSpan.FromMilliseconds(25);

    /// <summary>The most that one request tells; each is the outcome of some calls that one caller at least waits for.</summary>
    public const int MostNews = 1_000;

    // Below all generations of an authority.
    private const long LocalEpoch = long.MinValue / 2;

    private static readonly CircuitBreakerPolicy Defaults = new();

    private readonly LinkedList<CircuitCaller> _atTheDoor = [];
    private readonly List<CircuitTelling> _toTell = [];
    private readonly List<(long Number, Instant Until)> _trials = []; // in the hands of callers
    private readonly List<CircuitStateChange> _changes = [];
    private VerdictGrant _known = new() { Share = 1 };
    private Instant _believedUntil;
    private Instant _openUntil;
    private Instant _comeBackAt;
    private Instant _renewAt = Instant.Never;
    private Instant _successesAt;
    private bool _isUsed;
    private bool _mustTell;
    private long _knows; // nothing older is believed
    private long _told; // that, as the authority has heard it
    private double _admitDue;
    private long _shed;
    private long _sequence;
    private bool _isAsking;
    private Instant _mayOweUntil; // a trial that it was given may not have reached it
    private long _sentVersion;
    private int _sentAtTheDoor;
    private int _sentNews;
    private Instant _askedAt;
    private SuccessTally? _tally;
    private Outage _outage;
    private CircuitStates? _local;
    private Trials? _localTrials;
    private long _localGeneration;
    private long _lastLocal = LocalEpoch;
    private CircuitState _lastState;

    /// <summary>What callers may go by without asking the machine.</summary>
    public HeldVerdict Verdict { get; private set; } = HeldVerdict.None;

    /// <summary>Callers who wait.</summary>
    public int AtTheDoor => _atTheDoor.Count;

    /// <summary>Calls whose outcome is to be told, or on its way; for whoever checks the books.</summary>
    public long Untold => _toTell.Sum(static telling => (long)telling.News.Calls);

    /// <summary>Whether the authority answers, as far as the node knows; likewise.</summary>
    public bool IsAuthorityHeard => !_outage.IsOn;

    /// <summary>Counts what has been told, or given up.</summary>
    public long Endings { get; private set; }

    /// <summary>What the node knows to be the state.</summary>
    public CircuitState State => _lastState;

    /// <summary>Refusals are only counted.</summary>
    public bool IsShadow => _known.Policy is { Enforce: false };

    /// <summary>The share of calls that it admits while closed, as it last heard.</summary>
    public double Share => _known.Share;

    /// <summary>How long a call may take that counts as a success; absent: for ever.</summary>
    public TimeSpan? SlowAfter => _known.Policy?.SlowCallDuration;

    /// <summary>The number of the request whose answer is awaited; 0: none is.</summary>
    public long Awaited => _isAsking ? _sequence : 0;

    /// <summary>When something is to be done, if nothing happens before.</summary>
    public Instant NextDueAt
    {
        get
        {
            if (_isAsking)
                return Instant.Never;
            if (_outage.IsOn)
                return IsInUse || MayOwe(_outage.ProbeAt) ? _outage.ProbeAt : Instant.Never;
            return _toTell.Count > 0 && _successesAt < _renewAt ? _successesAt : _renewAt;
        }
    }

    private bool IsInUse => _isUsed || Verdict.IsUsed;

    private bool IsCounted => _known.Policy is { } policy && (policy.FailureRatio > 0 || policy.SheddingFactor is not null);

    private bool IsAlone => _outage.IsOn && fallback == CircuitFallback.LocalBreaker;

    // A trial that is under way for all the authority knows, until its lease ends.
    private bool MayOwe(Instant now) => now < _mayOweUntil || _toTell.Count > 0;

    /// <summary>A caller at the door.</summary>
    /// <param name="now">The node's instant.</param>
    /// <param name="pass">Where he is decided at once.</param>
    /// <param name="caller">Where he waits.</param>
    public CircuitFate Enter(Instant now, out CircuitPass pass, out CircuitCaller? caller)
    {
        _isUsed = true;
        Advance(now);
        caller = null;
        var fate = Decide(now, out pass);
        if (fate == CircuitFate.AtTheDoor)
            _atTheDoor.AddLast(caller = new CircuitCaller());
        return fate;
    }

    /// <summary>A caller who waits has gone. What comes for him is given back.</summary>
    public void Leave(CircuitCaller caller)
    {
        if (caller.Fate != CircuitFate.AtTheDoor)
            return;
        caller.Fate = CircuitFate.Gone;
        var place = _atTheDoor.First;
        for (var i = 0; place is not null; i++, place = place.Next)
        {
            if (place.Value != caller)
                continue;
            _atTheDoor.Remove(place);
            if (i < _sentAtTheDoor)
                _sentAtTheDoor--;
            return;
        }
    }

    /// <summary>A call is over.</summary>
    /// <param name="pass">With which it was made.</param>
    /// <param name="outcome">How it went.</param>
    /// <param name="took">How long it took.</param>
    /// <param name="now">The node's instant.</param>
    /// <returns>What its caller waits for; null: nothing.</returns>
    public CircuitTelling? Tell(in CircuitPass pass, CircuitOutcome outcome, TimeSpan took, Instant now)
    {
        Advance(now);
        if (outcome == CircuitOutcome.Succeeded && took >= SlowAfter)
            outcome = CircuitOutcome.Failed;
        if (_local is not null)
            Note(pass, outcome, now);
        if (pass.Generation < 0)
            return null;
        if (pass.Trial != 0)
            return TellTrial(pass, outcome);
        if (outcome == CircuitOutcome.Ignored || pass.Generation != _known.Generation || _outage.IsOn)
            return null; // of an older generation, or nobody to tell
        if (outcome == CircuitOutcome.Failed)
            return Add(new CircuitNews(pass.Generation, 0, outcome, 1), isUrgent: true);
        if (IsCounted)
            _tally?.Add();
        else if (!IsQuiet(now))
            Add(new CircuitNews(pass.Generation, 0, outcome, 1), isUrgent: false);
        return null;
    }

    /// <summary>
    /// The authority's hint that what it said before that version is out of date. The node believes it no more, and says so, whether it is used or
    /// not: somebody may wait for its word.
    /// </summary>
    public void Hint(long epoch, long version, Instant now)
    {
        Advance(now);
        if (epoch < _known.Epoch || (epoch == _known.Epoch && version <= _told))
            return;
        _mustTell = true;
        if (epoch == _known.Epoch)
            _knows = Math.Max(_knows, version);
        if (epoch > _known.Epoch || _known.Version < version)
            Believe(default, now);
    }

    /// <summary>What is to be asked and told, if anything is.</summary>
    /// <param name="now">The node's instant.</param>
    /// <param name="observer">Where the authority's hints go.</param>
    /// <param name="request">Sent, and repeated, until its answer is taken or it fails.</param>
    public bool TryAsk(Instant now, INodeObserver? observer, out VerdictRequest request)
    {
        request = default;
        if (_isAsking || !IsToAsk(now))
            return false;
        if (_tally?.Take() is > 0 and var successes)
            _toTell.Insert(0, new CircuitTelling(new CircuitNews(_known.Generation, 0, CircuitOutcome.Succeeded, (int)successes), default));
        (_isAsking, _askedAt, _isUsed, _mustTell) = (true, now, false, false);
        (_sentAtTheDoor, _sentNews, _sentVersion) = (_atTheDoor.Count, Math.Min(_toTell.Count, MostNews), _knows);
        if (_atTheDoor.Count > 0)
            _mayOweUntil = now + (_known.Policy ?? Defaults).TrialLease;
        _successesAt = now + SuccessesEvery;
        request = new VerdictRequest(
            holder,
            ++_sequence,
            _known.Epoch,
            _knows,
            _atTheDoor.Count,
            _trials.Count == 0 ? null : [.. _trials.Select(static trial => trial.Number)],
            _sentNews == 0 ? null : [.. _toTell.Take(_sentNews).Select(static telling => telling.News)],
            _shed,
            observer);
        _shed = 0;
        return true;
    }

    /// <summary>The authority's answer.</summary>
    public void Take(in VerdictGrant grant, Instant now)
    {
        if (!_isAsking || grant.Sequence != _sequence)
            return;
        if (now >= LeaseTerm.HeldUntil(_askedAt, grant.Term))
        {
            Fail(_sequence, isSilent: true, 1, now); // an answer that comes when its term is over is none
            return;
        }

        Advance(now);
        _isAsking = false;
        _mayOweUntil = default;
        EndTellings(now, isHeard: true);
        var isSameAuthority = grant.Epoch == _known.Epoch;
        if (!isSameAuthority)
            (_knows, _sentVersion) = (0, 0);
        _told = _sentVersion;
        var hasChanged = isSameAuthority && grant.Generation != _known.Generation;
        Know(grant, now);
        if (grant.Version < _knows)
            _mustTell = true; // it was hinted that this is out of date by now
        else
            Believe(grant, now);
        if (hasChanged && _knows > _told)
            _mustTell = true;
        GiveTrials(grant, now);
        Decide(now);
    }

    /// <summary>A request had no answer, or one that was an error.</summary>
    /// <param name="sequence">Its number.</param>
    /// <param name="isSilent">There was no answer within its time.</param>
    /// <param name="hurry">0 to 1: by chance, so that nodes do not come in step.</param>
    /// <param name="now">The node's instant.</param>
    public void Fail(long sequence, bool isSilent, double hurry, Instant now)
    {
        if (!_isAsking || sequence != _sequence)
            return;
        Advance(now);
        _isAsking = false;
        _sentAtTheDoor = 0;
        if (isSilent)
        {
            _mustTell = false;
            _outage.Begin(now, hurry);
            GoAlone(now);
            EndTellings(now, isHeard: false);
            Decide(now);
            return;
        }

        EndTellings(now, isHeard: true);
        EndOutage();
        _mayOweUntil = default;
        _renewAt = now + LeaseTerm.RenewAfter(LeaseTerm.OfVerdict); // and not before, unless somebody asks
        foreach (var caller in _atTheDoor)
            caller.Fate = CircuitFate.Failed;
        _atTheDoor.Clear();
    }

    /// <summary>Changes of state since the last time.</summary>
    public CircuitStateChange[] TakeChanges()
    {
        if (_changes.Count == 0)
            return [];
        CircuitStateChange[] changes = [.. _changes];
        _changes.Clear();
        return changes;
    }

    /// <summary>What time alone does.</summary>
    public void Advance(Instant now)
    {
        if (_local is not null)
        {
            _local.Advance(now);
            _localTrials!.EndUnanswered(now);
            _local.Advance(now);
            NoteState(_local.State, _local.Cause, null, isLocal: true);
        }

        _trials.RemoveAll(trial => trial.Until <= now);
        if (!_isAsking)
            _toTell.RemoveAll(telling => telling.Until <= now && Over(telling));
        if (_renewAt <= now && !IsInUse && !_isAsking)
            _renewAt = now < _believedUntil ? now + LeaseTerm.RenewAfter(LeaseTerm.OfVerdict) : Instant.Never;
        if (_believedUntil <= now)
            Verdict = HeldVerdict.None;
    }

    private bool IsToAsk(Instant now)
    {
        if (_outage.IsOn)
            return now >= _outage.ProbeAt && (IsInUse || MayOwe(now));
        return _atTheDoor.Count > 0 || _mustTell || (_toTell.Count > 0 && now >= _successesAt) || (now >= _renewAt && IsInUse);
    }

    private bool IsQuiet(Instant now) => now < _believedUntil && !_known.IsFailing && _known.State == CircuitState.Closed;

    private CircuitFate Decide(Instant now, out CircuitPass pass)
    {
        if (IsAlone)
            return DecideAlone(now, out pass);
        var fate = DecideByVerdict(now, out pass);
        return fate == CircuitFate.AtTheDoor && _outage.IsOn ? CircuitFate.Unavailable : fate;
    }

    private CircuitFate DecideByVerdict(Instant now, out CircuitPass pass)
    {
        pass = default;
        if (now >= _believedUntil)
            return CircuitFate.AtTheDoor;
        switch (_known.State)
        {
            case CircuitState.Closed:
                pass = new CircuitPass(MayPass(), _known.Generation, 0, null, CircuitState.Closed);
                break;
            case CircuitState.Open when now < _openUntil:
                pass = new CircuitPass(false, _known.Generation, 0, _openUntil - now, CircuitState.Open);
                break;
            case CircuitState.HalfOpen when now < _comeBackAt:
            case CircuitState.Isolated:
                pass = new CircuitPass(false, _known.Generation, 0, null, _known.State);
                break;
            default:
                return CircuitFate.AtTheDoor;
        }

        return pass.IsAdmitted ? CircuitFate.Admitted : CircuitFate.Refused;
    }

    // Of a share p each 1/p-th: no chance is needed, and over any time it is that share.
    private bool MayPass()
    {
        _admitDue = Math.Min(_admitDue + _known.Share, 2);
        if (_admitDue < 1)
        {
            _shed++;
            return false;
        }

        _admitDue--;
        return true;
    }

    private CircuitFate DecideAlone(Instant now, out CircuitPass pass)
    {
        var trial = _local!.TryBegin(default, now);
        var isAdmitted = trial != 0 || _local.State == CircuitState.Closed;
        pass = new CircuitPass(isAdmitted, _local.Generation, trial, isAdmitted ? null : _local.RetryAfter(now), _local.State);
        return isAdmitted ? CircuitFate.Admitted : CircuitFate.Refused;
    }

    // Those at the door, as far as they can be decided.
    private void Decide(Instant now)
    {
        while (_atTheDoor.First is { } first && Decide(now, out var pass) is var fate && fate != CircuitFate.AtTheDoor)
        {
            _atTheDoor.RemoveFirst();
            (first.Value.Fate, first.Value.Pass) = (fate, pass);
        }
    }

    private void Know(in VerdictGrant grant, Instant now)
    {
        EndOutage();
        if (grant.Generation != _known.Generation)
        {
            _toTell.RemoveAll(telling => telling.News.Trial == 0 && Over(telling));
            _admitDue = 0;
            _tally = null;
        }

        _known = grant;
        _knows = Math.Max(_knows, grant.Version);
        if (IsCounted)
            _tally ??= new SuccessTally();
        else
            _tally = null;
        (_openUntil, _comeBackAt) = (now + (grant.RetryAfter ?? default), now + grant.ComeBackAfter);
        NoteState(grant.State, grant.Cause, grant.Reason, isLocal: false);
    }

    private bool Over(CircuitTelling telling)
    {
        Endings++;
        return telling.IsOver = true;
    }

    private void EndOutage()
    {
        _outage.End();
        _lastLocal = _localTrials?.NextNumber() ?? _lastLocal;
        (_local, _localTrials) = (null, null);
    }

    private void Believe(in VerdictGrant grant, Instant now)
    {
        _believedUntil = grant.Term == default ? default : LeaseTerm.HeldUntil(_askedAt, grant.Term);
        _renewAt = grant.Term == default ? Instant.Never : LeaseTerm.RenewAt(_askedAt, grant.Term);
        var isForAll = IsQuiet(now) && _known.Share >= 1 && SlowAfter is null;
        var endsAt = new Instant(_believedUntil.Ticks - NodeClock.MostBehind.Ticks);
        Verdict = isForAll ? new HeldVerdict(_known.Generation, endsAt, _tally) : HeldVerdict.None;
    }

    // To those who asked, the first first. One that nobody takes is not named in the next request, and that is sent at once.
    private void GiveTrials(in VerdictGrant grant, Instant now)
    {
        var lease = grant.Policy?.TrialLease ?? default;
        var until = LeaseTerm.HeldUntil(_askedAt, lease);

        // Named for longer than the authority waits for it: what is not named any more counts as given back, and not as a failure.
        var namedUntil = now + lease + (lease / 50);
        var isOfUse = grant.State == CircuitState.HalfOpen && grant.TrialGeneration == grant.Generation && now < until && now < _believedUntil;
        var given = 0;
        while (isOfUse && given < grant.Trials && given < _sentAtTheDoor)
        {
            var number = grant.FirstTrial + given++;
            _trials.Add((number, namedUntil));
            var caller = _atTheDoor.First!.Value;
            _atTheDoor.RemoveFirst();
            (caller.Fate, caller.Pass) = (CircuitFate.Admitted, new CircuitPass(true, grant.Generation, number, null, CircuitState.HalfOpen));
        }

        if (given < grant.Trials)
            _mustTell = true;
        if (grant.State == CircuitState.HalfOpen && now < _believedUntil)
        {
            for (; given < _sentAtTheDoor; given++)
            {
                var caller = _atTheDoor.First!.Value;
                _atTheDoor.RemoveFirst();
                (caller.Fate, caller.Pass) = (CircuitFate.Refused, new CircuitPass(false, grant.Generation, 0, null, CircuitState.HalfOpen));
            }
        }

        _sentAtTheDoor = 0;
    }

    private CircuitTelling? TellTrial(in CircuitPass pass, CircuitOutcome outcome)
    {
        var number = pass.Trial;
        var at = _trials.FindIndex(trial => trial.Number == number);
        if (at < 0)
            return null; // its lease has ended
        var telling = new CircuitTelling(new CircuitNews(pass.Generation, number, outcome, 1), _trials[at].Until);
        _trials.RemoveAt(at);
        _toTell.Add(telling);
        _mustTell = true;
        return _outage.IsOn ? null : telling;
    }

    private CircuitTelling Add(in CircuitNews news, bool isUrgent)
    {
        _mustTell |= isUrgent;
        var isSent = _isAsking && _toTell.Count <= _sentNews;
        if (!isSent && _toTell.Count > 0 && _toTell[^1] is var last && last.News with { Calls = 1 } == news && last.News.Calls < int.MaxValue)
        {
            last.News = last.News with { Calls = last.News.Calls + 1 };
            return last;
        }

        var telling = new CircuitTelling(news, Instant.Never);
        _toTell.Add(telling);
        return telling;
    }

    // What was told of trials is told again, should the authority not have heard it: it ends a trial once.
    private void EndTellings(Instant now, bool isHeard)
    {
        for (var i = _sentNews - 1; i >= 0; i--)
        {
            Over(_toTell[i]);
            if (isHeard || _toTell[i].News.Trial == 0 || _toTell[i].Until <= now)
                _toTell.RemoveAt(i);
        }

        _sentNews = 0;
        if (isHeard)
            return;
        foreach (var telling in _toTell)
            Over(telling);
        _toTell.RemoveAll(static telling => telling.News.Trial == 0);
    }

    private void GoAlone(Instant now)
    {
        if (_local is not null || fallback != CircuitFallback.LocalBreaker)
            return;
        _localTrials = new Trials(_lastLocal); // a call of an earlier outage is none of this one's
        _localGeneration = _localTrials.NextNumber();
        _local = new CircuitStates(_known.Policy ?? Defaults, _localTrials, _localGeneration);
        _local.TakeOver(_known.State, 0, _openUntil.After(now), now);
        Verdict = HeldVerdict.None;
        foreach (var telling in _toTell)
        {
            if (telling.News.Trial == 0)
                _local.Report(_localGeneration, 0, telling.News.Outcome, telling.News.Calls, now);
        }

        NoteState(_local.State, _local.Cause, null, isLocal: true);
    }

    // A call that began by the authority's last word counts for as long as the node's own breaker has not changed.
    private void Note(in CircuitPass pass, CircuitOutcome outcome, Instant now)
    {
        var isOwn = pass.Generation < 0;
        if (!isOwn && pass.Generation != _known.Generation)
            return;
        _local!.Report(isOwn ? pass.Generation : _localGeneration, isOwn ? pass.Trial : 0, outcome, 1, now);
        NoteState(_local.State, _local.Cause, null, isLocal: true);
    }

    private void NoteState(CircuitState state, CircuitCause cause, string? reason, bool isLocal)
    {
        if (state == _lastState)
            return;
        _changes.Add(new CircuitStateChange(_lastState, state, cause, reason, isLocal));
        _lastState = state;
    }
}
