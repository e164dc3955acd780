namespace ReliabilityToolkit.Orleans.Chaos;

/// <summary>Three silos, three clients, and what befalls them.</summary>
internal sealed class Havoc(Cluster cluster, StoreServer store, Watcher watcher, History history)
{
    private static readonly string[] Silos = ["silo-1", "silo-2", "silo-3"];
    private static readonly string[] Clients = ["client-1", "client-2", "client-3"];
    private static readonly TimeSpan Frozen = Policies.Lease + TimeSpan.FromSeconds(2);

    private int _next;

    public async Task RunAsync(TimeSpan duration)
    {
        foreach (var name in Silos)
            await cluster.StartAsync(name); // one by one: two that start in one instant contend for the table
        await Task.WhenAll(Clients.Select(name => cluster.StartAsync(name)));
        await watcher.StartAsync();
        var endsAt = DateTime.UtcNow + duration;
        while (DateTime.UtcNow < endsAt)
        {
            await BefallAsync();
            await Task.Delay(TimeSpan.FromSeconds(2 + (4 * Random.Shared.NextDouble())));
            foreach (var name in Silos.Concat(Clients).Where(name => !cluster.IsRunning(name)))
                _ = cluster.StartAsync(name); // one that was given up has ended by itself, and so may this one
        }

        await Task.Delay(TimeSpan.FromSeconds(10));
    }

    // Each in turn, so that also a short run has seen them all.
    private async Task BefallAsync()
    {
        var silo = Silos[Random.Shared.Next(Silos.Length)];
        var client = Clients[Random.Shared.Next(Clients.Length)];
        switch (_next++ % 6)
        {
            case 0:
                silo = await watcher.FindOwnerAsync(Policies.Hot) is { } port ? cluster.SiloAt(port) : silo;
                Note("kill-silo", silo);
                cluster.Kill(silo);
                break;
            case 5:
                Note("stop-silo", silo);
                await cluster.StopAsync(silo);
                break;
            case 1:
                Note("kill-client", client);
                cluster.Kill(client);
                break;
            case 2:
                Note("freeze-silo", silo);
                await FreezeAsync(silo);
                break;
            case 3:
                Note("freeze-client", client);
                await FreezeAsync(client);
                break;
            default:
                Note("restart-store", "store");
                await store.StopAsync();
                await Task.Delay(TimeSpan.FromSeconds(1));
                await store.StartAgainAsync();
                break;
        }
    }

    private async Task FreezeAsync(string name)
    {
        cluster.Signal(name, "STOP");
        await Task.Delay(Frozen);
        cluster.Signal(name, "CONT");
    }

    private void Note(string fault, string whom)
    {
        Console.WriteLine($"{DateTime.UtcNow:HH:mm:ss} {fault} {whom}");
        history.Write(new Happening(What.Fault, fault, History.Now, History.Now, whom));
    }
}
