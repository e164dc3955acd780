using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>A Redis of our own, on loopback, that keeps nothing.</summary>
internal sealed class RedisServer : IAsyncDisposable
{
    private static readonly TimeSpan LongestStart = TimeSpan.FromSeconds(10);

    private readonly Process _process;
    private readonly string _folder;

    private RedisServer(Process process, string folder, int port) => (_process, _folder, Port) = (process, folder, port);

    public int Port { get; }

    /// <summary>Null where there is none, and none can be installed.</summary>
    public static async Task<RedisServer?> TryStartAsync()
    {
        if (await RunAsync("redis-server", "--version") != 0)
        {
            await Console.Error.WriteLineAsync("There is no redis-server: trying to install it.");
            await RunAsync("apt-get", "update");
            if (await RunAsync("apt-get", "install", "-y", "redis-server") != 0 || await RunAsync("redis-server", "--version") != 0)
                return null;
        }

        var port = FreePort();
        var folder = Directory.CreateTempSubdirectory("redis-").FullName;
        string[] arguments =
        [
            "--bind", "127.0.0.1", "--port", port.ToString(CultureInfo.InvariantCulture), "--save", "", "--appendonly", "no", "--dir", folder,
        ];
        var process = Process.Start(new ProcessStartInfo("redis-server", arguments) { RedirectStandardOutput = true })!;
        var server = new RedisServer(process, folder, port);
        await server.AwaitReadyAsync();
        return server;
    }

    public async ValueTask DisposeAsync()
    {
        using (_process)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        Directory.Delete(_folder, recursive: true);
    }

    private async Task AwaitReadyAsync()
    {
        using var deadline = new CancellationTokenSource(LongestStart);
        while (await _process.StandardOutput.ReadLineAsync(deadline.Token) is { } line)
        {
            if (line.Contains("Ready to accept connections", StringComparison.Ordinal))
            {
                _ = _process.StandardOutput.ReadToEndAsync(CancellationToken.None);
                return;
            }
        }

        throw new InvalidOperationException("redis-server ended before it was up.");
    }

    private static async Task<int> RunAsync(string program, params string[] arguments)
    {
        try
        {
            var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
            using var process = Process.Start(start)!;
            await Task.WhenAll(process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync(), process.WaitForExitAsync());
            return process.ExitCode;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return -1; // there is no such program
        }
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
