using System.Globalization;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>A silo in a process of its own. It tells its ports.</summary>
internal sealed class SiloProcess : IAsyncDisposable
{
    public const string Argument = "--serve";

    private readonly Child _child;

    private SiloProcess(Child child, int siloPort, int gatewayPort) => (_child, SiloPort, GatewayPort) = (child, siloPort, gatewayPort);

    public int SiloPort { get; }

    public int GatewayPort { get; }

    /// <summary>What the other process does.</summary>
    /// <param name="joins">The port of a silo that is there already; null: it is the first.</param>
    public static async Task ServeAsync(string? joins)
    {
        await using var silo = await Silo.StartAsync(joins: joins is null ? null : int.Parse(joins, CultureInfo.InvariantCulture));
        await Console.Out.WriteLineAsync($"{silo.SiloPort} {silo.GatewayPort}");
        await Console.In.ReadToEndAsync();
    }

    public static async Task<SiloProcess> StartAsync(SiloProcess? joins = null)
    {
        var child = joins is null ? Child.Start(Argument) : Child.Start(Argument, $"{joins.SiloPort}");
        try
        {
            var ports = (await child.ReadLineAsync()).Split(' ').Select(port => int.Parse(port, CultureInfo.InvariantCulture)).ToArray();
            return new SiloProcess(child, ports[0], ports[1]);
        }
        catch
        {
            await child.DisposeAsync();
            throw;
        }
    }

    public ValueTask DisposeAsync() => _child.DisposeAsync();
}
