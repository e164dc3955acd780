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

    /// <summary>L8: two renewals after a node has joined that wants as much as the others, each has its share.</summary>
    [Theory]
    [InlineData(1_000, 1_000, 4, 2)]
    [InlineData(10_000, 1_000, 4, 2)]
    [InlineData(10_000, 10_000, 4, 10)]
    [InlineData(10_000, 10_000, 20, 1.2)]
    public void World_TwoRenewalsAfterANodeJoined_IsFair(int rate, int burst, int nodes, double load)
    {
        const double seconds = 10;
        var scenario = new Scenario
        {
            Rate = rate,
            Burst = burst,
            Nodes = nodes,
            Load = load,
            StartsEmpty = true,
            Traffic = Traffic.LateJoiner,
            Seconds = seconds,
            WarmUp = (seconds / 2) + 0.5,
        };
        var totals = new World(scenario).Run().Totals;
        totals.Fairness(1).Should().BeGreaterThanOrEqualTo(0.98);
        totals.AdmittedBy[^1].Should().BeGreaterThan((long)(0.9 * totals.AdmittedTokens / nodes));
    }

    /// <summary>L6: who may not ask is refused one time in a thousand at most, on a steady load.</summary>
    [Theory]
    [InlineData(1_000, 1_000, 4, 0.9)]
    [InlineData(10_000, 10_000, 10, 0.9)]
    [InlineData(100, 1_000, 2, 0.5)]
    public void World_WhereNobodyWaitsForAnAnswer_RefusesOneInAThousand(int rate, int burst, int nodes, double load)
    {
        var scenario = new Scenario { Rate = rate, Burst = burst, Nodes = nodes, Load = load, Attempts = 1, Seconds = 20, WarmUp = 1 };
        var totals = new World(scenario).Run().Totals;
        totals.RefusedCount.Should().BeLessThanOrEqualTo(totals.Requests / 1_000);
    }

    /// <summary>L7: beyond what all would wait at one bucket, half wait a round trip at most, and one in a hundred two and 50 ms.</summary>
    [Theory]
    [InlineData(1_000, 100, 4, 0.9, 1)]
    [InlineData(10_000, 1_000, 4, 0.9, 20)]
    [InlineData(100, 10, 4, 0.9, 20)]
    public void World_WhereEverybodyWaits_LetsThemWaitLittleLonger(int rate, int burst, int nodes, double load, double roundTrip)
    {
        var scenario = new Scenario
        {
            Rate = rate,
            Burst = burst,
            QueueLimit = 100_000,
            Nodes = nodes,
            Load = load,
            RoundTrip = roundTrip,
            Waiters = 1,
            Seconds = 20,
        };
        var totals = new World(scenario).Run().Totals;
        totals.RefusedCount.Should().Be(0);
        totals.ExtraWait(0.5).TotalMilliseconds.Should().BeLessThanOrEqualTo(roundTrip * 1.2);
        totals.ExtraWait(0.99).TotalMilliseconds.Should().BeLessThanOrEqualTo((2 * roundTrip) + 50);
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
