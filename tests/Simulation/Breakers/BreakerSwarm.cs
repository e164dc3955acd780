namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>Many small worlds of breakers, each of its own seed.</summary>
internal static class BreakerSwarm
{
    /// <summary>Runs those of some seeds.</summary>
    /// <returns>Events in all.</returns>
    /// <exception cref="BrokenPromiseException">In one of them a checker found something.</exception>
    public static long Run(ulong first, ulong count)
    {
        var events = 0L;
        for (var seed = first; seed < first + count; seed++)
            events += Run(seed);
        return events;
    }

    private static long Run(ulong seed)
    {
        var scenario = BreakerScenario.Draw(seed);
        try
        {
            return new BreakerWorld(scenario).Run().Events;
        }
        catch (BrokenPromiseException e)
        {
            throw new BrokenPromiseException(e.Promise, $"{e.Finding}. \"breakers {seed} 1\" replays it: {scenario}");
        }
    }
}
