using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans.Configuration;
using ReliabilityToolkit.Orleans;

// A process outside the cluster that holds a permit of a bulkhead and works by it, step by step, for the tests to kill or to freeze. Each step is
// told with the machine's clock, which all of its processes share.
if (args is not [var clusterId, var serviceId, var gateway, var policy, var key])
{
    Console.Error.WriteLine("PermitHolder CLUSTER SERVICE GATEWAY_PORT POLICY KEY");
    return 1;
}

using var host = new HostBuilder()
    .UseOrleansClient(client => client
        .UseStaticClustering(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, int.Parse(gateway)))
        .Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = (clusterId, serviceId))
        .AddReliabilityToolkit(options => options.NodeName = "holder"))
    .Build();
await host.StartAsync();
using var permit = await host.Services.GetRequiredService<IReliabilityToolkit>().GetBulkhead(policy, key).AcquireAsync();
Say("acquired", permit.FencingToken);
permit.Lost.Register(static () => Say("told", 0));
var over = Stopwatch.StartNew();
while (over.Elapsed < TimeSpan.FromMinutes(1))
{
    var at = Stopwatch.GetTimestamp();
    if (!permit.IsHeld)
    {
        Say("lost", at);
        break;
    }

    Say("step", at);
    await Task.Delay(10);
}

Console.ReadLine(); // until the test has seen enough
return 0;

static void Say(string what, long number)
{
    Console.WriteLine($"{what} {number}");
    Console.Out.Flush();
}
