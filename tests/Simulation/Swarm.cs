using System.Globalization;

namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>Many small worlds, each of its own seed.</summary>
internal static class Swarm
{
    private const int Seeds = 400;

    /// <summary>
    /// Runs as many as SIMULATION_SEEDS says (400), or the one of SIMULATION_SEED. The first that breaks a promise is told with all its options.
    /// </summary>
    /// <exception cref="BrokenPromiseException">In one of them a checker found something.</exception>
    public static void Run()
    {
        var (first, count) = (Number("SIMULATION_SEED"), Number("SIMULATION_SEEDS"));
        if (first is { } seed)
            Run(seed);
        else
            Run(1, count ?? Seeds);
    }

    /// <summary>Runs those of some seeds.</summary>
    /// <returns>Events in all.</returns>
    public static long Run(ulong first, ulong count)
    {
        var events = 0L;
        for (var seed = first; seed < first + count; seed++)
            events += Run(seed);
        return events;
    }

    /// <summary>The first seed in whose world a checker finds something; of promises with a number the first of the shapes that keep them.</summary>
    /// <param name="promise">Which checker; others are passed over.</param>
    /// <param name="first">From which seed on.</param>
    /// <param name="count">How many seeds are tried.</param>
    /// <returns>The seed and what was found, or the shape; null where nothing was.</returns>
    public static string? Find(string promise, ulong first, ulong count)
    {
        if (promise is "L2" or "L3" or "L6" or "L7" or "L8")
            return Shape.Kept.FirstOrDefault(shape => shape.Run().ShortOf().Contains(promise))?.ToString();
        if (promise == "Tiny")
            return TinyWorld.Explore(TinyWorld.Steps).Found;
        var isOfBreakers = promise is "B1" or "B2" or "B4" or "R1" or "Reference" or "Quorum" or "Poison" or "Healed";
        var isOfBulkheads = promise is "K1" or "K2" or "K3" or "K4" or "K5" or "Queue" or "Idle" or "R1 of bulkheads";
        Func<ulong, ulong, long> run = isOfBreakers ? BreakerSwarm.Run : isOfBulkheads ? BulkheadSwarm.Run : Run;
        for (var seed = first; seed < first + count; seed++)
        {
            try
            {
                run(seed, 1);
            }
            catch (BrokenPromiseException e) when (e.Promise == promise)
            {
                return e.Message;
            }
            catch (BrokenPromiseException)
            {
                // Another checker was quicker in this world.
            }
        }

        return null;
    }

    private static long Run(ulong seed)
    {
        var scenario = Scenario.Draw(seed);
        try
        {
            return new World(scenario).Run().Events;
        }
        catch (BrokenPromiseException e)
        {
            throw new BrokenPromiseException(e.Promise, $"{e.Finding}. SIMULATION_SEED={seed} replays it: {scenario}");
        }
    }

    private static ulong? Number(string variable) =>
        ulong.TryParse(Environment.GetEnvironmentVariable(variable), CultureInfo.InvariantCulture, out var number) ? number : null;
}
