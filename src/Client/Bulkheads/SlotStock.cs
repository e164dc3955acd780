namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A bulkhead as a node sees it: the slots that it was lent until one lease ends, the callers who hold them, and those who wait, first come first
/// served. Not thread-safe, but for <see cref="Lot"/>: the shell guards it.
/// </summary>
/// <remarks>
/// One request is in flight at a time and says all that there is to say; the answer to an older one is not taken. While nobody waits elsewhere, slots
/// that are freed here are used here again without a word. When somebody does, they are given back first, and come in turn.
/// </remarks>
/// <param name="holder">Under what name it asks.</param>
/// <param name="nodeName">For whoever looks at the status.</param>
internal sealed class SlotStock(Borrower holder, string? nodeName = null)
{
    /// <summary>A node whose callers wait says so three times before it is passed over.</summary>
    public static readonly TimeSpan SayAgainAfter = LeaseTerm.RenewAfter(LeaseTerm.OfPlace);

    /// <summary>For so long idle slots of other nodes are called back for a caller who does not wait.</summary>
    public static readonly TimeSpan CallBackFor = TimeSpan.FromMilliseconds(100);

    /// <summary>While it is done, it is looked so often whether they have come.</summary>
    public static readonly TimeSpan LookAgainAfter = TimeSpan.FromMilliseconds(10);

    /// <summary>Slots that nobody took in so long are given back; of others, half of those that lie idle each third of a lease.</summary>
    public static readonly TimeSpan IdleFor = TimeSpan.FromSeconds(1);

    /// <summary>Slots to have at hand are asked for so often at most, where there are none.</summary>
    public static readonly TimeSpan SpareEvery = TimeSpan.FromMilliseconds(100);

    private const int MostSpare = 64;

    private readonly LinkedList<SlotCaller> _line = [];
    private readonly List<SlotCaller> _calledBack = [];
    private readonly List<SlotLot> _ended = [];
    private readonly List<SlotCaller> _decided = [];
    private SlotLot _lot = SlotLot.None;
    private int _held;
    private int _idle; // while the lot is shut
    private long _epoch;
    private Instant _epochUntil;
    private long _version;
    private long _toldVersion;
    private int _wanted;
    private int _capacity;
    private TimeSpan? _maxWait;
    private TimeSpan _lease;
    private bool _isClosed;
    private bool _mustAsk;
    private bool _letsGo;
    private int _spare;
    private int _sentSpare;
    private bool _isAsksSent; // with the last request, or that for spare slots
    private Instant _spareAgainAt;
    private int _hintedWanted; // since the last request
    private int _patient; // callers in line who wait for their turn
    private long _callers;
    private long _sequence;
    private bool _isAsking;
    private Instant _askedAt;
    private long _toldUpTo; // callers up to this number were told to wait
    private int _toldWaiting; // of these, so many are left
    private bool _isInLine; // of the authority
    private Instant _sayAgainAt = Instant.Never;
    private Instant _renewAt = Instant.Never;
    private Instant _lookAt = Instant.Never; // for what lies idle
    private Instant _halveAt;
    private uint _hitsSeen;
    private long _hits;
    private bool _isUsed; // since the last request
    private bool _isUsedLately; // since the last look
    private int _unused; // to be given back
    private Outage _outage;

    /// <summary>Slots that were in the hands of callers when their loan ended, and slots that were given back.</summary>
    public (long Lost, long Returned) Passed { get; private set; }

    /// <summary>What a hit takes from.</summary>
    public SlotLot Lot => _lot;

    /// <summary>Slots that it was lent.</summary>
    public int Held => _held;

    /// <summary>Of these, so many are in nobody's hands.</summary>
    public int Idle => _idle + _lot.Free;

    /// <summary>Callers who wait.</summary>
    public int InLine => _line.Count;

    /// <summary>Slots that others wait for, as far as it knows.</summary>
    public int Wanted => _wanted;

    /// <summary>Whether it last heard that acquires fail.</summary>
    public bool IsClosed => _isClosed;

    /// <summary>The most that a caller can have at once; 0: not known.</summary>
    public int Capacity => _capacity;

    /// <summary>Whether the authority answers, as far as the node knows.</summary>
    public bool IsAuthorityHeard => !_outage.IsOn;

    /// <summary>The number of the request whose answer is awaited; 0: none is.</summary>
    public long Awaited => _isAsking ? _sequence : 0;

    /// <summary>How long it is lent something, as it last heard; zero: not known.</summary>
    public TimeSpan Lease => _lease;

    /// <summary>How often something was taken from what was at hand.</summary>
    public long Hits => _hits + (_lot.Hits - _hitsSeen);

    /// <summary>When something is to be done, if nothing happens before.</summary>
    public Instant NextDueAt
    {
        get
        {
            var due = _held > 0 ? _lot.ValidUntil : Instant.Never;
            if (_line.First is { } first)
                due = Sooner(due, EndOfWait(first.Value));
            foreach (var caller in _calledBack)
                due = Sooner(due, caller.CalledBackUntil!.Value);
            if (_isAsking)
                return due;
            if (_outage.IsOn)
                return _held > 0 || _isUsed ? Sooner(due, _outage.ProbeAt) : due;
            return Sooner(Sooner(due, _renewAt), Sooner(_sayAgainAt, _lookAt));
        }
    }

    /// <summary>A caller who did not hit.</summary>
    /// <param name="slots">At least 1.</param>
    /// <param name="mayWait">Whether for his turn, or for an answer only.</param>
    /// <param name="now">The node's instant.</param>
    /// <returns>He is decided, or waits.</returns>
    public SlotCaller Acquire(int slots, bool mayWait, Instant now)
    {
        Begin(now);
        _isUsed = _isUsedLately = true;
        var caller = new SlotCaller(slots, mayWait, ++_callers, now);
        if (_line.Count == 0 && slots <= _idle - _wanted)
            Admit(caller);
        else if (_outage.IsOn && (_isAsking || now < _outage.ProbeAt))
            caller.IsRefused(RefusalReason.AuthorityUnavailable);
        else if (!mayWait && _isInLine)
            caller.IsRefused(RefusalReason.NoFreeSlot); // others wait already
        else
        {
            caller.Place = _line.AddLast(caller);
            _patient += mayWait ? 1 : 0;
        }

        Conclude();
        return caller;
    }

    /// <summary>A caller who goes by what is at hand; what he does not find is asked for, so that the next one may.</summary>
    /// <param name="slots">At least 1.</param>
    /// <param name="now">The node's instant.</param>
    /// <returns>From where he has them; null: they are not there.</returns>
    public SlotLot? Attempt(int slots, Instant now)
    {
        Begin(now);
        _isUsed = _isUsedLately = true;
        SlotLot? lot = null;
        if (_line.Count == 0 && slots <= _idle - _wanted)
            (_idle, lot, _hits) = (_idle - slots, _lot, _hits + 1);
        else if (_line.Count == 0 && now >= _spareAgainAt)
            _spare = Math.Min(_spare + slots, MostSpare);
        Conclude();
        return lot;
    }

    /// <summary>Slots are in nobody's hands any more.</summary>
    public void Release(SlotLot lot, int slots, Instant now)
    {
        Begin(now);
        if (lot == _lot && !lot.IsOver)
            _idle += slots;
        ServeFreed();
        Conclude();
    }

    /// <summary>A caller who waits has gone. What comes for him is for the next.</summary>
    public void Leave(SlotCaller caller, Instant now)
    {
        Begin(now);
        if (caller.Fate == SlotFate.InLine)
        {
            Remove(caller);
            caller.Becomes(SlotFate.Gone);
        }

        ServeFreed();
        Conclude();
    }

    /// <summary>
    /// The authority's hint that it is worth while to ask: it may have slots for those who wait, or others wait for those that are held here, or it
    /// is closed.
    /// </summary>
    public void Hint(long epoch, long version, int wanted, Instant now)
    {
        Begin(now);
        if (epoch > _epoch || (epoch == _epoch && (_line.Count > 0 || version > _version)))
            _mustAsk = true;
        if (epoch == _epoch)
        {
            (_wanted, _hintedWanted) = (Math.Max(_wanted, wanted), Math.Max(_hintedWanted, wanted));
            _mustAsk |= wanted > 0 && _idle == 0; // somebody may want to know that
        }

        Conclude();
    }

    /// <summary>It is not used any more, or the host stops: what lies idle is given back at once.</summary>
    public void LetGo(Instant now)
    {
        Begin(now);
        _letsGo = _idle > 0;
        Conclude();
    }

    /// <summary>What time alone does.</summary>
    public void Advance(Instant now)
    {
        Begin(now);
        Conclude();
    }

    /// <summary>What is to be asked and told, if anything is.</summary>
    /// <param name="now">The node's instant; that of the verb before.</param>
    /// <param name="observer">Where the authority's hints go.</param>
    /// <param name="request">Sent, and repeated, until its answer is taken or it fails.</param>
    public bool TryAsk(Instant now, INodeObserver? observer, out SlotsRequest request)
    {
        request = default;
        if (_isAsking || !IsToAsk(now))
            return false;
        Shut();
        GiveBack();
        _sequence++;
        (_isAsking, _askedAt, _mustAsk, _isUsed, _letsGo, _toldVersion) = (true, now, false, false, false, _version);
        var asks = Asks();
        _isAsksSent = asks is not null || (_spare > 0 && _line.Count == 0);
        (_toldUpTo, _toldWaiting, _hintedWanted, _sentSpare) = (_callers, _patient, 0, _line.Count == 0 ? _spare : 0);
        request = new SlotsRequest(
            holder,
            _sequence,
            now < _epochUntil ? _epoch : 0,
            _version,
            _held,
            _held - _idle,
            asks,
            _toldWaiting,
            _sentSpare,
            nodeName,
            observer);
        Conclude();
        return true;
    }

    /// <summary>The authority's answer.</summary>
    public void Take(in SlotsGrant grant, Instant now)
    {
        if (!_isAsking || grant.Sequence != _sequence)
            return;
        var until = LeaseTerm.HeldUntil(_askedAt, grant.Lease);
        if (now >= until)
        {
            Fail(_sequence, isSilent: true, 1, now); // an answer that comes when its lease is over is none
            return;
        }

        Begin(now);
        _isAsking = false;
        _outage.End();
        if (grant.Kept < _held)
            EndLoan(); // what the authority does not know of is not held
        if (grant.Epoch != _epoch)
            (_version, _toldVersion) = (0, grant.Version); // nothing that it ordered before can wait for this node
        _mustAsk |= grant.Kept > _held; // something was lost in the meantime
        (_epoch, _epochUntil, _version, _capacity, _maxWait, _lease) =
            (grant.Epoch, Instant.Later(_epochUntil, until), Math.Max(_version, grant.Version), grant.Capacity, grant.MaxWait, grant.Lease);
        (_isClosed, _wanted) = (grant.IsClosed, grant.IsClosed ? int.MaxValue : Math.Max(grant.Wanted, _hintedWanted));
        _spare = 0;
        if (_sentSpare > grant.Spare)
            _spareAgainAt = now + SpareEvery;
        Borrow(grant, until, now);
        _renewAt = _held > 0 ? LeaseTerm.RenewAt(_askedAt, grant.Lease) : Instant.Never;
        if (_isClosed)
            CloseAll();
        DecideAsked(grant, now);
        _isInLine = grant.Places > 0;
        _sayAgainAt = _calledBack.Count > 0 ? now + LookAgainAfter : _isInLine ? _askedAt + SayAgainAfter : Instant.Never;
        Conclude();
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
        Begin(now);

        // Those who wait hear the error, so the node waits no more; and what it holds goes on, if it asks for nothing with it.
        _mustAsk |= !isSilent && _isAsksSent && (_isInLine || _held > 0);
        _spareAgainAt = now + SpareEvery;
        (_isAsking, _spare, _isInLine, _sayAgainAt) = (false, 0, false, Instant.Never);
        if (isSilent)
            _outage.Begin(now, hurry);
        else
            _outage.End();
        _renewAt = _held > 0 ? now + LeaseTerm.RenewAfter(_lease) : Instant.Never;
        while (_line.First is { } first)
        {
            Remove(first.Value);
            if (isSilent)
                first.Value.IsRefused(RefusalReason.AuthorityUnavailable);
            else
                first.Value.Becomes(SlotFate.Failed);
        }

        Conclude();
    }

    /// <summary>Callers who were in line, and whose fate has been decided since the last time, in that order.</summary>
    public SlotCaller[] TakeDecided() => TakeAll(_decided);

    /// <summary>The loans that have ended since the last time, with permits in the hands of callers.</summary>
    public SlotLot[] TakeEnded() => TakeAll(_ended);

    private static T[] TakeAll<T>(List<T> list)
    {
        if (list.Count == 0)
            return [];
        T[] all = [.. list];
        list.Clear();
        return all;
    }

    private static Instant Sooner(Instant left, Instant right) => left < right ? left : right;

    // Nobody hits while the machine is at it; those who did, are counted before the lot may be let go.
    private void Shut()
    {
        _idle += _lot.Shut();
        if (_lot.Hits == _hitsSeen)
            return;
        _hits += _lot.Hits - _hitsSeen;
        _hitsSeen = _lot.Hits;
        _isUsed = _isUsedLately = true;
    }

    private void Begin(Instant now)
    {
        Shut();
        if (_held > 0 && now >= _lot.ValidUntil)
            EndLoan();
        while (_line.First is { } first && now >= EndOfWait(first.Value))
            GiveUp(first.Value, RefusalReason.WaitExpired);
        for (var i = _calledBack.Count - 1; i >= 0; i--)
        {
            if (now >= _calledBack[i].CalledBackUntil)
                GiveUp(_calledBack[i], RefusalReason.NoFreeSlot);
        }

        if (now >= _lookAt)
            LookForUnused(now);
    }

    // What is freed is for those who wait here, if nobody waits elsewhere; if they are none, for hits.
    private void Conclude()
    {
        if (_held > 0 && _line.Count == 0 && _wanted == 0 && !_letsGo)
        {
            _lot.Open(_idle);
            _idle = 0;
        }
    }

    // What nobody took for a while; or half of what lies idle, for who needs it now and then gets it again by one call.
    private void LookForUnused(Instant now)
    {
        if (!_isUsedLately)
        {
            _unused = _idle;
        }
        else if (now >= _halveAt)
        {
            _unused = (_idle + 1) / 2;
            _halveAt = now + LeaseTerm.RenewAfter(_lease);
        }

        _isUsedLately = false;
        _lookAt = _held > 0 ? now + IdleFor : Instant.Never;
    }

    private Instant EndOfWait(SlotCaller caller) => _maxWait is { } wait && caller.MayWait ? caller.CameAt + wait : Instant.Never;

    private void ServeFreed() => Serve(Math.Max(0, _idle - _wanted));

    private void Serve(int slots)
    {
        while (_line.First is { } first && first.Value.Slots <= slots && first.Value.Slots <= _idle)
            slots -= Admit(first.Value);
    }

    private int Admit(SlotCaller caller)
    {
        if (caller.Place is not null)
            Remove(caller);
        _idle -= caller.Slots;
        caller.IsAdmitted(_lot);
        return caller.Slots;
    }

    private void Remove(SlotCaller caller)
    {
        _line.Remove(caller.Place!);
        if (caller.IsPatient)
        {
            _patient--;
            _toldWaiting -= caller.Number <= _toldUpTo ? 1 : 0;
        }

        if (caller.CalledBackUntil is not null)
            _calledBack.Remove(caller);
        _decided.Add(caller);
    }

    private void GiveUp(SlotCaller caller, RefusalReason reason)
    {
        Remove(caller);
        caller.IsRefused(reason);
    }

    private void EndLoan()
    {
        Passed = Passed with { Lost = Passed.Lost + _held - _idle };
        if (_held > _idle)
            _ended.Add(_lot);
        (_lot, _held, _idle, _hitsSeen) = (SlotLot.None, 0, 0, 0);
        (_renewAt, _lookAt, _unused) = (Instant.Never, Instant.Never, 0);
    }

    private void Borrow(in SlotsGrant grant, Instant until, Instant now)
    {
        var slots = grant.Slots + grant.Spare;
        if (_held == 0 && slots > 0)
            (_lot, _lookAt, _halveAt) = (new SlotLot(), now + IdleFor, now + LeaseTerm.RenewAfter(grant.Lease));
        _held += slots;
        _idle += slots;
        if (_held == 0)
            return;
        _lot.ValidUntil = Instant.Later(_lot.ValidUntil, until);
        _lot.Number = grant.Number;
    }

    private bool IsToAsk(Instant now)
    {
        if (_outage.IsOn)
            return now >= _outage.ProbeAt && (_held > 0 || _isUsed);
        return _mustAsk
            || _letsGo
            || (_line.Last is { } last && last.Value.Number > _toldUpTo)
            || (_isInLine && _toldWaiting == 0)
            || (_idle > 0 && (_wanted > 0 || _line.Count > 0))
            || _version > _toldVersion
            || _spare > 0
            || _unused > 0
            || now >= Sooner(_renewAt, _sayAgainAt);
    }

    private void GiveBack()
    {
        var given = _line.Count > 0 || _letsGo ? _idle : Math.Min(_idle, Math.Max(_wanted, _unused));
        (_held, _idle, _unused) = (_held - given, _idle - given, 0);
        Passed = Passed with { Returned = Passed.Returned + given };
        _wanted = _isClosed ? _wanted : Math.Max(0, _wanted - given);
        if (_held == 0)
            EndLoan();
    }

    // Of one kind together, and of a long line the beginning.
    private SlotsAsk[]? Asks()
    {
        if (_line.Count == 0)
            return null;
        var asks = new List<SlotsAsk>();
        var callers = 0;
        foreach (var caller in _line)
        {
            if (++callers > SlotsRequest.MostAsked)
                break;
            caller.AskedIn = _sequence;
            if (asks.Count > 0 && asks[^1] is var last && last.Slots == caller.Slots && last.MayWait == caller.IsPatient)
                asks[^1] = last with { Callers = last.Callers + 1 };
            else
                asks.Add(new SlotsAsk(caller.Slots, 1, caller.IsPatient));
        }

        return [.. asks];
    }

    // Those who were asked for and are still here. Of those who are told to wait, the last go first where there are too many.
    private void DecideAsked(in SlotsGrant grant, Instant now)
    {
        foreach (var caller in Asked())
        {
            if (caller.Slots > grant.Capacity)
                Decide(caller, SlotFate.TooMany);
        }

        // As the authority has reckoned it: who does not wait, and does not find enough, is passed over.
        var slots = grant.Slots + Math.Max(0, _idle - grant.Slots - _wanted);
        foreach (var caller in Asked())
        {
            if (caller.Slots <= slots && caller.Slots <= _idle)
                slots -= Admit(caller);
            else if (caller.IsPatient)
                break;
        }

        for (var place = Asked().Any(static caller => caller.IsPatient) ? _line.Last : null; place is not null && _toldWaiting > grant.Places;)
        {
            var caller = place.Value;
            place = place.Previous;
            if (caller.Number <= _toldUpTo && caller.IsPatient)
                GiveUp(caller, caller.MayWait ? RefusalReason.QueueFull : RefusalReason.NoFreeSlot);
        }

        // Where not all could be served who were asked for, neither can those be who stand behind them.
        var idle = grant.Idle;
        for (var place = Asked().Any() ? _line.First : null; place is not null && HasTries && place.Value.Number <= _toldUpTo;)
        {
            var caller = place.Value;
            place = place.Next;
            if (caller.CalledBackUntil is not null && grant.Idle == 0)
                GiveUp(caller, RefusalReason.NoFreeSlot);
            if (caller.IsPatient)
                continue;
            if (idle >= caller.Slots && grant.Wanted == 0)
            {
                idle -= caller.Slots;
                CallBack(caller, now);
            }
            else
            {
                GiveUp(caller, RefusalReason.NoFreeSlot);
            }
        }

        // Of a long line only the beginning was asked for: if all of these are served, the next are asked for.
        _mustAsk |= _line.First is { } first && first.Value.AskedIn != _sequence && first.Value.Number <= _toldUpTo;

        ServeFreed();
    }

    private bool HasTries => _line.Count > _patient || _calledBack.Count > 0;

    private IEnumerable<SlotCaller> Asked()
    {
        for (var place = _line.First; place is not null && place.Value.AskedIn == _sequence;)
        {
            var caller = place.Value;
            place = place.Next;
            yield return caller;
        }
    }

    private void CallBack(SlotCaller caller, Instant now)
    {
        caller.CalledBackUntil = now + CallBackFor;
        _calledBack.Add(caller);
        _patient++;
        _toldWaiting++;
        _mustAsk = true;
    }

    private void CloseAll()
    {
        while (_line.First is { } first)
            Decide(first.Value, SlotFate.Closed);
    }

    private void Decide(SlotCaller caller, SlotFate fate)
    {
        Remove(caller);
        caller.Becomes(fate);
    }
}
