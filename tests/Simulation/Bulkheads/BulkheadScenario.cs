using System.Globalization;
using System.Reflection;

namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>What a bulkhead's world is made of. It prints as what it differs in from the default.</summary>
internal sealed record BulkheadScenario
{
    public ulong Seed { get; init; } = 1;

    public int Nodes { get; init; } = 3;

    public int Capacity { get; init; } = 3;

    public int QueueLimit { get; init; } = 1_000;

    /// <summary>In seconds.</summary>
    public double Lease { get; init; } = 2;

    /// <summary>In milliseconds; 0: no end.</summary>
    public int MaxWait { get; init; }

    /// <summary>Callers per second and node.</summary>
    public double Rate { get; init; } = 50;

    /// <summary>How much more the first node has to do than the others.</summary>
    public double Skew { get; init; } = 1;

    /// <summary>How long a slot is held in the mean, in milliseconds.</summary>
    public double CallTime { get; init; } = 20;

    /// <summary>The share of callers who do not wait.</summary>
    public double Tries { get; init; }

    /// <summary>The share of callers who go by what is at hand.</summary>
    public double Attempts { get; init; }

    /// <summary>The share of callers who want more than one slot.</summary>
    public double Large { get; init; }

    /// <summary>The share of callers who lose their patience.</summary>
    public double Cancels { get; init; }

    /// <summary>How often in a second somebody closes or reopens.</summary>
    public double Switches { get; init; }

    /// <summary>The round trip to the authority and back, in milliseconds.</summary>
    public double RoundTrip { get; init; } = 1;

    /// <summary>How long, in seconds; after that all is well, until it is over.</summary>
    public double Seconds { get; init; } = 6;

    public double Loss { get; init; }

    public double Duplication { get; init; }

    /// <summary>The share of messages that are late, and overtaken, by up to 2 s.</summary>
    public double Delay { get; init; }

    public double Partitions { get; init; }

    public double Pauses { get; init; }

    public double Crashes { get; init; }

    /// <summary>In millionths.</summary>
    public double Drift { get; init; }

    /// <summary>How far the clocks by which hits are made are behind, in milliseconds.</summary>
    public double Behind { get; init; } = 4;

    /// <summary>How late timers are, in milliseconds.</summary>
    public double Late { get; init; }

    /// <summary>How often in a second the activation is lost.</summary>
    public double Losses { get; init; }

    /// <summary>Whether its successor does not know that there was one.</summary>
    public bool IsUnnoticed { get; init; }

    /// <summary>Whether the lost activation lives on, and is heard by some for a while.</summary>
    public bool LivesOn { get; init; }

    /// <summary>What is recorded. Where a lost activation lives on, it is fenced.</summary>
    public Durability Durability { get; init; }

    public bool RecordsLate { get; init; }

    /// <summary>The share of writes of records that get no answer.</summary>
    public double FailingWrites { get; init; }

    /// <summary>How often in a second the activation says goodbye, and another carries on.</summary>
    public double Moves { get; init; }

    public double PolicyChanges { get; init; }

    /// <summary>Whether messages arrive, if not in order, and nobody stands still or dies, or waits for a storage.</summary>
    public bool IsCalm => Durability == Durability.Volatile
        && Loss + Partitions + Pauses + Crashes + Losses + Moves + FailingWrites + Delay + PolicyChanges == 0;

    public TimeSpan LeaseTime => TimeSpan.FromSeconds(Lease);

    /// <summary>After so long without a fault all slots are to be had: what the dead held, and a successor's time to learn.</summary>
    public TimeSpan HealsAfter => (LeaseTime * 3) + TimeSpan.FromSeconds(6) + (Durability == Durability.Fenced ? LeaseTerm.OfOwnership : default);

    public static BulkheadScenario Draw(ulong seed)
    {
        var chances = new Chances(seed ^ 0xB01C_4EAD);
        var scenario = new BulkheadScenario
        {
            Seed = seed,
            Nodes = chances.Next(1, 6),
            Capacity = chances.One(1, 1, 2, 3, 8),
            QueueLimit = chances.One(1_000, 1_000, 5, 0),
            Lease = chances.One(2, 2, 5),
            MaxWait = chances.One(0, 0, 500),
            Rate = chances.One(2, 20, 100, 300),
            Skew = chances.One(1, 1, 10),
            CallTime = chances.One(1, 20, 100, 1_500),
            Tries = chances.One(0, 0, 0.3, 1),
            Attempts = chances.One(0, 0, 0.3),
            Large = chances.One(0, 0, 0.2),
            Cancels = chances.One(0, 0, 0.3),
            Switches = Some(0.2, 1),
            RoundTrip = chances.One(0.2, 1, 20, 60),
            Loss = Some(0.02, 0.3),
            Duplication = Some(0.02, 0.5),
            Delay = Some(0.02, 0.5),
            Partitions = Some(0.3, 2),
            Pauses = Some(0.3, 3),
            Crashes = Some(0.2, 2),
            Drift = Some(100, 4_500),
            Losses = Some(0.1, 0.5),
            IsUnnoticed = chances.Is(0.2),
            LivesOn = chances.Is(0.2),
            PolicyChanges = chances.Is(0.15) ? 0.5 : 0,
            Behind = chances.One(0, 10, NodeClock.MostBehind.TotalMilliseconds),
            Late = Some(5, 200),
        };
        scenario = scenario.OnRecord(new Chances(seed ^ 0x4EC0_4D5E));
        return chances.Is(0.2) ? scenario.WithoutFaults() : scenario;

        double Some(double least, double most) => chances.Is(0.35) ? least + (chances.Next() * (most - least)) : 0;
    }

    // Half of the worlds keep records; in a third of all activations move.
    private BulkheadScenario OnRecord(Chances chances)
    {
        var scenario = chances.Is(0.3) ? this with { Moves = 0.2 + (0.5 * chances.Next()), Switches = Math.Max(Switches, 0.5) } : this;
        if (chances.Is(0.5))
            return scenario;
        var isFenced = LivesOn || chances.Is(0.3);
        return scenario with
        {
            Durability = isFenced ? Durability.Fenced : Durability.Durable,
            RecordsLate = !isFenced && chances.Is(0.5),
            Losses = LivesOn ? Math.Max(Losses, 0.5) : Losses,
            FailingWrites = chances.One(0, 0, 0.1, 0.5),
            IsUnnoticed = false,
        };
    }

    public BulkheadScenario WithoutFaults() => this with
    {
        Loss = 0,
        Duplication = 0,
        Delay = 0,
        Partitions = 0,
        Pauses = 0,
        Crashes = 0,
        Drift = 0,
        Losses = 0,
        LivesOn = false,
        Moves = 0,
        FailingWrites = 0,
        PolicyChanges = 0,
        Late = 0,
    };

    public BulkheadPolicy Policy() => new()
    {
        Capacity = Capacity,
        QueueLimit = QueueLimit,
        Lease = LeaseTime,
        MaxWait = MaxWait == 0 ? null : TimeSpan.FromMilliseconds(MaxWait),
    };

    public override string ToString()
    {
        var plain = new BulkheadScenario { Seed = ~Seed };
        return string.Join(
            ", ",
            typeof(BulkheadScenario).GetProperties(BindingFlags.Public | BindingFlags.Instance | BindingFlags.DeclaredOnly)
                .Where(property => property.CanWrite && !Equals(property.GetValue(this), property.GetValue(plain)))
                .Select(property => string.Create(CultureInfo.InvariantCulture, $"{property.Name} {property.GetValue(this)}")));
    }
}
