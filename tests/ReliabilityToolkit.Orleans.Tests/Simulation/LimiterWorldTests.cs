using ReliabilityToolkit.Orleans.Simulation;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class LimiterWorldTests
{
    [Theory]
    [InlineData(1, 0.5)]
    [InlineData(1, 2)]
    [InlineData(3, 0.9)]
    [InlineData(3, 1.2)]
    [InlineData(3, 10)]
    public void World_WithoutFaults_KeepsItsBooks(int nodes, double load)
    {
        for (var seed = 1UL; seed <= 10; seed++)
        {
            var scenario = new Scenario { Seed = seed, Nodes = nodes, Load = load, Rate = 500, Burst = 60, Seconds = 2, ChecksBooks = true };
            new World(scenario).Run().Totals.AdmittedTokens.Should().BeGreaterThan(0);
        }
    }
}
