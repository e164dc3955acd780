using System.Diagnostics;
using ReliabilityToolkit.Orleans.Simulation;

// Until the shapes have a table of their own: a few worlds, and what they come to.
foreach (var load in (double[])[0.5, 0.9, 1.2, 2, 10])
{
    foreach (var nodes in (int[])[1, 2, 10, 50])
    {
        foreach (var burst in (int[])[100, 1_000])
            Print(new Scenario { Load = load, Nodes = nodes, Burst = burst, ChecksBooks = nodes <= 2 });
    }
}

static void Print(Scenario scenario)
{
    var clock = Stopwatch.StartNew();
    var world = new World(scenario).Run();
    var totals = world.Totals;
    var seconds = scenario.Seconds - scenario.WarmUp;
    Console.WriteLine(
        $"nodes {scenario.Nodes,4} burst {scenario.Burst,5} load {scenario.Load,4}: "
        + $"utilisation {(double)totals.AdmittedTokens / totals.CentralAdmitted:0.000}, "
        + $"below supply {(double)totals.RefusedBelowSupply / totals.Requests:0.0000}, "
        + $"calls/s/node {totals.Calls / seconds / scenario.Nodes:0.0}, busiest {totals.CallsBy.Max() / seconds:0.0}, "
        + $"events {world.Events / clock.Elapsed.TotalSeconds / 1e6:0.00} M/s");
}
