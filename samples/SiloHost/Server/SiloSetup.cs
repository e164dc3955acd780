using System.Net;
using Orleans.Configuration;
using ReliabilityToolkit.Orleans;

namespace SiloHost;

/// <summary>The silo of an instance: how it finds the others, and which policies it has.</summary>
internal static class SiloSetup
{
    // For so long after a silo died without a goodbye its limiters, breakers and bulkheads cannot come up elsewhere; the time that the cluster takes to
    // notice counts toward it. Longer is stricter: a silo that is only frozen or cut off, and may still answer the callers in its own process, has had time to
    // find out that it was given up. Shorter is available sooner. With the settings below a frozen silo is noticed in about 5.7 s, so 6 s covers it and costs
    // next to nothing then; a killed one is noticed in 1.2 s, and its grains then keep callers waiting for the rest. Zero would mean at once.
    private static readonly TimeSpan DirectoryLease = TimeSpan.FromSeconds(6);

    public static void Configure(ISiloBuilder silo, ServerOptions options, IConfiguration configuration)
    {
        silo.UseLocalhostClustering(options.SiloPort, options.GatewayPort, new IPEndPoint(IPAddress.Loopback, options.PrimaryPort));
        silo.Configure<ClusterMembershipOptions>(NoticeDeadSilosSoon);

        // <silo>
        silo.AddReliabilityToolkit(toolkit => toolkit
            .Bind(configuration.GetSection("ReliabilityToolkit"))
            .AddBulkhead("database", bulkhead =>
            {
                bulkhead.Capacity = 20;
                bulkhead.Lease = TimeSpan.FromSeconds(15);
            })
            .UseStronglyConsistentDirectory(DirectoryLease));
        // </silo>
    }

    // Measured with three silos: Orleans' defaults take 10 s to replace a killed silo's grains and 61 s a frozen one's; these 1.2 s and 5.7 s.
    // NumVotesForDeathDeclaration stays at its 2: with 1, a silo that was cut off evicted healthy ones.
    private static void NoticeDeadSilosSoon(ClusterMembershipOptions options)
    {
        options.ProbeTimeout = TimeSpan.FromSeconds(1);
        options.MaxProbeTimeout = TimeSpan.FromSeconds(2);
        options.NumMissedProbesLimit = 3;
        options.TableRefreshTimeout = TimeSpan.FromSeconds(10);
        options.IAmAliveTablePublishTimeout = TimeSpan.FromSeconds(10);
    }
}
