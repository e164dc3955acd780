using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Orleans.TestingHost;
using SiloHost;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>Three silos, of which tests stop some, and an outside client; limiters that lend.</summary>
public sealed class LendingCluster : IAsyncLifetime
{
    private TestCluster _cluster = null!;

    public static LiveConfiguration LivePolicies { get; } = new();

    public IReliabilityToolkit Outside => Of(_cluster.Client.ServiceProvider);

    public IReadOnlyList<IReliabilityToolkit> Silos =>
        [.. _cluster.Silos.Where(silo => silo.IsActive).Cast<InProcessSiloHandle>().Select(silo => Of(silo.SiloHost.Services))];

    public IGrainFactory Grains => _cluster.Client;

    public async Task InitializeAsync()
    {
        LivePolicies.Change("RateLimiters:changing:Burst", "200");
        LivePolicies.Change("RateLimiters:changing:TokensPerPeriod", "1000");
        var builder = new TestClusterBuilder(3);
        builder.Options.ConnectionTransport = ConnectionTransportType.TcpSocket;
        builder.AddSiloBuilderConfigurator<SiloSetup>();
        builder.AddClientBuilderConfigurator<ClientSetup>();
        _cluster = builder.Build();
        await _cluster.DeployAsync();
    }

    public async Task DisposeAsync() => await _cluster.DisposeAsync();

    /// <summary>Stops a silo other than the first, gracefully or not, by the key of a limiter whose grain it holds.</summary>
    public async Task StopOwnerAsync(string policy, string key, bool isGraceful)
    {
        var active = await Grains.GetGrain<IManagementGrain>(0).GetDetailedGrainStatistics();
        var grain = Grains.GetGrain<IRateLimiterGrain>($"{policy}/{key}").GetGrainId();
        var owner = _cluster.Silos.Single(silo => silo.SiloAddress.Equals(active.Single(one => one.GrainId == grain).SiloAddress));
        if (isGraceful)
            await _cluster.StopSiloAsync(owner);
        else
            await _cluster.KillSiloAsync(owner);
    }

    public Task StartAnotherSiloAsync() => _cluster.StartAdditionalSiloAsync();

    /// <summary>A key whose grain lives on a silo that may be stopped: the first one keeps the membership.</summary>
    public async Task<string> NewKeyOffTheFirstSiloAsync(string policy)
    {
        while (true)
        {
            var key = ToolkitCluster.NewKey();
            var grain = Grains.GetGrain<IRateLimiterGrain>($"{policy}/{key}");
            await grain.GetStatusAsync();
            var active = await Grains.GetGrain<IManagementGrain>(0).GetDetailedGrainStatistics();
            if (active.Any(one => one.GrainId == grain.GetGrainId() && !one.SiloAddress.Equals(_cluster.Primary!.SiloAddress)))
                return key;
        }
    }

    private static IReliabilityToolkit Of(IServiceProvider services) => services.GetRequiredService<IReliabilityToolkit>();

    private sealed class SiloSetup : ISiloConfigurator
    {
        public void Configure(ISiloBuilder siloBuilder) => siloBuilder.AddReliabilityToolkit(toolkit => toolkit
            .AddRateLimiter("dense", policy => (policy.Burst, policy.TokensPerPeriod, policy.QueueLimit) = (200, 1_000, 1_000))
            .AddRateLimiter("hundred", policy => (policy.Burst, policy.TokensPerPeriod, policy.QueueLimit) = (100, 100, 1_000))
            .Bind(LivePolicies.Root));
    }

    private sealed class ClientSetup : IClientBuilderConfigurator
    {
        public void Configure(IConfiguration configuration, IClientBuilder clientBuilder) => clientBuilder.AddReliabilityToolkit();
    }
}

/// <summary>Everything that was admitted by anybody, in this process' monotonic time.</summary>
internal sealed class AdmissionRecord
{
    private readonly ConcurrentQueue<Admission> _admissions = new();

    /// <summary>Tokens admitted, by calls answered at or after an instant.</summary>
    public int CountSince(long timestamp) => _admissions.Count(admission => admission.AnsweredAt >= timestamp);

    /// <summary>Acquires again and again until it is over: each time waiting for the tokens, or trying again after a little while.</summary>
    public async Task LoadAsync(ClusterRateLimiter limiter, TimeSpan duration, int callers = 4, bool isWaiting = true)
    {
        var until = Stopwatch.GetTimestamp() + (long)(duration.TotalSeconds * Stopwatch.Frequency);
        using var end = new CancellationTokenSource(duration);
        await Task.WhenAll(Enumerable.Range(0, callers).Select(_ => Task.Run(async () =>
        {
            while (Stopwatch.GetTimestamp() < until)
            {
                if (!await AcquireAsync(limiter, 1, end.Token, isWaiting))
                    await Task.Delay(1);
            }
        })));
    }

    /// <returns>Whether he was admitted.</returns>
    public async Task<bool> AcquireAsync(ClusterRateLimiter limiter, int tokens, CancellationToken cancellationToken, bool isWaiting = true)
    {
        var sentAt = Stopwatch.GetTimestamp();
        try
        {
            using var lease = isWaiting
                ? await limiter.AcquireAsync(tokens, cancellationToken)
                : await limiter.TryAcquireAsync(tokens, cancellationToken);
            if (!lease.IsAcquired)
                return false;
        }
        catch (OperationCanceledException)
        {
            return false;
        }

        var answeredAt = Stopwatch.GetTimestamp();
        for (var i = 0; i < tokens; i++)
            _admissions.Enqueue(new Admission(sentAt, answeredAt));
        return true;
    }

    /// <summary>Tokens above what one central bucket admits in the worst window; 0 or less: it held.</summary>
    public double Excess(int burst, int perSecond) =>
        WorstWindow.Find(_admissions, new TokenLimit(burst, perSecond, TimeSpan.FromTicks(Stopwatch.Frequency)))!.Value.Excess;
}

[CollectionDefinition(Name)]
public sealed class LendingTests : ICollectionFixture<LendingCluster>
{
    public const string Name = "lending";
}
