using ReliabilityToolkit.Orleans.Simulation;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class LimiterWorldTests
{
    /// <summary>
    /// Each seed is a world of its own. SIMULATION_SEED=7 replays one, SIMULATION_SEEDS=100000 says how many.
    /// </summary>
    [Fact]
    public void World_OfAnySeed_KeepsItsPromises() => Swarm.Run();

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

    [Fact]
    public void TinyWorld_EveryOrderOfAFewSteps_KeepsItsPromises()
    {
        var (states, found) = TinyWorld.Explore(TinyWorld.Steps);
        found.Should().BeNull();
        states.Should().BeGreaterThan(10_000);
    }

    public static TheoryData<string> Kept => [.. Shape.Kept.Select(shape => shape.ToString())];

    /// <summary>L2, L3, L6, L7 and L8, each with its number.</summary>
    [Theory]
    [MemberData(nameof(Kept))]
    public void Shape_OfThoseThatAreKept_FallsShortOfNothing(string options)
    {
        var result = Shape.TryParse(options.Split(' '))!.Run();
        result.ShortOf().Should().BeEmpty(result.ToString());
    }

    [Fact]
    public void Books_OneTokenTooMany_IsFound()
    {
        var books = new World(new Scenario { Burst = 3 }).Authority.Books;
        for (var i = 0; i < 3; i++)
            books.Admitted(1, default);
        books.Invoking(it => it.Admitted(1, default)).Should().Throw<BrokenPromiseException>().WithMessage("L1*");
    }

    [Fact]
    public void Books_TokenThatStandsInNoAccount_IsFound()
    {
        var books = new World(new Scenario { Burst = 3 }).Authority.Books;
        books.Check();
        books.Admitted(1, default); // and the rest did not spend it
        books.Invoking(it => it.Check()).Should().Throw<BrokenPromiseException>().WithMessage("Sum*");
    }
}
