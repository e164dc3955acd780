using System.Diagnostics;
using System.Globalization;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>
/// A silo in a process of its own: this program again, with <see cref="Argument"/>. It tells its gateway's port on its standard output and ends when
/// its standard input does, so it does not outlive us, whatever our end.
/// </summary>
internal sealed class SiloProcess : IAsyncDisposable
{
    public const string Argument = "--serve";

    private static readonly TimeSpan LongestStart = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan LongestStop = TimeSpan.FromSeconds(10);

    private readonly Process _process;

    private SiloProcess(Process process, int gatewayPort)
    {
        _process = process;
        GatewayPort = gatewayPort;
    }

    public int GatewayPort { get; }

    /// <summary>What the other process does.</summary>
    public static async Task ServeAsync()
    {
        await using var silo = await Silo.StartAsync();
        await Console.Out.WriteLineAsync(silo.GatewayPort.ToString(CultureInfo.InvariantCulture));
        await Console.In.ReadToEndAsync();
    }

    public static async Task<SiloProcess> StartAsync()
    {
        var program = Environment.ProcessPath ?? throw new InvalidOperationException("This process does not know its own program.");
        var start = new ProcessStartInfo(program) { RedirectStandardInput = true, RedirectStandardOutput = true };
        if (Path.GetFileNameWithoutExtension(program) == "dotnet")
            start.ArgumentList.Add(typeof(SiloProcess).Assembly.Location);
        start.ArgumentList.Add(Argument);
        var process = Process.Start(start) ?? throw new InvalidOperationException("The silo's process did not start.");
        try
        {
            using var deadline = new CancellationTokenSource(LongestStart);
            var port = await process.StandardOutput.ReadLineAsync(deadline.Token) ?? throw new InvalidOperationException(
                "The silo's process ended before its silo was up.");
            return new SiloProcess(process, int.Parse(port, CultureInfo.InvariantCulture));
        }
        catch
        {
            await StopAsync(process);
            throw;
        }
    }

    public async ValueTask DisposeAsync() => await StopAsync(_process);

    private static async Task StopAsync(Process process)
    {
        using (process)
        {
            using var deadline = new CancellationTokenSource(LongestStop);
            try
            {
                process.StandardInput.Close();
                await process.WaitForExitAsync(deadline.Token);
            }
            catch (OperationCanceledException)
            {
                process.Kill();
            }
        }
    }
}
