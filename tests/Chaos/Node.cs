using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Orleans.Configuration;
using SiloHost;

namespace ReliabilityToolkit.Orleans.Chaos;

/// <summary>A process that is there to be killed: a silo or a client, and in either callers who write down what they get.</summary>
internal static class Node
{
    /// <summary>Of the environment: "default" for Orleans' own times of failure detection.</summary>
    public const string Membership = "CHAOS_MEMBERSHIP";

    /// <summary>Likewise: "local" for Orleans' default directory, else the lease of the consistent one's ranges in seconds.</summary>
    public const string Directory = "CHAOS_DIRECTORY";

    /// <summary>What it prints when it is there.</summary>
    public const string Ready = "ready";

    public static readonly TimeSpan GatewaysRefreshedEvery = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(2);

    public static Task RunSiloAsync(string name, ClusterStore store, int siloPort, int gatewayPort, string file) => RunAsync(name, file, builder =>
        builder.UseOrleans(silo =>
        {
            silo.ConfigureEndpoints(System.Net.IPAddress.Loopback, siloPort, gatewayPort);
            store.Configure(silo);
            silo.Configure<ClusterMembershipOptions>(options =>
            {
                if (Setting(Membership) == "default")
                    return;
                options.ProbeTimeout = TimeSpan.FromSeconds(1);
                options.MaxProbeTimeout = TimeSpan.FromSeconds(2);
                options.TableRefreshTimeout = options.IAmAliveTablePublishTimeout = TimeSpan.FromSeconds(5);
            });
            silo.AddReliabilityToolkit(toolkit =>
            {
                Policies.Add(toolkit);
                if (Setting(Directory) == "local")
                    return;

                // The fence sees to what a dead silo may have lent: nobody need wait for it here.
                toolkit.UseStronglyConsistentDirectory(TimeSpan.FromSeconds(int.Parse(Setting(Directory) ?? "0", CultureInfo.InvariantCulture)));
            });
            silo.Services.Configure<ReliabilityToolkitClientOptions>(Configure);
        }));

    public static Task RunClientAsync(string name, ClusterStore store, string file) => RunAsync(name, file, builder =>
        builder.UseOrleansClient(client => Outside(client, store, GatewaysRefreshedEvery).AddReliabilityToolkit(Configure)));

    /// <summary>A client that waits until there is a cluster.</summary>
    public static IClientBuilder Outside(IClientBuilder client, ClusterStore store, TimeSpan gatewaysRefreshedEvery) => store.Configured(client)
        .Configure<GatewayOptions>(options => options.GatewayListRefreshPeriod = gatewaysRefreshedEvery)
        .UseConnectionRetryFilter(static async (_, cancellationToken) =>
        {
            await Task.Delay(500, cancellationToken);
            return true;
        });

    private static string? Setting(string name) => Environment.GetEnvironmentVariable(name);

    private static void Configure(ReliabilityToolkitClientOptions options) => options.CircuitFallback[Policies.Payments] = CircuitFallback.Reject;

    private static async Task RunAsync(string name, string file, Action<IHostApplicationBuilder> configure)
    {
        var builder = new HostApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Logging.AddConsole().SetMinimumLevel(LogLevel.Warning);
        configure(builder);
        using var host = builder.Build();
        await host.StartAsync();
        Console.WriteLine(Ready);
        if (file == "-")
        {
            await host.WaitForShutdownAsync();
            return;
        }

        using var history = new History(file);
        var toolkit = host.Services.GetRequiredService<IReliabilityToolkit>();
        var stopping = host.Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping;
        var callers = Enumerable.Range(0, 4).SelectMany(i => new[]
        {
            AdmitAsync(toolkit.GetRateLimiter(Policies.Hot), history, stopping),
            HoldAsync(toolkit.GetBulkhead(Policies.Pool), history, $"{name}-{i}-{Environment.ProcessId}", stopping),
            CallAsync(toolkit.GetCircuitBreaker(Policies.Payments), history, $"{name}-{i}-{Environment.ProcessId}", stopping),
        }).Append(TripAsync(toolkit.GetCircuitBreaker(Policies.Payments), history, stopping));
        await Task.WhenAll(callers);
        await host.StopAsync();
    }

    // More than the limit allows, in all.
    private static Task AdmitAsync(ClusterRateLimiter limiter, History history, CancellationToken stopping) => GoOnAsync(
        async () =>
        {
            var from = History.Now;
            using var lease = await limiter.TryAcquireAsync(1, stopping);
            if (lease.IsAcquired)
                history.Write(new Happening(What.Admitted, Policies.Hot, from, History.Now));
            await Task.Delay(lease.IsAcquired ? TimeSpan.FromMilliseconds(1) : Pause, stopping);
        },
        stopping);

    private static Task HoldAsync(ClusterBulkhead pool, History history, string name, CancellationToken stopping)
    {
        var number = 0;
        return GoOnAsync(
            async () =>
            {
                using var permit = await pool.AcquireAsync(1, stopping);
                if (!permit.IsAcquired)
                {
                    await Task.Delay(Pause * 10, stopping);
                    return;
                }

                var id = $"{name}-{++number}";
                var holdUntil = History.Now + Random.Shared.NextInt64(TimeSpan.TicksPerSecond);
                for (var at = History.Now; permit.IsHeld && at < holdUntil; at = History.Now)
                {
                    history.Write(new Happening(What.Held, id, at, History.Now));
                    await Task.Delay(Pause, stopping);
                }
            },
            stopping);
    }

    private static Task CallAsync(ClusterCircuitBreaker breaker, History history, string name, CancellationToken stopping)
    {
        var number = 0;
        return GoOnAsync(
            async () =>
            {
                var from = History.Now;
                await using var ticket = await breaker.TryEnterAsync(stopping);
                if (!ticket.IsAdmitted)
                {
                    await Task.Delay(Pause * 10, stopping);
                    return;
                }

                history.Write(new Happening(What.Entered, Policies.Payments, from, History.Now, $"{ticket.State}"));
                for (var i = 0; ticket.State == CircuitState.HalfOpen && i < 10; i++)
                {
                    history.Write(new Happening(What.Trying, $"{name}-{number}", History.Now, History.Now));
                    await Task.Delay(Pause, stopping);
                }

                number++;
                await ticket.Succeed();
                await Task.Delay(Pause * 5, stopping);
            },
            stopping);
    }

    private static Task TripAsync(ClusterCircuitBreaker breaker, History history, CancellationToken stopping) => GoOnAsync(
        async () =>
        {
            await Task.Delay(TimeSpan.FromSeconds(15 + (30 * Random.Shared.NextDouble())), stopping);
            var from = History.Now;
            await breaker.TripAsync("chaos", stopping);
            history.Write(new Happening(What.Tripped, Policies.Payments, from, History.Now));
        },
        stopping);

    // What the toolkit throws while nobody answers is part of the game.
    private static async Task GoOnAsync(Func<Task> act, CancellationToken stopping)
    {
        while (!stopping.IsCancellationRequested)
        {
            try
            {
                await act();
            }
            catch (ReliabilityException)
            {
                await Task.Delay(Pause * 10, CancellationToken.None);
            }
            catch (OperationCanceledException) when (stopping.IsCancellationRequested)
            {
                return;
            }
        }
    }
}
