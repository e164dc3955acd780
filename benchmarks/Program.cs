using ReliabilityToolkit.Orleans.Benchmarks;

if (args is [SiloProcess.Argument, ..])
{
    await SiloProcess.ServeAsync(joins: args.ElementAtOrDefault(1));
    return 0;
}

if (args is [DriverProcess.Argument, .. var driven])
{
    await DriverProcess.DriveAsync(driven);
    return 0;
}

if (args is [WatcherProcess.Argument, var gatewayPort])
{
    await WatcherProcess.WatchAsync(gatewayPort);
    return 0;
}

if (args is [SlotTaker.Argument, var kind, var port, var slots, var callers])
{
    await SlotTaker.TakeAsync(kind, port, slots, callers);
    return 0;
}

IScenario[] scenarios =
[
    new LimiterInProcess(), new LimiterOverTcp(), new BreakerAndBulkhead(), new LimiterBesideBuiltIn(), new LimiterBesideRedis(),
    new LimiterAcrossProcesses(), new TenThousandTenants(), new BreakerBesidePolly(), new KillSwitch(), new BreakersInUse(),
    new BulkheadBesideBuiltIn(), new SlotHandover(), new RetryOverhead(), new IdleGrainMemory(),
];
var settings = args.Contains("--quick") ? Settings.Quick : Settings.Full;
string[] rest = [.. args.Where(argument => argument != "--quick")];
var only = rest is ["--only", var name] ? name : null;
var chosen = scenarios.Where(scenario => only is null || scenario.Name == only).ToArray();
if (chosen.Length == 0 || (only is null && rest.Length > 0))
{
    await Console.Error.WriteLineAsync($"Usage: [--quick] [--only {string.Join('|', scenarios.Select(scenario => scenario.Name))}]");
    return 1;
}

var rows = new List<Row>();
foreach (var scenario in chosen)
{
    await Console.Error.WriteLineAsync($"Measuring {scenario.Name} …");
    rows.AddRange(await scenario.MeasureAsync(settings));
}

var markdown = Report.ToMarkdown(settings, rows);
await Console.Out.WriteAsync(markdown);
if (only is null)
    Report.Write(markdown, rows);
return 0;
