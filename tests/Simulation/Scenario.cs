namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>What a world is made of. It prints as a line from which the world can be made again.</summary>
internal sealed record Scenario
{
    public ulong Seed { get; init; } = 1;

    /// <summary>Tokens per second.</summary>
    public int Rate { get; init; } = 1_000;

    public int Burst { get; init; } = 1_000;

    public int Nodes { get; init; } = 10;

    /// <summary>Requests of all nodes, as a multiple of the rate.</summary>
    public double Load { get; init; } = 0.9;

    /// <summary>The round trip to the authority and back, in milliseconds.</summary>
    public double RoundTrip { get; init; } = 1;

    /// <summary>Node i gets 1/i of the requests that node 1 gets.</summary>
    public bool IsSkewed { get; init; }

    /// <summary>How long, in seconds.</summary>
    public double Seconds { get; init; } = 5;

    /// <summary>What is measured begins after so many seconds.</summary>
    public double WarmUp { get; init; } = 1;

    /// <summary>Whether the books are checked after every event; slow, for small worlds.</summary>
    public bool ChecksBooks { get; init; }

    public RateLimiterPolicy Policy => new() { TokensPerPeriod = Rate, Period = TimeSpan.FromSeconds(1), Burst = Burst };

    /// <summary>Requests per second of one node.</summary>
    public double RateOf(int node)
    {
        var weight = IsSkewed ? 1.0 / (node + 1) : 1;
        double all = 0;
        for (var i = 0; i < Nodes; i++)
            all += IsSkewed ? 1.0 / (i + 1) : 1;
        return Load * Rate * weight / all;
    }
}
