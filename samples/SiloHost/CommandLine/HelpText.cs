namespace SiloHost;

/// <summary>What the program says of itself.</summary>
internal static class HelpText
{
    private const string Run = "dotnet run --project samples/SiloHost --";

    public static string All => $"""
        A web application with an Orleans silo in it, whose limits hold across all instances; and a driver that checks that they do.

        {Run} [--instance N] [--http-port P] [--silo-port P] [--gateway-port P] [--primary-port P] [--cluster ADDRESS]
            Starts instance N (default 1) on this machine: http {ServerOptions.FirstHttpPort}, silo {ServerOptions.FirstSiloPort},
            gateway {ServerOptions.FirstGatewayPort}, each + N - 1.
            Instance 1 keeps the membership table of this small cluster (--primary-port is its silo port): start it first, stop it last.
            Or a server keeps it, and the records of limiters, breakers and bulkheads, which then survive a crash: --cluster is
            redis://HOST:PORT or postgres://USER[:PASSWORD]@HOST:PORT/DATABASE.

        {Run} schema --cluster postgres://USER[:PASSWORD]@HOST:PORT/DATABASE
            Makes the tables that the database must have for that.

        {Run} drive [--rate 500] [--tenants 20] [--seconds 10] [--skew 1] [--policy tenant] [--gateways 30000,30001] [--record FILE]
            [--cluster ADDRESS]
            Asks the tenants' limiters from outside the cluster, open-loop, and checks each tenant's admissions against its limit.

        {Run} drive --breaker payments [--nodes 3] [--rate 300] [--seconds 21] [--gateways 30000,30001]
            Calls through one breaker from several nodes, breaks what they call in the middle third, and shows the state on each.

        {Run} check FILE...
            Checks the records of several drivers of one machine together, as if they were one.

        Exit codes: 0 good; {ExitCode.LimitExceeded} a limit was exceeded; {ExitCode.BadUsage} the command line was not understood;
        {ExitCode.CouldNotRun} it could not start or connect.
        """;

    public static string ForServer(ServerOptions options) => $$"""

        Instance {{options.Instance}} is up: {{Url(options)}}, silo port {{options.SiloPort}}, gateway port {{options.GatewayPort}}. Ctrl-C stops it.

          An order through retry, limiter, bulkhead and breaker:
            curl -i {{Url(options)}}/orders/tenant-1
          More orders than the tenant's limit allows (429), with no more at once than the bulkhead holds:
            curl -s -o /dev/null -w '%{http_code}\n' --parallel --parallel-max 15 '{{Url(options)}}/orders/tenant-1?[1-400]' | sort | uniq -c
          Two limits on one endpoint, by ASP.NET Core's middleware (429 with RateLimit header fields from the sixth on):
            curl -i '{{Url(options)}}/reports/tenant-1?[1-6]'
          Break the downstream and watch the circuit open; mend it:
            curl -X PUT {{Url(options)}}/downstream --json '{"failureRate":1,"latencyMs":20}'
            curl -X PUT {{Url(options)}}/downstream --json '{"failureRate":0,"latencyMs":20}'
          Look, and step in:
            curl {{Url(options)}}/limiters/tenant/tenant-1
            curl {{Url(options)}}/bulkheads/database
            curl {{Url(options)}}/breakers/payments
            curl -X POST {{Url(options)}}/breakers/payments/trip     (or isolate, reset; .../payments/KEY/trip for one key)
            curl {{Url(options)}}/health
            curl {{Url(options)}}/metrics     (and all of it to an OTLP endpoint, where OTEL_EXPORTER_OTLP_ENDPOINT names one)
          Another instance, in another terminal; all limits are shared with it:
            {{Run}} {{Joining(options)}}
          Load on the limiters, with a check that none is exceeded:
            {{Run}} drive --rate 500 --tenants 20 --seconds 10{{Gateway(options)}}
          A breaker on three nodes, while what they call breaks and is mended:
            {{Run}} drive --breaker payments{{Gateway(options)}}

        """;

    private static string Url(ServerOptions options) => $"http://localhost:{options.HttpPort}";

    private static string Gateway(ServerOptions options) =>
        options.GatewayPort == ServerOptions.FirstGatewayPort ? "" : $" --gateways {options.GatewayPort}";

    private static string Joining(ServerOptions options) =>
        $"--instance {options.Instance + 1}{(options.PrimaryPort == ServerOptions.FirstSiloPort ? "" : $" --primary-port {options.PrimaryPort}")}";
}
