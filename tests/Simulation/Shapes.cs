using System.Globalization;

namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>A shape of traffic on one limiter, in a world without faults.</summary>
/// <param name="Rate">Tokens per second.</param>
/// <param name="Burst">Tokens.</param>
/// <param name="Nodes">At least 1.</param>
/// <param name="Load">Requests for one token each, as a multiple of the rate.</param>
/// <param name="RoundTrip">In milliseconds.</param>
/// <param name="IsSkewed">Whether node i has 1/i of the requests of node 1.</param>
internal sealed record Shape(int Rate, int Burst, int Nodes, double Load, double RoundTrip, bool IsSkewed)
{
    private static readonly string[] AllKept =
    [
        "--rate 1000 --burst 50 --nodes 2 --load 2 --round-trip 1",
        "--rate 1000 --burst 100 --nodes 2 --load 0.5 --round-trip 20",
        "--rate 1000 --burst 1000 --nodes 2 --load 1.2 --round-trip 20 --skew",
        "--rate 1000 --burst 1000 --nodes 10 --load 2 --round-trip 20 --skew",
        "--rate 10000 --burst 1000 --nodes 2 --load 2 --round-trip 20 --skew",
        "--rate 10000 --burst 1000 --nodes 10 --load 10 --round-trip 20 --skew",
        "--rate 10000 --burst 10000 --nodes 10 --load 0.9 --round-trip 0.2 --skew",
        "--rate 10000 --burst 100000 --nodes 10 --load 2 --round-trip 0.2",
        "--rate 1000 --burst 10000 --nodes 10 --load 0.5 --round-trip 0.2 --skew",
        "--rate 100 --burst 5 --nodes 2 --load 0.5 --round-trip 1 --skew",
        "--rate 100 --burst 10 --nodes 10 --load 2 --round-trip 1",
        "--rate 100 --burst 100 --nodes 50 --load 0.9 --round-trip 20",
        "--rate 1000 --burst 100 --nodes 50 --load 1.2 --round-trip 20",
        "--rate 1000 --burst 10 --nodes 1000 --load 10 --round-trip 1 --skew",
        "--rate 10 --burst 100 --nodes 10 --load 10 --round-trip 1 --skew",
    ];

    // So many requests are enough to judge a shape, and so many seconds.
    private const double Requests = 400_000;
    private const double MostSeconds = 60;
    private const double LeastSeconds = 2;
    private const double WarmUp = 2;

    /// <summary>Whether the promises about utilisation and calls are made for it.</summary>
    public bool IsPromised => Burst >= Rate * 0.1;

    private double Seconds => Math.Clamp(Math.Floor(Requests / (Rate * Load)), LeastSeconds, MostSeconds);

    /// <summary>Some of all kinds in which every promise is kept.</summary>
    public static IEnumerable<Shape> Kept => AllKept.Select(options => TryParse(options.Split(' '))!);

    /// <summary>
    /// Those that are looked at: each of burst, load and number of nodes with each other, with rate, round trip and skew changing from one to the
    /// next; and all corners.
    /// </summary>
    public static IEnumerable<Shape> All()
    {
        int[] rates = [10, 100, 1_000, 10_000, 100_000];
        double[] bursts = [0.01, 0.05, 0.1, 1, 10];
        int[] nodes = [2, 10, 50, 1_000];
        double[] loads = [0.5, 0.9, 1.2, 2, 10];
        double[] roundTrips = [0.2, 1, 20];
        var shapes = new List<Shape>();
        for (var b = 0; b < bursts.Length; b++)
        {
            for (var l = 0; l < loads.Length; l++)
            {
                for (var n = 0; n < nodes.Length; n++)
                {
                    var rate = rates[(b + (2 * l) + (3 * n)) % 5];
                    shapes.Add(Of(rate, bursts[b], nodes[n], loads[l], roundTrips[(b + l + (2 * n)) % 3], (b + l + n) % 2 == 1));
                }
            }
        }

        for (var corner = 0; corner < 64; corner++)
        {
            shapes.Add(Of(
                rates[Is(1) ? 4 : 0],
                bursts[Is(2) ? 4 : 0],
                nodes[Is(4) ? 3 : 0],
                loads[Is(8) ? 4 : 0],
                roundTrips[Is(16) ? 2 : 0],
                Is(32)));

            bool Is(int bit) => (corner & bit) != 0;
        }

        return shapes.Distinct();

        static Shape Of(int rate, double seconds, int nodes, double load, double roundTrip, bool isSkewed) =>
            new(rate, Math.Max(1, (int)(rate * seconds)), nodes, load, roundTrip, isSkewed);
    }

    /// <summary>The shape that options of a command line tell; null where they are none.</summary>
    public static Shape? TryParse(IReadOnlyList<string> options)
    {
        var shape = new Shape(1_000, 1_000, 10, 0.9, 1, false);
        for (var i = 0; i < options.Count; i++)
        {
            if (options[i] == "--skew")
            {
                shape = shape with { IsSkewed = true };
                continue;
            }

            if (i + 1 == options.Count || !double.TryParse(options[i + 1], CultureInfo.InvariantCulture, out var number) || !(number > 0))
                return null;
            switch (options[i++])
            {
                case "--rate":
                    shape = shape with { Rate = Math.Max(1, (int)number) };
                    break;
                case "--burst":
                    shape = shape with { Burst = Math.Max(1, (int)number) };
                    break;
                case "--nodes":
                    shape = shape with { Nodes = Math.Max(1, (int)number) };
                    break;
                case "--load":
                    shape = shape with { Load = number };
                    break;
                case "--round-trip":
                    shape = shape with { RoundTrip = number };
                    break;
                default:
                    return null;
            }
        }

        return shape;
    }

    /// <summary>Runs two worlds of it: one in which nobody waits, and a shorter one in which one caller in twenty waits for his token.</summary>
    public ShapeResult Run(ulong seed = 1)
    {
        var scenario = new Scenario
        {
            Seed = seed,
            Rate = Rate,
            Burst = Burst,
            QueueLimit = 1_000_000,
            Nodes = Nodes,
            Load = Load,
            RoundTrip = RoundTrip,
            IsSkewed = IsSkewed,
            StartsEmpty = Load > 1,
            WarmUp = WarmUp,
            Seconds = WarmUp + Seconds,
        };
        string? excess = null;
        var totals = Totals(scenario);
        var waits = Totals(scenario with { Seconds = WarmUp + Math.Max(LeastSeconds, Seconds / 4), Waiters = WaitersShare() });
        return new ShapeResult(
            this,
            totals.Utilisation,
            totals.RefusedBelowSupply / (double)Math.Max(totals.Requests, 1),
            totals.Calls / (double)Math.Max(totals.Requests, 1),
            totals.Calls / Seconds / Nodes,
            totals.MostCallsInASecond,
            totals.Calls / Seconds,
            waits.ExtraWait(0.5).TotalMilliseconds,
            waits.ExtraWait(0.99).TotalMilliseconds,
            totals.Fairness(Seconds / TokenShares.Renewal.TotalSeconds),
            excess,
            totals.Dense / (double)Nodes);

        Totals Totals(Scenario scenario)
        {
            var world = new World(scenario);
            try
            {
                world.Run();
            }
            catch (BrokenPromiseException e)
            {
                excess ??= e.Message;
            }

            return world.Totals;
        }
    }

    // A twentieth of all, and on no node more than half of what is its due: who waits is not to wait for others like him.
    private double WaitersShare()
    {
        double all = 0;
        for (var i = 1; i <= Nodes; i++)
            all += IsSkewed ? 1.0 / i : 1;
        return Math.Min(0.05, 0.5 * Math.Min(1, all / Load / Nodes));
    }

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"--rate {Rate} --burst {Burst} --nodes {Nodes} --load {Load} --round-trip {RoundTrip}{(IsSkewed ? " --skew" : "")}");
}

/// <summary>What became of a shape.</summary>
/// <param name="Shape">Which.</param>
/// <param name="Utilisation">Admitted, of what one central bucket admitted.</param>
/// <param name="RefusedBelowSupply">Of all requests: those refused though the central bucket admitted them, and had admitted all for a while.</param>
/// <param name="CallsPerRequest">Grain calls.</param>
/// <param name="CallsPerNode">Per second, in the mean.</param>
/// <param name="MostCallsPerNode">In the busiest second of the busiest node.</param>
/// <param name="CallsPerKey">Per second.</param>
/// <param name="ExtraWait">Of those who wait, beyond what they had waited at the central bucket; median, in milliseconds.</param>
/// <param name="MostExtraWait">Likewise, of the slowest in a hundred.</param>
/// <param name="Fairness">Jain's index.</param>
/// <param name="Excess">The admission that was one too many; null: none.</param>
/// <param name="Dense">The share of nodes that have a part at the end.</param>
internal sealed record ShapeResult(
    Shape Shape,
    double Utilisation,
    double RefusedBelowSupply,
    double CallsPerRequest,
    double CallsPerNode,
    double MostCallsPerNode,
    double CallsPerKey,
    double ExtraWait,
    double MostExtraWait,
    double Fairness,
    string? Excess,
    double Dense)
{
    public const string Header =
        "   rate   burst nodes load   rtt skew |   util   below  c/req c/s/node busiest   c/s/key   wait50   wait99   Jain excess kind  | short of";

    /// <summary>The promises that it falls short of.</summary>
    public IEnumerable<string> ShortOf()
    {
        if (Excess is not null)
            yield return "L1";
        if (Shape.Load >= 1 && Utilisation < 0.99)
            yield return Shape.IsPromised ? "L2" : "(L2)";
        if (Dense > 0.5 && (CallsPerNode > 8 || MostCallsPerNode > 20))
            yield return Shape.IsPromised ? "L3" : "(L3)";
        if (Dense <= 0.5 && CallsPerRequest > 1.005)
            yield return "L3";
        if (Shape.Load > 1 && CallsPerKey > 51_000)
            yield return "L3";
        if (Shape.Burst >= 2 && RefusedBelowSupply > (Shape.Load <= 0.9 ? 0 : 0.001))
            yield return "L6";
        if (ExtraWait > Shape.RoundTrip * 1.2 || MostExtraWait > (2 * Shape.RoundTrip) + 50)
            yield return "L7";
        if (Fairness < 0.98)
            yield return "L8";
    }

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Shape.Rate,7} {Shape.Burst,7} {Shape.Nodes,5} {Shape.Load,4} {Shape.RoundTrip,5} {(Shape.IsSkewed ? "1/i" : ""),4} | "
        + $"{Utilisation,6:0.0000} {RefusedBelowSupply,7:0.00%} "
        + $"{CallsPerRequest,6:0.000} {CallsPerNode,8:0.0} {MostCallsPerNode,7} {CallsPerKey,9:0} "
        + $"{ExtraWait,8:0.0} {MostExtraWait,8:0.0} {Fairness,6:0.000} {(Excess is null ? 0 : 1),6} {Kind,-5} | {string.Join(' ', ShortOf())}");

    private string Kind => Dense switch
    {
        0 => "exact",
        1 => "dense",
        _ => string.Create(CultureInfo.InvariantCulture, $"{Dense:0%}"),
    };
}
