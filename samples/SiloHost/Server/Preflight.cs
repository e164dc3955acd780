using System.Net;
using System.Net.Sockets;

namespace SiloHost;

/// <summary>Finds out before the start what would otherwise show as minutes of retries: a port that is taken, a cluster that is not there.</summary>
internal static class Preflight
{
    private static readonly TimeSpan WaitForPrimary = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);

    /// <returns>Why the instance cannot start; null where nothing is in the way.</returns>
    public static async Task<string?> FindFaultAsync(ServerOptions options)
    {
        foreach (var port in new[] { options.HttpPort, options.SiloPort, options.GatewayPort })
        {
            if (!IsFree(port))
                return $"port {port} is in use. Where it is another instance's, say --instance {options.Instance + 1}.";
        }

        return options.Store is not null || options.PrimaryPort == options.SiloPort || await IsThereAsync(options.PrimaryPort)
            ? null
            : $"nobody listens at the primary's silo port {options.PrimaryPort}. Start instance 1 first, or say where it is by --primary-port.";
    }

    private static bool IsFree(int port)
    {
        using var listener = new TcpListener(IPAddress.Loopback, port);
        try
        {
            listener.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    // Two instances may have been started at once.
    private static async Task<bool> IsThereAsync(int port)
    {
        for (var waited = TimeSpan.Zero; waited < WaitForPrimary; waited += Pause)
        {
            try
            {
                using var client = new TcpClient();
                await client.ConnectAsync(IPAddress.Loopback, port);
                return true;
            }
            catch (SocketException)
            {
                await Task.Delay(Pause);
            }
        }

        return false;
    }
}
