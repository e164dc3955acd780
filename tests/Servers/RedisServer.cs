using System.Diagnostics;
using System.Globalization;

namespace ReliabilityToolkit.Orleans.Servers;

/// <summary>
/// A Redis of our own, on a free port of loopback, in a temporary folder. It can be stopped and started again: what was written is there again.
/// </summary>
public sealed class RedisServer : IAsyncDisposable
{
    private static readonly TimeSpan LongestStart = TimeSpan.FromSeconds(20);

    private readonly string _folder = Directory.CreateTempSubdirectory("redis-").FullName;
    private readonly int _port = ServerProcess.FreePort();
    private Process? _process;

    /// <summary>Why there is none on this machine; null: there is one.</summary>
    public static string? WhyMissing => ServerProcess.Find("redis-server") is null ? "redis-server is not on the path" : null;

    /// <summary>As StackExchange.Redis wants it.</summary>
    public string Connection => string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{_port}");

    public int ProcessId => _process!.Id;

    public static async Task<RedisServer> StartAsync()
    {
        var server = new RedisServer();
        await server.StartAgainAsync();
        return server;
    }

    public async Task StartAgainAsync()
    {
        _process = ServerProcess.Start(
            "redis-server",
            "--bind",
            "127.0.0.1",
            "--port",
            _port.ToString(CultureInfo.InvariantCulture),
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--dir",
            _folder);
        using var deadline = new CancellationTokenSource(LongestStart);
        while (await _process.StandardOutput.ReadLineAsync(deadline.Token) is { } line)
        {
            if (!line.Contains("Ready to accept connections", StringComparison.Ordinal))
                continue;
            _ = _process.StandardOutput.ReadToEndAsync(CancellationToken.None);
            _ = _process.StandardError.ReadToEndAsync(CancellationToken.None);
            return;
        }

        throw new InvalidOperationException("redis-server ended before it was up.");
    }

    /// <summary>Kills it.</summary>
    public async Task StopAsync()
    {
        if (_process is null)
            return;
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
        _process = null;
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        Directory.Delete(_folder, recursive: true);
    }
}
