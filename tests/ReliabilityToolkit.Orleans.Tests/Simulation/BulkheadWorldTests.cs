using ReliabilityToolkit.Orleans.Simulation;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class BulkheadWorldTests
{
    /// <summary>Each seed is a world of its own. BULKHEAD_SEEDS=100000 says how many.</summary>
    [Fact]
    public void World_OfAnySeed_KeepsItsPromises()
    {
        var count = ulong.TryParse(Environment.GetEnvironmentVariable("BULKHEAD_SEEDS"), out var some) ? some : 150;
        BulkheadSwarm.Run(1, count).Should().BeGreaterThan(1_000_000);
    }

    /// <summary>K5: with slots enough a node that is busy all the time says that it still holds them, and nothing else.</summary>
    [Fact]
    public void World_WithSlotsEnough_NeedsNoRequestForACaller()
    {
        var scenario = new BulkheadScenario { Nodes = 2, Capacity = 1_000, Rate = 500, CallTime = 20, Lease = 15, Seconds = 60 };
        var world = new BulkheadWorld(scenario).Run();
        (world.RequestsBeforeTheEnd / 2.0 / 60).Should().BeLessThan(2, "of 500 callers in a second");
    }

    /// <summary>One node has ten times as much to do: the others wait no longer than for their turns.</summary>
    [Fact]
    public void World_WithOneGreedyNode_ServesTheOthersInTurn()
    {
        var world = new BulkheadWorld(new BulkheadScenario { Nodes = 4, Capacity = 4, Rate = 10, Skew = 50, CallTime = 20, Seconds = 30 }).Run();
        world.Nodes.Skip(1).Should().OnlyContain(node => node.LongestWait < TimeSpan.FromSeconds(1));
        world.Nodes[0].LongestWait.Should().BeGreaterThan(TimeSpan.FromSeconds(5), "it wants more than there is");
    }
}
