namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The trials under way, of all circuits that share their places: each is a ticket with a lease, and is under way until it is answered, given back,
/// or its lease ends, whatever its circuit does meanwhile. Not thread-safe.
/// </summary>
/// <param name="epoch">Where numbers start: above those of every earlier activation, whose tickets may still be out.</param>
internal sealed class Trials(long epoch)
{
    private readonly List<Trial> _underWay = [];
    private long _lastNumber = epoch;

    public int Count => _underWay.Count;

    /// <summary>Those that are over.</summary>
    public TrialCounts Over { get; private set; }

    /// <summary>Those under way, for the authority that carries on.</summary>
    /// <param name="now">The grain's instant.</param>
    /// <param name="isForAll">Whether a trial's circuit is the one for all; else it is its borrower's own.</param>
    public TrialMemory[] Capture(Instant now, Func<CircuitStates, bool> isForAll) =>
    [
        .. _underWay.Select(trial => new TrialMemory(
            trial.Number, isForAll(trial.Circuit), trial.Generation, trial.Borrower, trial.Until.After(now))),
    ];

    /// <summary>Goes on with one that another authority began.</summary>
    public void Resume(in TrialMemory trial, CircuitStates circuit, Instant now) =>
        _underWay.Add(new Trial(trial.Number, circuit, trial.Generation, trial.Borrower, now + trial.EndsIn));

    /// <summary>The last that was used.</summary>
    public long LastNumber
    {
        get => _lastNumber;
        set => _lastNumber = Math.Max(_lastNumber, value);
    }

    /// <summary>For a trial, or for a generation: never the same twice.</summary>
    public long NextNumber() => ++_lastNumber;

    public long Begin(CircuitStates circuit, Borrower borrower, Instant until)
    {
        var number = NextNumber();
        _underWay.Add(new Trial(number, circuit, circuit.Generation, borrower, until));
        return number;
    }

    /// <returns>Whether it was under way.</returns>
    public bool End(long number, CircuitOutcome outcome)
    {
        if (number == 0 || _underWay.RemoveAll(trial => trial.Number == number) == 0)
            return false;
        Over = outcome switch
        {
            CircuitOutcome.Succeeded => Over with { Succeeded = Over.Succeeded + 1 },
            CircuitOutcome.Failed => Over with { Failed = Over.Failed + 1 },
            _ => Over with { Ignored = Over.Ignored + 1 },
        };
        return true;
    }

    public bool IsUnderWay(long number) => _underWay.Exists(trial => trial.Number == number);

    /// <summary>A node says which ones it holds; others that it was given it has never got, or has given up.</summary>
    public void KeepOnly(Borrower borrower, ReadOnlySpan<long> held)
    {
        for (var i = _underWay.Count - 1; i >= 0; i--)
        {
            if (_underWay[i].Borrower == borrower && !held.Contains(_underWay[i].Number))
                _underWay.RemoveAt(i);
        }
    }

    /// <summary>When the next lease ends.</summary>
    public Instant NextEndAt
    {
        get
        {
            var next = Instant.Never;
            foreach (var trial in _underWay)
                next = trial.Until < next ? trial.Until : next;
            return next;
        }
    }

    /// <summary>Ends those whose leases have ended, in that order: for a circuit that still waits for it, each is a failure.</summary>
    public void EndUnanswered(Instant now)
    {
        while (NextEndAt is var at && at <= now)
        {
            var ended = _underWay.Find(trial => trial.Until == at);
            _underWay.Remove(ended);
            Over = Over with { Unanswered = Over.Unanswered + 1 };
            ended.Circuit.Miss(ended.Generation, at);
        }
    }

    private readonly record struct Trial(long Number, CircuitStates Circuit, long Generation, Borrower Borrower, Instant Until);
}

/// <summary>Trials that are over, by how they went; those that a node gave back without a word are not among them.</summary>
internal readonly record struct TrialCounts(long Succeeded, long Failed, long Ignored, long Unanswered)
{
    public static TrialCounts operator -(in TrialCounts left, in TrialCounts right) => new(
        left.Succeeded - right.Succeeded, left.Failed - right.Failed, left.Ignored - right.Ignored, left.Unanswered - right.Unanswered);
}

/// <summary>A trial under way; see <see cref="Trials"/>.</summary>
[GenerateSerializer, Immutable, Alias("rt.TrialMemory")]
internal readonly record struct TrialMemory(
    [property: Id(0)] long Number,
    [property: Id(1)] bool IsForAll,
    [property: Id(2)] long Generation,
    [property: Id(3)] Borrower Borrower,
    [property: Id(4)] TimeSpan EndsIn);
