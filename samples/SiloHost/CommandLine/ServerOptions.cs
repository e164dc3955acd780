namespace SiloHost;

/// <summary>Where an instance listens, and where it finds the cluster.</summary>
/// <param name="Instance">1 for the first on this machine.</param>
/// <param name="HttpPort">Of the web application.</param>
/// <param name="SiloPort">For the other silos.</param>
/// <param name="GatewayPort">For Orleans clients.</param>
/// <param name="PrimaryPort">The silo port of the instance that keeps the membership table, where no store does.</param>
/// <param name="Store">The store that keeps membership and records; null: one instance keeps the membership, and no records are kept.</param>
internal sealed record ServerOptions(int Instance, int HttpPort, int SiloPort, int GatewayPort, int PrimaryPort, ClusterStore? Store)
{
    public const int FirstSiloPort = 11_111;
    public const int FirstGatewayPort = 30_000;
    public const int FirstHttpPort = 5_080;

    /// <exception cref="UsageException">The options are not legal.</exception>
    public static ServerOptions Read(IReadOnlyList<string> args)
    {
        var given = new Arguments(args, "--instance", "--http-port", "--silo-port", "--gateway-port", "--primary-port", "--cluster");
        var instance = given.Number("--instance", 1, 1, 1_000);
        var siloPort = given.Port("--silo-port", FirstSiloPort + instance - 1);
        return new ServerOptions(
            instance,
            given.Port("--http-port", FirstHttpPort + instance - 1),
            siloPort,
            given.Port("--gateway-port", FirstGatewayPort + instance - 1),
            given.Port("--primary-port", instance == 1 ? siloPort : FirstSiloPort),
            given.Store("--cluster"));
    }
}
