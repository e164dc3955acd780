using System.Globalization;
using System.Reflection;

namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>What a breaker's world is made of. It prints as what it differs in from the default.</summary>
internal sealed record BreakerScenario
{
    public ulong Seed { get; init; } = 1;

    public int Nodes { get; init; } = 3;

    /// <summary>Callers per second and node.</summary>
    public double Rate { get; init; } = 100;

    /// <summary>How long a call takes in the mean, in milliseconds.</summary>
    public double CallTime { get; init; } = 5;

    /// <summary>The share of calls that hang, for ten seconds.</summary>
    public double Hanging { get; init; }

    public int Threshold { get; init; } = 5;

    /// <summary>In milliseconds.</summary>
    public int CoolDown { get; init; } = 500;

    public int Trials { get; init; } = 1;

    /// <summary>In milliseconds.</summary>
    public int TrialLease { get; init; } = 1_000;

    public int Quorum { get; init; } = 1;

    /// <summary>The share of failures that opens; 0: as many as the threshold in a row.</summary>
    public double Ratio { get; init; }

    /// <summary>How many times as many calls are admitted as succeed; absent: the circuit opens instead.</summary>
    public double? Shedding { get; init; }

    /// <summary>Calls that the downstream can serve in a second; those beyond fail at once. 0: all.</summary>
    public double Capacity { get; init; }

    /// <summary>Only the first node's calls fail.</summary>
    public bool HasOneBadNode { get; init; }

    /// <summary>How often in a second the downstream falls ill or is well again.</summary>
    public double Illnesses { get; init; }

    /// <summary>The share of calls that fail while it is ill.</summary>
    public double IllFailures { get; init; } = 0.9;

    /// <summary>The share of calls that fail while it is well.</summary>
    public double WellFailures { get; init; }

    /// <summary>How often in a second somebody throws a kill switch.</summary>
    public double Switches { get; init; }

    /// <summary>What nodes do without their authority.</summary>
    public CircuitFallback Fallback { get; init; }

    /// <summary>The round trip to the authority and back, in milliseconds.</summary>
    public double RoundTrip { get; init; } = 1;

    /// <summary>How long, in seconds; after that all is well, until it is over.</summary>
    public double Seconds { get; init; } = 5;

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

    /// <summary>After so long without a fault it is closed again everywhere: two trials may have hung, and be waited for.</summary>
    public TimeSpan HealsAfter => TimeSpan.FromMilliseconds(2 * (CoolDown + TrialLease)) + (LeaseTerm.OfVerdict * 2) + TimeSpan.FromSeconds(6)
        + (Durability == Durability.Fenced ? LeaseTerm.OfOwnership : default);

    public static BreakerScenario Draw(ulong seed)
    {
        var chances = new Chances(seed ^ 0xB4EA_4E45);
        var scenario = new BreakerScenario
        {
            Seed = seed,
            Nodes = chances.Next(1, 6),
            Rate = chances.One(5, 50, 200),
            CallTime = chances.One(0.1, 5, 80),
            Hanging = chances.Is(0.3) ? 0.02 : 0,
            Threshold = chances.Next(1, 6),
            CoolDown = chances.One(50, 500, 2_500),
            Trials = chances.Next(1, 4),
            TrialLease = chances.One(100, 1_000, 3_000),
            Quorum = chances.Is(0.25) ? 2 : 1,
            Ratio = chances.Is(0.15) ? 0.5 : 0,
            HasOneBadNode = chances.Is(0.2),
            Illnesses = chances.Is(0.7) ? 0.2 + chances.Next() : 0,
            IllFailures = chances.One(0.3, 0.9, 1),
            WellFailures = chances.One(0, 0, 0.02),
            Switches = Some(0.2, 1),
            Fallback = chances.One(CircuitFallback.LocalBreaker, CircuitFallback.Reject),
            RoundTrip = chances.One(0.2, 1, 20, 60),
            Loss = Some(0.02, 0.3),
            Duplication = Some(0.02, 0.5),
            Delay = Some(0.02, 0.5),
            Partitions = Some(0.3, 2),
            Pauses = Some(0.3, 3),
            Crashes = Some(0.2, 2),
            Drift = Some(100, 5_000),
            Losses = Some(0.1, 0.5),
            LivesOn = chances.Is(0.3),
            PolicyChanges = chances.Is(0.15) ? 0.5 : 0,
            Behind = chances.One(0, 10, NodeClock.MostBehind.TotalMilliseconds),
            Late = Some(5, 200),
        };
        var longest = (8 * scenario.CallTime) + (4 * scenario.RoundTrip); // a trial that is well must be able to say so
        scenario = scenario with { TrialLease = Math.Max(scenario.TrialLease, (int)longest) };
        scenario = scenario.OnRecord(new Chances(seed ^ 0x4EC0_4D5E));
        return chances.Is(0.15) ? scenario.WithoutFaults() : chances.Is(0.35) ? scenario.OutOfReach(chances) : scenario;

        double Some(double least, double most) => chances.Is(0.4) ? least + (chances.Next() * (most - least)) : 0;
    }

    // Switches are thrown all the time, and some node is always out of reach, or hears late.
    private BreakerScenario OutOfReach(Chances chances) => WithoutFaults() with
    {
        Nodes = 3,
        Rate = 200,
        CoolDown = 5_000,
        Quorum = 1,
        Ratio = 0,
        Illnesses = 0,
        WellFailures = 0,
        Switches = 2,
        Fallback = CircuitFallback.Reject,
        Behind = NodeClock.MostBehind.TotalMilliseconds,
        Partitions = 0.5 + (1.5 * chances.Next()),
        Delay = chances.One(0, 0.1, 0.5),
        Drift = chances.One(0, 5_000),
    };

    // Half of the worlds keep records; in a third of all activations move.
    private BreakerScenario OnRecord(Chances chances)
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
        };
    }

    public BreakerScenario WithoutFaults() => this with
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

    public CircuitBreakerPolicy Policy() => new()
    {
        FailureThreshold = Threshold,
        CoolDown = TimeSpan.FromMilliseconds(CoolDown),
        HalfOpenMaxCalls = Trials,
        TrialLease = TimeSpan.FromMilliseconds(TrialLease),
        QuorumNodes = Quorum,
        FailureRatio = Ratio,
        SheddingFactor = Shedding,
        MinimumThroughput = 10,
        SamplingWindow = TimeSpan.FromSeconds(1),
    };

    public override string ToString()
    {
        var plain = new BreakerScenario { Seed = ~Seed };
        return string.Join(
            ", ",
            typeof(BreakerScenario).GetProperties(BindingFlags.Public | BindingFlags.Instance | BindingFlags.DeclaredOnly)
                .Where(property => property.CanWrite && !Equals(property.GetValue(this), property.GetValue(plain)))
                .Select(property => string.Create(CultureInfo.InvariantCulture, $"{property.Name} {property.GetValue(this)}")));
    }
}
