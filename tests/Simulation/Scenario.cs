using System.Globalization;
using System.Reflection;

namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>How callers come to the nodes.</summary>
internal enum Traffic
{
    /// <summary>Independently of each other.</summary>
    Steady,

    /// <summary>Ten at a time.</summary>
    Bursts,

    /// <summary>For 300 ms of each second.</summary>
    OnOff,

    /// <summary>Nine of ten to the first node.</summary>
    OneHot,

    /// <summary>To the last node only in the second half.</summary>
    LateJoiner,

    /// <summary>One at a time in the whole world; who was refused comes back when he was told to, and nobody else comes before him.</summary>
    ComingBack,
}

/// <summary>What a world is made of. It prints as what it differs in from the default, from which the world can be made again.</summary>
internal sealed record Scenario
{
    public ulong Seed { get; init; } = 1;

    /// <summary>Tokens per second.</summary>
    public int Rate { get; init; } = 1_000;

    public int Burst { get; init; } = 1_000;

    public int QueueLimit { get; init; } = 1_000;

    public int Nodes { get; init; } = 10;

    /// <summary>Tokens that all callers ask for, as a multiple of the rate.</summary>
    public double Load { get; init; } = 0.9;

    /// <summary>The round trip to the authority and back, in milliseconds.</summary>
    public double RoundTrip { get; init; } = 1;

    /// <summary>Node i gets 1/i of the requests that node 1 gets.</summary>
    public bool IsSkewed { get; init; }

    public Traffic Traffic { get; init; }

    /// <summary>The most tokens that one asks for; the least is 1.</summary>
    public int MostTokens { get; init; } = 1;

    /// <summary>The share of callers who wait for nothing.</summary>
    public double Attempts { get; init; }

    /// <summary>The share of callers who wait for their tokens.</summary>
    public double Waiters { get; init; }

    /// <summary>For how many milliseconds they have patience, in the mean; 0: for ever.</summary>
    public double Patience { get; init; }

    /// <summary>The share of what was taken from parts that turns out to have cost nothing, within a second.</summary>
    public double Refunds { get; init; }

    /// <summary>How long, in seconds.</summary>
    public double Seconds { get; init; } = 5;

    /// <summary>What is measured begins after so many seconds.</summary>
    public double WarmUp { get; init; } = 1;

    /// <summary>How long nobody comes any more, in seconds; by its end everybody has been decided, and all that was lent is back.</summary>
    public double Drain { get; init; }

    /// <summary>The share of the time until the drain in which there are faults.</summary>
    public double Faulty { get; init; } = 0.7;

    /// <summary>The share of messages that are lost.</summary>
    public double Loss { get; init; }

    /// <summary>The share of messages that come twice.</summary>
    public double Duplication { get; init; }

    /// <summary>The share of messages that are late, and overtaken, by up to 2 s.</summary>
    public double Delay { get; init; }

    /// <summary>How often in a second a node and the authority do not hear each other, or one does not hear the other.</summary>
    public double Partitions { get; init; }

    /// <summary>How often in a second one of the nodes stands still, for up to three terms.</summary>
    public double Pauses { get; init; }

    /// <summary>The share of hits that fall asleep, for up to 20 ms, between reading the clock and taking the token.</summary>
    public double Sleepers { get; init; }

    /// <summary>How often in a second one of the nodes dies; another takes its place.</summary>
    public double Crashes { get; init; }

    /// <summary>By how much the nodes' clocks run faster or slower than the authority's at most, in millionths.</summary>
    public double Drift { get; init; }

    /// <summary>How far the clocks by which hits are made are behind the nodes' others at most, in milliseconds.</summary>
    public double Behind { get; init; } = 4;

    /// <summary>How late the nodes' timers are at most, in milliseconds.</summary>
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

    /// <summary>How often in a second the policy changes.</summary>
    public double PolicyChanges { get; init; }

    /// <summary>Whether the bucket is empty in the beginning, so that what follows is a steady overload from the start.</summary>
    public bool StartsEmpty { get; init; }

    /// <summary>Whether the books are checked after every event; slow, for small worlds.</summary>
    public bool ChecksBooks { get; init; }

    /// <summary>A small world of its own from each seed: some of the faults, in some strength, and some shape and traffic.</summary>
    public static Scenario Draw(ulong seed)
    {
        var chances = new Chances(seed);
        var rate = chances.One(20, 100, 500, 2_000);
        const double seconds = 3;
        var scenario = new Scenario
        {
            Seed = seed,
            ChecksBooks = true,
            Rate = rate,
            Burst = Math.Max(1, (int)(rate * chances.One(0.01, 0.05, 0.1, 1, 5))),
            QueueLimit = chances.One(0, 3, 20),
            Nodes = chances.Next(1, 5),
            Load = chances.One(0.3, 0.9, 1.2, 3, 10),
            RoundTrip = chances.One(0.2, 1, 20, 60),
            IsSkewed = chances.Is(0.3),
            Traffic = chances.One(Traffic.Steady, Traffic.Steady, Traffic.Bursts, Traffic.OnOff, Traffic.OneHot, Traffic.LateJoiner),
            MostTokens = chances.Is(0.4) ? chances.One(2, 4, 8, 20) : 1,
            Attempts = chances.Is(0.3) ? chances.Next() : 0,
            Waiters = chances.Is(0.4) ? chances.Next() : 0,
            Patience = chances.One(0, 20, 300),
            Seconds = seconds,
            Loss = Some(0.02, 0.3),
            Duplication = Some(0.02, 0.5),
            Delay = Some(0.02, 0.5),
            Partitions = Some(0.5, 4),
            Pauses = Some(0.5, 8),
            Sleepers = Some(0.01, 0.2),
            Crashes = Some(0.2, 3),
            Drift = Some(100, 1_000),
            Losses = Some(0.3, 1),
            LivesOn = chances.Is(0.3),
            PolicyChanges = Some(0.3, 1),
            Behind = chances.One(0, 10, NodeClock.MostBehind.TotalMilliseconds),
            Late = Some(5, 200),
        };
        var most = Math.Min(scenario.MostTokens, scenario.Burst);
        var lines = (scenario.Nodes + 1) * scenario.QueueLimit * most; // tokens for which somebody may wait at the end
        scenario = scenario with { MostTokens = most, Drain = 3 + (1.0 * lines / rate) };
        scenario = scenario.OnRecord(new Chances(seed ^ 0x4EC0_4D5E));
        var refunds = new Chances(seed ^ 0x5EFD);
        scenario = scenario with { Refunds = refunds.Is(0.3) ? refunds.Next() : 0 };
        return chances.Is(0.1) ? scenario.WithoutFaults() with { Traffic = Traffic.ComingBack, Attempts = 0, Waiters = 0, Refunds = 0 }
            : chances.Is(0.1) ? scenario.WithoutFaults() : scenario;

        double Some(double least, double most) => chances.Is(0.4) ? least + (chances.Next() * (most - least)) : 0;
    }

    // Half of the worlds in which activations are lost keep records; in a third of all they move.
    private Scenario OnRecord(Chances chances)
    {
        var scenario = chances.Is(0.3) ? this with { Moves = 0.3 + chances.Next() } : this;
        if (chances.Is(0.5))
            return scenario;
        var isFenced = LivesOn || chances.Is(0.3);
        return scenario with
        {
            Durability = isFenced ? Durability.Fenced : Durability.Durable,
            Seconds = LivesOn ? 3 + (2 * LeaseTerm.OfOwnership.TotalSeconds) : Seconds,
            Losses = LivesOn ? Math.Max(Losses, 0.5) : Losses,
            Drain = Drain + LeaseTerm.OfOwnership.TotalSeconds + 1,
            FailingWrites = chances.One(0, 0, 0.1, 0.5),
        };
    }

    public Scenario WithoutFaults() => this with
    {
        Loss = 0,
        Duplication = 0,
        Delay = 0,
        Partitions = 0,
        Pauses = 0,
        Sleepers = 0,
        Crashes = 0,
        Drift = 0,
        Behind = Math.Min(Behind, 10),
        Late = 0,
        Losses = 0,
        LivesOn = false,
        Moves = 0,
        FailingWrites = 0,
        PolicyChanges = 0,
    };

    public RateLimiterPolicy Policy() =>
        new() { TokensPerPeriod = Rate, Period = TimeSpan.FromSeconds(1), Burst = Burst, QueueLimit = QueueLimit };

    /// <summary>Requests per second of one node.</summary>
    public double RateOf(int node)
    {
        double all = 0;
        for (var i = 0; i < Nodes; i++)
            all += Weight(i);
        return Load * Rate * Weight(node) / all / ((1 + MostTokens) / 2.0);
    }

    public override string ToString()
    {
        var plain = new Scenario { Seed = ~Seed };
        return string.Join(
            ", ",
            typeof(Scenario).GetProperties(BindingFlags.Public | BindingFlags.Instance | BindingFlags.DeclaredOnly)
                .Where(property => property.CanWrite && !Equals(property.GetValue(this), property.GetValue(plain)))
                .Select(property => string.Create(CultureInfo.InvariantCulture, $"{property.Name} {property.GetValue(this)}")));
    }

    private double Weight(int node) => Traffic == Traffic.OneHot ? (node == 0 ? 9 : 1.0 / Math.Max(Nodes - 1, 1)) : IsSkewed ? 1.0 / (node + 1) : 1;
}
