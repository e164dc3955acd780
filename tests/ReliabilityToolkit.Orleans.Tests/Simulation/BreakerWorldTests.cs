using ReliabilityToolkit.Orleans.Simulation;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class BreakerWorldTests
{
    /// <summary>Each seed is a world of its own. BREAKER_SEEDS=100000 says how many.</summary>
    [Fact]
    public void World_OfAnySeed_KeepsItsPromises()
    {
        var count = ulong.TryParse(Environment.GetEnvironmentVariable("BREAKER_SEEDS"), out var some) ? some : 2_000;
        BreakerSwarm.Run(1, count).Should().BeGreaterThan(1_000_000);
    }

    /// <summary>B5: once the first answer has come, no caller of a healthy breaker waits for anything.</summary>
    [Fact]
    public void World_WhereAllIsWell_MakesNobodyWaitAndTellsNothing()
    {
        var world = new BreakerWorld(new BreakerScenario { Nodes = 4, Rate = 500, CallTime = 5, Seconds = 20, RoundTrip = 20 });
        world.Run();
        world.Made.Should().BeGreaterThan(40_000);
        world.Nodes.Sum(node => node.Waited).Should().Be(0);
        var renewals = world.RequestsBeforeTheEnd / 4.0 / 20;
        renewals.Should().BeApproximately(1.5, 0.1, "a renewal every 667 ms, and nothing else");
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
