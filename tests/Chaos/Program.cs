using System.Globalization;
using ReliabilityToolkit.Orleans.Chaos;
using ReliabilityToolkit.Orleans.Servers;
using SiloHost;

switch (args)
{
    case ["silo", var name, var address, var siloPort, var gatewayPort, var file]:
        await Node.RunSiloAsync(
            name,
            ClusterStore.Parse(address),
            int.Parse(siloPort, CultureInfo.InvariantCulture),
            int.Parse(gatewayPort, CultureInfo.InvariantCulture),
            file);
        return 0;
    case ["client", var name, var address, var file]:
        await Node.RunClientAsync(name, ClusterStore.Parse(address), file);
        return 0;
    case ["measure", var membership, var directory, var refreshSeconds, .. var endings] when endings.Length > 0:
        Environment.SetEnvironmentVariable(Node.Membership, membership);
        Environment.SetEnvironmentVariable(Node.Directory, directory);
        foreach (var ending in endings)
        {
            var temporary = Directory.CreateTempSubdirectory("chaos-").FullName;
            await using var measured = await StoreServer.StartAsync("redis");
            using var silos = new Cluster(measured.Address, temporary);
            var refresh = TimeSpan.FromSeconds(int.Parse(refreshSeconds, CultureInfo.InvariantCulture));
            Console.WriteLine($"membership {membership,-7} directory {directory,-5} gateways refreshed every {refreshSeconds,2} s: "
                + await new Measure(silos, ClusterStore.Parse(measured.Address), refresh).RunAsync(ending));
        }

        return 0;
    case ["check", .. var files]:
        return Report(Checker.Check(History.Read(files)));
}

var (minutes, store) = (1.0, "redis");
for (var i = 0; i + 1 < args.Length; i += 2)
{
    if (args[i] == "--minutes" && double.TryParse(args[i + 1], CultureInfo.InvariantCulture, out minutes) && minutes is > 0 and <= 600)
        continue;
    if (args[i] == "--store" && args[i + 1] is "redis" or "postgres")
    {
        store = args[i + 1];
        continue;
    }

    return Usage();
}

if (args.Length % 2 != 0)
    return Usage();
if ((store == "redis" ? RedisServer.WhyMissing : PostgresServer.WhyMissing) is { } missing)
{
    await Console.Error.WriteLineAsync(missing);
    return 3;
}

var folder = Directory.CreateTempSubdirectory("chaos-").FullName;
Verdict verdict;
await using (var server = await StoreServer.StartAsync(store))
{
    using var cluster = new Cluster(server.Address, folder);
    await using (var watcher = new Watcher(ClusterStore.Parse(server.Address)))
    using (var faults = new History(Path.Combine(folder, "faults.history")))
        await new Havoc(cluster, server, watcher, faults).RunAsync(TimeSpan.FromMinutes(minutes));
    verdict = Checker.Check(History.Read(cluster.Histories));
}

var code = Report(verdict);
if (code == 0)
    Directory.Delete(folder, recursive: true);
else
    Console.WriteLine($"histories and logs: {folder}");
return code;

static int Report(Verdict verdict)
{
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"""
        faults                        {verdict.Faults}
        admissions                    {verdict.Admissions}
        L1 excess                     {verdict.Excess:0.##}
        permits                       {verdict.Permits}
        K1 permits over capacity      {Math.Max(0, verdict.OverCapacity)}
        calls let through             {verdict.Calls}
        trips                         {verdict.Trips}
        B1, B6 calls in spite of one  {verdict.Forgotten}
        B2 trials too many            {Math.Max(0, verdict.TrialsTooMany)}
        longest time without admission within 20 s of a silo's end: p50 {Text(verdict.OutageP50)}, max {Text(verdict.OutageMax)}
        utilisation                   {verdict.Utilisation:P1}
        {(verdict.IsKept ? "all promises were kept" : "A PROMISE WAS BROKEN")}
        """));
    return verdict.IsKept && verdict.Admissions > 0 && verdict.Permits > 0 && verdict.Calls > 0 ? 0 : 1;
}

static string Text(TimeSpan time) => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.0} s");

static int Usage()
{
    Console.Error.WriteLine("[--minutes M] [--store redis|postgres]   kills and freezes silos, clients and the store, and checks what they did");
    Console.Error.WriteLine("check FILE...                            checks histories that were kept");
    Console.Error.WriteLine("measure default|quick local|LEASE_SECONDS GATEWAY_REFRESH_SECONDS stop|kill|freeze...");
    Console.Error.WriteLine("                                         tells how long names do not answer, and how many forget");
    return 2;
}
