using ReliabilityToolkit.Orleans;

namespace SiloHost;

/// <summary>Connects, loads the tenants' limiters for a while, and reports.</summary>
internal static class DriveMode
{
    public static async Task<int> RunAsync(DriveOptions options)
    {
        if (options.RecordFile is { } record)
            RecordFile.EnsureWritable(record);
        using var host = ClusterConnection.Build(options.Gateways, options.Store);
        Console.WriteLine($"Connecting to the cluster at gateway {string.Join(", ", options.Gateways)} …");
        try
        {
            await host.StartAsync();
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return await FailAsync(
                $"No silo answered at gateway {string.Join(", ", options.Gateways)}: {e.Message} Start one first, or name another by --gateways.");
        }

        try
        {
            return await DriveAsync(host, options);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            await StopAsync(host);
            return await FailAsync(e.Message);
        }
    }

    private static async Task<int> DriveAsync(IHost host, DriveOptions options)
    {
        // Ctrl-C: no more calls; what was recorded until then is reported.
        var stopping = host.Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping;
        var toolkit = host.Services.GetRequiredService<IReliabilityToolkit>();
        var tenants = await Task.WhenAll(
            Enumerable.Range(1, options.Tenants).Select(k => DrivenTenant.OpenAsync(toolkit, options.Policy, $"tenant-{k}", stopping)));

        Console.WriteLine(
            $"Offering {options.Rate:N0} calls/s over {options.Tenants:N0} tenants of policy \"{options.Policy}\" for {options.Seconds:N0} s.");
        var progress = new Progress();
        using var counters = new LibraryCounters();
        using var load = new Load(tenants, options, progress);
        using var loadIsOver = new CancellationTokenSource();
        var showing = progress.ShowAsync(Console.Out, loadIsOver.Token);
        var startedAt = MachineClock.BeforeNow;
        await load.RunAsync(stopping);
        var endedAt = MachineClock.AfterNow;
        await loadIsOver.CancelAsync();
        await showing;
        await StopAsync(host); // gives back what this node holds, and ends its calls

        var run = Guid.NewGuid();
        var records = tenants.Select(tenant => tenant.ToRecord(run, startedAt, endedAt)).ToArray();
        if (load.NotSent > 0)
            Console.WriteLine($"{load.NotSent:N0} calls were not sent: too many were under way.");
        Console.WriteLine(counters.Line(records.Sum(record => (long)record.Offered), records.Sum(record => (long)record.Admissions.Count)));
        var exitCode = Report.Write(Console.Out, records);
        if (options.RecordFile is { } file)
            RecordFile.Write(file, records);
        return exitCode;
    }

    // The report stands; a cluster that has gone meanwhile does not take it back.
    private static async Task StopAsync(IHost host)
    {
        try
        {
            await host.StopAsync(CancellationToken.None);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            await Console.Error.WriteLineAsync($"The driver did not take its leave of the cluster: {e.Message}");
        }
    }

    private static async Task<int> FailAsync(string message)
    {
        await Console.Error.WriteLineAsync(message);
        return ExitCode.CouldNotRun;
    }
}
