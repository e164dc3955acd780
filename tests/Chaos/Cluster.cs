using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace ReliabilityToolkit.Orleans.Chaos;

/// <summary>The processes: they are started, killed, frozen and started again.</summary>
internal sealed class Cluster(string address, string folder) : IDisposable
{
    private readonly Dictionary<string, Process> _processes = [];
    private readonly Dictionary<string, (int Silo, int Gateway)> _ports = [];
    private int _starts;

    public IEnumerable<string> Histories => Directory.GetFiles(folder, "*.history");

    /// <summary>Begins at once; done when it is there.</summary>
    /// <param name="name">It is told to be a silo or a client by that.</param>
    /// <param name="alone">Whether nobody in it calls.</param>
    /// <exception cref="InvalidOperationException">It ended before.</exception>
    public Task StartAsync(string name, bool alone = false)
    {
        var history = Path.Combine(folder, $"{name}-{++_starts}.history");
        string[] arguments = name.StartsWith("silo", StringComparison.Ordinal)
            ? ["silo", name, address, Text(Ports(name).Silo), Text(Ports(name).Gateway), alone ? "-" : history]
            : ["client", name, address, history];
        var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet")
            start.ArgumentList.Add(typeof(Cluster).Assembly.Location);
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        var process = Process.Start(start)!;
        var log = Path.Combine(folder, $"{name}-{_starts}.log");
        var ready = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _ = CopyAsync(process.StandardOutput, log + ".out", ready);
        _ = CopyAsync(process.StandardError, log + ".err");
        _processes[name] = process;
        return ready.Task;
    }

    /// <summary>Whether it runs; one that has ended by itself, because it was given up, does not.</summary>
    public bool IsRunning(string name) => _processes.TryGetValue(name, out var process) && !process.HasExited;

    public string SiloAt(int port) => _ports.Single(silo => silo.Value.Silo == port).Key;

    public void Kill(string name)
    {
        if (!IsRunning(name))
            return;
        _processes[name].Kill();
        _processes[name].WaitForExit();
    }

    /// <summary>Asks it to stop in order, and waits for that.</summary>
    public async Task StopAsync(string name)
    {
        if (!IsRunning(name))
            return;
        Signal(name, "TERM");
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        await _processes[name].WaitForExitAsync(patience.Token);
    }

    public void Signal(string name, string signal)
    {
        if (!IsRunning(name))
            return;
        using var kill = Process.Start("kill", ["-s", signal, Text(_processes[name].Id)]);
        kill.WaitForExit();
    }

    public void Dispose()
    {
        foreach (var process in _processes.Values)
        {
            if (!process.HasExited)
                process.Kill();
            process.Dispose();
        }
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);

    private static async Task CopyAsync(StreamReader from, string file, TaskCompletionSource? ready = null)
    {
        await using var to = new StreamWriter(file);
        while (await from.ReadLineAsync() is { } line)
        {
            if (line == Node.Ready)
                ready?.TrySetResult();
            await to.WriteLineAsync(line);
        }

        ready?.TrySetException(new InvalidOperationException($"{Path.GetFileName(file)}: it ended before it was there."));
    }

    private (int Silo, int Gateway) Ports(string name)
    {
        if (!_ports.TryGetValue(name, out var ports))
            _ports.Add(name, ports = (FreePort(), FreePort()));
        return ports;
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
