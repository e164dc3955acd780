namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>Who is the authority of a world, one activation after the other: by its record, or by what moves from one to the next.</summary>
/// <param name="chances">Of the world.</param>
/// <param name="clock">The true time.</param>
/// <param name="plan">What happens after a while.</param>
/// <param name="failing">The share of writes of records that get no answer, as of now.</param>
/// <param name="durability">What is recorded.</param>
/// <param name="recordsLate">Whether a record is only made when there is something to lose.</param>
internal sealed class Succession<TMemory>(
    Chances chances, Func<Instant> clock, Action<TimeSpan, Action> plan, Func<double> failing, Durability durability, bool recordsLate)
    where TMemory : class
{
    private readonly Archive<TMemory> _archive = new(chances, plan, failing);
    private Instant _leftAt;
    private int _offices;

    public bool IsRecorded => durability != Durability.Volatile;

    /// <summary>Whether one has said goodbye, and the next is not there yet.</summary>
    public bool IsNobodyThere { get; private set; }

    /// <summary>When that was the last time.</summary>
    public Instant LeftAt => _leftAt;

    /// <summary>An activation begins by its record.</summary>
    /// <param name="newEpoch">Where it does not carry on.</param>
    /// <param name="isExact">Whether the silos' clocks differ by just as much as is allowed for, so that the time between is known.</param>
    public (Heritage<TMemory> Heritage, Office<TMemory> Office) Begin(long newEpoch, bool isExact = false)
    {
        IsNobodyThere = false;
        var office = new Office<TMemory>(_archive, new Tenure(durability, recordsLate), $"{++_offices}", clock, plan);
        return (office.Begin(newEpoch, LeaseTerm.ClocksApart * (isExact ? 1 : (2 * chances.Next()) - 1)), office);
    }

    /// <summary>One says goodbye, and a while later another is there.</summary>
    /// <param name="machine">Of the one who goes.</param>
    /// <param name="office">Likewise; null: it has none.</param>
    /// <param name="next">Where there is a record the next begins by it, and hears nothing here; else it hears what has moved.</param>
    public void Move(IRemembers<TMemory> machine, Office<TMemory>? office, Action<Heritage<TMemory>?> next)
    {
        (IsNobodyThere, _leftAt) = (true, clock());
        var away = TimeSpan.FromMilliseconds(chances.One(1, 20, 500, 1_500) * chances.Next());
        if (office is not null)
        {
            office.End(machine);
            plan(away, () => next(null));
            return;
        }

        var memory = machine.Capture(clock(), isWhole: true);
        plan(away, () =>
        {
            IsNobodyThere = false;
            next(new Heritage<TMemory>(machine.Epoch, Predecessor.Finished, memory));
        });
    }
}
