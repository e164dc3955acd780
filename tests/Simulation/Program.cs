using System.Diagnostics;
using ReliabilityToolkit.Orleans.Simulation;

return args switch
{
    ["seeds", .. var rest] => Seeds(Swarm.Run, rest),
    ["breakers", .. var rest] => Seeds(BreakerSwarm.Run, rest),
    ["bulkheads", .. var rest] => Seeds(BulkheadSwarm.Run, rest),
    ["tiny", var steps] => Tiny(int.Parse(steps)),
    ["shapes"] => Shapes([.. Shape.All()]),
    ["shapes", .. var options] when Shape.TryParse(options) is { } shape => Shapes([shape]),
    _ => Usage(),
};

static int Usage()
{
    Console.WriteLine("seeds [FIRST [COUNT]]   runs the worlds of so many seeds, and tells the first failure of each checker");
    Console.WriteLine("breakers [FIRST [COUNT]]   the same of the worlds of breakers");
    Console.WriteLine("bulkheads [FIRST [COUNT]]   the same of the worlds of bulkheads");
    Console.WriteLine("tiny STEPS              looks at all that can happen in so many steps in a world of two nodes and three tokens");
    Console.WriteLine("shapes                  tells what becomes of shapes of traffic, without faults, and which promises they fall short of");
    Console.WriteLine("shapes [--rate TOKENS_PER_SECOND] [--burst TOKENS] [--nodes COUNT]");
    Console.WriteLine("       [--load MULTIPLE_OF_RATE] [--round-trip MILLISECONDS] [--skew]");
    Console.WriteLine("                        the same of a shape of one's own");
    return 1;
}

static int Tiny(int steps)
{
    var clock = Stopwatch.StartNew();
    var (states, found) = TinyWorld.Explore(steps);
    Console.WriteLine($"{states} states within {steps} steps, {clock.Elapsed.TotalSeconds:0.0} s: {found ?? "no promise is broken in any of them"}");
    return found is null ? 0 : 1;
}

static int Seeds(Func<ulong, ulong, long> run, string[] args)
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
            events += run(seed, 1);
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

static int Shapes(Shape[] shapes)
{
    var clock = Stopwatch.StartNew();
    var results = new List<ShapeResult>();
    Console.WriteLine(ShapeResult.Header);
    foreach (var result in shapes.AsParallel().AsOrdered().WithMergeOptions(ParallelMergeOptions.NotBuffered).Select(shape => shape.Run()))
    {
        results.Add(result);
        Console.WriteLine(result);
        if (result.Excess is not null)
            Console.WriteLine($"    {result.Excess}");
    }

    var falling = results.SelectMany(result => result.ShortOf()).CountBy(promise => promise).OrderBy(each => each.Key);
    var shortOf = string.Join(", ", falling.Select(each => $"{each.Key}: {each.Value}"));
    Console.WriteLine($"{shapes.Length} shapes, {clock.Elapsed.TotalSeconds:0} s; short of {shortOf}");
    return results.Any(result => result.Excess is not null) ? 1 : 0;
}
