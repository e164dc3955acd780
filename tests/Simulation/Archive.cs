namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>
/// Where a world's record is kept: a write does nothing unless its tag is that of the newest. Writes take their time; some get lost, or their
/// answers.
/// </summary>
/// <param name="chances">Of the world.</param>
/// <param name="plan">What happens after a while.</param>
/// <param name="failing">The share of writes that get no answer, as of now.</param>
internal sealed class Archive<TMemory>(Chances chances, Action<TimeSpan, Action> plan, Func<double> failing)
    where TMemory : class
{
    /// <summary>The newest; null: there is none.</summary>
    public AuthorityRecord? Record { get; private set; }

    /// <summary>What is in it.</summary>
    public TMemory? Memory { get; private set; }

    public long Tag { get; private set; }

    /// <summary>Writes that were carried out.</summary>
    public long Writes { get; private set; }

    /// <summary>Writes, or deletes where there is no record.</summary>
    /// <param name="record">The record; null: it is to be deleted.</param>
    /// <param name="memory">What is in it.</param>
    /// <param name="tag">That the writer knows.</param>
    /// <param name="done">Hears whether it was carried out; never, where it gets lost.</param>
    public void Write(AuthorityRecord? record, TMemory? memory, long tag, Action<bool> done)
    {
        var fate = chances.Is(failing()) ? chances.Next(0, 2) : 2;
        if (fate == 0)
            return;
        plan(Time(), () =>
        {
            var isDone = TryWrite(record, memory, tag);
            if (fate == 2)
                plan(Time(), () => done(isDone));
        });
    }

    /// <summary>The same, at once.</summary>
    public bool TryWrite(AuthorityRecord? record, TMemory? memory, long tag)
    {
        if (tag != Tag)
            return false;
        (Record, Memory, Tag) = (record, memory, Tag + 1);
        Writes++;
        return true;
    }

    private TimeSpan Time() => TimeSpan.FromMilliseconds(chances.One(0.5, 2, 20, 300) * chances.Next());
}

/// <summary>What the shell of an activation does about its record, in a world.</summary>
internal sealed class Office<TMemory>(Archive<TMemory> archive, Tenure tenure, string owner, Func<Instant> clock, Action<TimeSpan, Action> plan)
    where TMemory : class
{
    // As the shell's.
    private static readonly TimeSpan Patience = CallTimeouts.Default;

    private readonly List<Action> _unsaid = [];
    private long _tag;
    private long _writing;
    private long _writes;
    private bool _isUnsure;

    /// <summary>Whether it has found that it is not the one any more, and lets go.</summary>
    public bool IsOver => tenure.IsOver;

    /// <summary>Whether it lives on where nobody else hears it.</summary>
    public bool IsCutOff { get; set; }

    /// <summary>Takes the record over, and says what there was.</summary>
    /// <param name="newEpoch">Where it does not carry on.</param>
    /// <param name="skew">Of the wall clock by which the time since is reckoned.</param>
    public Heritage<TMemory> Begin(long newEpoch, TimeSpan skew)
    {
        var heritage = tenure.Inherit<TMemory>(archive.Record, archive.Memory, null, newEpoch, Utc(clock()) + skew.Ticks);
        if (!tenure.MustWriteFirst)
        {
            _tag = archive.Tag;
            return heritage;
        }

        var taken = new AuthorityRecord
        {
            Epoch = heritage.Epoch,
            Owner = owner,
            CapturedAt = archive.Record?.CapturedAt ?? Utc(clock()),
        };
        if (!archive.TryWrite(taken, archive.Memory, archive.Tag))
            throw new BrokenPromiseException("Record", "nobody else writes while an activation begins");
        _tag = archive.Tag;
        tenure.Recorded(clock(), 0);
        return heritage;
    }

    /// <summary>Whether it may decide now; if not it begins to do something about that.</summary>
    public bool MayDecide(IRemembers<TMemory> machine)
    {
        var now = clock();
        if (tenure.IsToProve(now))
            Write(machine);
        return tenure.MayDecide(now);
    }

    /// <summary>Says something, when what it has decided is recorded.</summary>
    public void Answer(IRemembers<TMemory> machine, Action say)
    {
        if (!tenure.IsBehind(machine))
        {
            say();
            return;
        }

        _unsaid.Add(say);
        Write(machine);
    }

    /// <summary>It says goodbye, and is not there any more.</summary>
    public void End(IRemembers<TMemory> machine)
    {
        tenure.End();
        var now = clock();
        _isUnsure |= _writing != 0; // the shell waits for it
        if (!Look() || machine.HasSuccessor)
            return;
        if (machine.MemorableUntil > now)
            archive.TryWrite(Compose(machine, now, isClean: true), machine.Capture(now, isWhole: true), _tag);
        else
            archive.TryWrite(null, null, _tag);
    }

    private static long Utc(Instant now) => DateTime.UnixEpoch.Ticks + now.Ticks;

    private void Write(IRemembers<TMemory> machine)
    {
        if (_writing != 0 || tenure.IsOver)
            return;
        if (!Look())
            return;
        var (askedAt, decrees, number) = (clock(), machine.Decrees, ++_writes);
        _writing = number;
        if (!IsCutOff)
            archive.Write(Compose(machine, askedAt, isClean: false), machine.Capture(askedAt, isWhole: false), _tag, isDone =>
        {
            if (_writing != number)
                return; // nobody waits for it any more
            _writing = 0;
            if (!isDone)
            {
                tenure.End();
                _unsaid.Clear();
                return;
            }

            _tag++;
            tenure.Recorded(askedAt, decrees);
            if (tenure.IsBehind(machine))
            {
                Write(machine);
                return;
            }

            var said = _unsaid.ToArray();
            _unsaid.Clear();
            foreach (var say in said)
                say();
        });
        plan(Patience, () =>
        {
            if (_writing != number)
                return;
            (_writing, _isUnsure) = (0, true);
            _unsaid.Clear();
        });
    }

    private bool Look()
    {
        if (!_isUnsure || IsCutOff)
            return true;
        _isUnsure = false;
        if (archive.Tag != _tag && archive.Record?.Owner != owner)
        {
            tenure.End();
            return false;
        }

        _tag = archive.Tag;
        return true;
    }

    private AuthorityRecord Compose(IRemembers<TMemory> machine, Instant now, bool isClean) =>
        new() { Epoch = machine.Epoch, Owner = owner, IsClean = isClean, CapturedAt = Utc(now) };
}
