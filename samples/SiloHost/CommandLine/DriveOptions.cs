namespace SiloHost;

/// <summary>What a driver asks of the cluster's limiters, and for how long.</summary>
/// <param name="Rate">Calls per second, over all tenants.</param>
/// <param name="Tenants">How many; their keys are tenant-1, tenant-2, …</param>
/// <param name="Seconds">How long to go on.</param>
/// <param name="Skew">The k-th tenant is asked for in proportion to 1/k^skew: 0 treats all alike.</param>
/// <param name="Policy">The limiters' policy.</param>
/// <param name="Gateways">Ports of the silos to connect to.</param>
/// <param name="RecordFile">Where to write what was recorded, if anywhere.</param>
/// <param name="Store">Where to find the silos; null: at the gateways.</param>
internal sealed record DriveOptions(
    int Rate, int Tenants, int Seconds, double Skew, string Policy, IReadOnlyList<int> Gateways, string? RecordFile, ClusterStore? Store)
{
    // The record is kept in memory until the end: some tens of bytes a call.
    private const int MaxCalls = 5_000_000;

    /// <exception cref="UsageException">The options are not legal.</exception>
    public static DriveOptions Read(IReadOnlyList<string> args)
    {
        var given = new Arguments(args, "--rate", "--tenants", "--seconds", "--skew", "--policy", "--gateways", "--record", "--cluster");
        var options = new DriveOptions(
            given.Number("--rate", 500, 1, 50_000),
            given.Number("--tenants", 20, 1, 1_000),
            given.Number("--seconds", 10, 1, 3_600),
            given.Number("--skew", 1.0, 0.0, 10.0),
            given.Text("--policy") ?? "tenant",
            given.Ports("--gateways", ServerOptions.FirstGatewayPort),
            given.Text("--record"),
            given.Store("--cluster"));
        return (long)options.Rate * options.Seconds <= MaxCalls
            ? options
            : throw new UsageException($"--rate {options.Rate} for --seconds {options.Seconds} are more than {MaxCalls:N0} calls.");
    }
}
