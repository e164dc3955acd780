namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>Many small worlds of bulkheads, each of its own seed.</summary>
internal static class BulkheadSwarm
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
        var scenario = BulkheadScenario.Draw(seed);
        try
        {
            return new BulkheadWorld(scenario).Run().Events;
        }
        catch (BrokenPromiseException e)
        {
            throw new BrokenPromiseException(e.Promise, $"{e.Finding}. \"bulkheads {seed} 1\" replays it: {scenario}");
        }
    }
}
