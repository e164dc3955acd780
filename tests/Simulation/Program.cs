using System.Diagnostics;
using ReliabilityToolkit.Orleans.Simulation;

return args switch
{
    ["seeds", .. var rest] => Seeds(rest),
    _ => Usage(),
};

static int Usage()
{
    Console.WriteLine("seeds [FIRST [COUNT]]   runs the worlds of so many seeds, and tells the first failure of each checker");
    return 1;
}

static int Seeds(string[] args)
{
    var first = args.Length > 0 ? ulong.Parse(args[0]) : 1;
    var count = args.Length > 1 ? ulong.Parse(args[1]) : 2_000;
    var clock = Stopwatch.StartNew();
    var events = 0L;
    var failures = new SortedDictionary<string, (int Count, string First)>();
    for (var seed = first; seed < first + count; seed++)
    {
        try
        {
            events += Swarm.Run(seed, 1);
        }
        catch (BrokenPromiseException e)
        {
            var earlier = failures.GetValueOrDefault(e.Promise, (0, e.Message));
            failures[e.Promise] = (earlier.Item1 + 1, earlier.Item2);
        }
    }

    foreach (var (promise, (broken, message)) in failures)
        Console.WriteLine($"{promise}: broken in {broken} worlds. The first: {message}");
    Console.WriteLine($"{count} worlds, {failures.Values.Sum(failure => failure.Count)} failed, {events} events, {clock.Elapsed.TotalSeconds:0.0} s");
    return failures.Count == 0 ? 0 : 1;
}
