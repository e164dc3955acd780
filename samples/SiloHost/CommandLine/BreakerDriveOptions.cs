namespace SiloHost;

/// <summary>What a driver asks of one breaker, from several nodes.</summary>
/// <param name="Policy">The breaker's policy; its key is made for the run.</param>
/// <param name="Nodes">How many nodes: each a client of its own, with a verdict of its own.</param>
/// <param name="Rate">Calls per second, over all nodes.</param>
/// <param name="Seconds">How long to go on; the downstream is broken in the middle third.</param>
/// <param name="Gateways">Ports of the silos to connect to.</param>
internal sealed record BreakerDriveOptions(string Policy, int Nodes, int Rate, int Seconds, IReadOnlyList<int> Gateways)
{
    public const string Breaker = "--breaker";

    /// <exception cref="UsageException">The options are not legal.</exception>
    public static BreakerDriveOptions Read(IReadOnlyList<string> args)
    {
        var given = new Arguments(args, Breaker, "--nodes", "--rate", "--seconds", "--gateways");
        return new BreakerDriveOptions(
            given.Text(Breaker)!,
            given.Number("--nodes", 3, 1, 20),
            given.Number("--rate", 300, 1, 10_000),
            given.Number("--seconds", 21, 3, 3_600),
            given.Ports("--gateways", ServerOptions.FirstGatewayPort));
    }
}
