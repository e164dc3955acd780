using ReliabilityToolkit.Orleans.Simulation;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class BreakerWorldTests
{
    /// <summary>Each seed is a world of its own. BREAKER_SEEDS=100000 says how many.</summary>
    [Fact]
    public void World_OfAnySeed_KeepsItsPromises()
    {
        var count = ulong.TryParse(Environment.GetEnvironmentVariable("BREAKER_SEEDS"), out var some) ? some : 400;
        BreakerSwarm.Run(1, count).Should().BeGreaterThan(1_000_000);
    }

    /// <summary>B5: once the first answer has come, no caller of a healthy breaker waits for anything.</summary>
    [Fact]
    public void World_WhereAllIsWell_MakesNobodyWaitAndTellsNothing()
    {
        var world = new BreakerWorld(new BreakerScenario { Nodes = 4, Rate = 500, CallTime = 5, Seconds = 20, RoundTrip = 20 });
        world.Run();
        world.Made.Should().BeGreaterThan(29_000);
        world.Nodes.Sum(node => node.Waited).Should().Be(0);
        var renewals = world.RequestsBeforeTheEnd / 4.0 / 20;
        renewals.Should().BeApproximately(1.5, 0.1, "a renewal every 667 ms, and nothing else");
    }

    /// <summary>
    /// Shedding, where the service has more calls than it can serve: it goes on serving what it can, and is not asked for much more.
    /// </summary>
    [Theory]
    [InlineData(1.5, 4)]
    [InlineData(5, 4)]
    [InlineData(20, 4)]
    [InlineData(5, 20)]
    public void World_WhereCallsAreShedInOverload_ServesWhatCanBeServed(double overload, int nodes)
    {
        const double capacity = 500;
        var rate = overload * capacity / nodes;
        var world = new BreakerWorld(new BreakerScenario { Nodes = nodes, Rate = rate, Capacity = capacity, Shedding = 1.1, Seconds = 35 }).Run();
        var canServe = capacity * 30;
        (world.Succeeded / canServe).Should().BeGreaterThan(0.95, "goodput, of the unprotected service's");
        (world.Made / canServe).Should().BeLessThan(1.1, "load, of what it can serve");
    }

    /// <summary>And where the service fails a share of its calls whatever its load, the others go on being served.</summary>
    [Theory]
    [InlineData(0.15, 2)]
    [InlineData(0.15, 1.25)]
    [InlineData(0.4, 2)]
    public void World_WhereCallsAreShedInPartialFailure_MakesNoTotalFailureOfIt(double failing, double factor)
    {
        var world = new BreakerWorld(new BreakerScenario { Nodes = 4, Rate = 250, WellFailures = failing, Shedding = factor, Seconds = 35 }).Run();
        var unprotected = 4 * 250 * 30 * (1 - failing) * 0.99; // one in a hundred is cancelled by its caller
        (world.Succeeded / unprotected).Should().BeGreaterThan(0.95);
    }

    /// <summary>Quorum: one node whose calls all fail takes the service from nobody else, and is itself rejected.</summary>
    [Fact]
    public void World_WhereOneNodeIsBadAndAQuorumIsWanted_RejectsThatOneOnly()
    {
        var world = new BreakerWorld(new BreakerScenario { Nodes = 4, HasOneBadNode = true, IllFailures = 1, Quorum = 2, Seconds = 20 });
        world.Run();
        world.RejectedBy[0].Should().BeGreaterThan(1_500, "of some 2,000");
        world.RejectedBy.Skip(1).Should().OnlyContain(rejected => rejected < 300, "and these when the end of the run opens it for all");
    }
}
