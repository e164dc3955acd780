using System.Net;
using Orleans.Configuration;
using ReliabilityToolkit.Orleans;

namespace SiloHost;

/// <summary>The silo of an instance: how it finds the others, and which policies it has.</summary>
internal static class SiloSetup
{
    private const int MissedProbes = 3;

    private static readonly TimeSpan LongestProbe = TimeSpan.FromSeconds(2);

    // For so long after the cluster gave up a silo that left without a goodbye, its limiters, breakers and bulkheads come up nowhere else, and their
    // callers get no answer. Longer is stricter, shorter is available sooner. Two seconds: so long Orleans lets a silo go on that has heard that it
    // was given up, and until it ends the process it may still answer the callers in it. Also, a limiter comes up elsewhere with a full bucket: where
    // that takes no longer than this to fill (the tenants' takes 1 s), not even a killed silo lets anybody exceed his limit. A silo that is cut off
    // and cannot hear that it was given up goes on for longer; no lease of a bearable length covers that.
    private static readonly TimeSpan HeldAfterEviction = TimeSpan.FromSeconds(2);

    // Orleans takes off the lease the longest that finding out may take (6 s here, however long it took): a lease of no more than that holds nothing
    // back. Measured with 8 s: a killed silo's grains answer again after 3 s (noticed after 1 s), a frozen one's after 8 s (noticed after 6 s).
    private static readonly TimeSpan DirectoryLease = (LongestProbe * MissedProbes) + HeldAfterEviction;

    public static void Configure(ISiloBuilder silo, ServerOptions options, IConfiguration configuration)
    {
        if (options.Store is { } store)
        {
            silo.ConfigureEndpoints(IPAddress.Loopback, options.SiloPort, options.GatewayPort);
            store.Configure(silo);
        }
        else
        {
            silo.UseLocalhostClustering(options.SiloPort, options.GatewayPort, new IPEndPoint(IPAddress.Loopback, options.PrimaryPort));
        }

        silo.Configure<ClusterMembershipOptions>(NoticeDeadSilosSoon);

        silo.AddReliabilityToolkit(toolkit => toolkit
            .Bind(configuration.GetSection("ReliabilityToolkit"))
            .AddBulkhead("database", bulkhead =>
            {
                bulkhead.Capacity = 20;
                bulkhead.Lease = TimeSpan.FromSeconds(15);
            })
            .UseStronglyConsistentDirectory(DirectoryLease)
            .StopHostWhenEvicted());
    }

    // Measured with three silos: Orleans' defaults take 10 s to replace a killed silo's grains and 61 s a frozen one's; these 1.2 s and 5.7 s.
    // NumVotesForDeathDeclaration stays at its 2: with 1, a silo that was cut off evicted healthy ones.
    private static void NoticeDeadSilosSoon(ClusterMembershipOptions options)
    {
        options.ProbeTimeout = TimeSpan.FromSeconds(1);
        options.MaxProbeTimeout = LongestProbe;
        options.NumMissedProbesLimit = MissedProbes;
        options.TableRefreshTimeout = TimeSpan.FromSeconds(10);
        options.IAmAliveTablePublishTimeout = TimeSpan.FromSeconds(10);
    }
}
