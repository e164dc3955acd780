using System.Collections.Concurrent;
using System.Threading.RateLimiting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Orleans.TestingHost;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>What the application hears when its host stops under it.</summary>
public sealed class StoppedHostTests : IAsyncLifetime
{
    private static readonly ConcurrentQueue<PartRequest> Answered = new();

    private TestCluster _cluster = null!;

    private IReliabilityToolkit Toolkit { get; set; } = null!;

    public async Task InitializeAsync()
    {
        var builder = new TestClusterBuilder(1);
        builder.AddSiloBuilderConfigurator<SiloSetup>();
        builder.AddClientBuilderConfigurator<ClientSetup>();
        _cluster = builder.Build();
        await _cluster.DeployAsync();
        Toolkit = _cluster.Client.ServiceProvider.GetRequiredService<IReliabilityToolkit>();
    }

    public async Task DisposeAsync() => await _cluster.DisposeAsync();

    [Fact]
    public async Task Client_HostHasStopped_EveryCallIsARefusalWithAReason()
    {
        var (limiter, breaker, pool) = (Toolkit.GetRateLimiter("api"), Toolkit.GetCircuitBreaker("payments"), Toolkit.GetBulkhead("database"));
        (await limiter.TryAcquireAsync()).IsAcquired.Should().BeTrue();
        var permit = await pool.AcquireAsync();
        await _cluster.StopClusterClientAsync();

        RateLimitLease[] leases =
            [await limiter.TryAcquireAsync(), await limiter.AcquireAsync(), await pool.TryAcquireAsync(), await pool.AcquireAsync()];
        foreach (var lease in leases)
        {
            lease.IsAcquired.Should().BeFalse();
            lease.TryGetMetadata(ToolkitMetadata.Reason, out var reason).Should().BeTrue();
            reason.Should().Be(RefusalReason.AuthorityUnavailable);
        }

        (await breaker.CallAsync(_ => ValueTask.FromResult(42))).Should().Be(42, "the node goes by a breaker of its own");
        await breaker.Awaiting(it => it.TripAsync()).Should().ThrowAsync<AuthorityUnavailableException>();
        await limiter.Awaiting(it => it.GetStatusAsync().AsTask()).Should().ThrowAsync<AuthorityUnavailableException>();
        await pool.Awaiting(it => it.CloseAsync()).Should().ThrowAsync<AuthorityUnavailableException>();
        permit.Dispose();

        var first = await FluentActions.Invoking(() => Toolkit.GetCircuitBreaker("payments", "new").TripAsync())
            .Should().ThrowAsync<AuthorityUnavailableException>("also one that was not made yet");
        first.Which.Name.Should().Be("payments/new");
    }

    [Fact]
    public async Task Breaker_OfANodeCutOff_IsClosedNoLongerThanItsVerdict()
    {
        var breaker = Toolkit.GetCircuitBreaker("obedient");
        (await breaker.TryEnterAsync()).IsAdmitted.Should().BeTrue();
        var silo = ((InProcessSiloHandle)_cluster.Primary!).SiloHost.Services.GetRequiredService<IReliabilityToolkit>();
        await _cluster.StopClusterClientAsync();

        (await silo.GetCircuitBreaker("obedient").TripAsync()).Should().Match<KillSwitchResult>(it => it.Acknowledged + it.RanOut <= 1);
        await breaker.Awaiting(it => it.TryEnterAsync().AsTask()).Should().ThrowAsync<AuthorityUnavailableException>();
    }

    [Fact]
    public async Task Client_StopsDuringABreakersCall_TheCallersResultIsHis()
    {
        var breaker = Toolkit.GetCircuitBreaker("payments");
        (await breaker.CallAsync(async _ =>
        {
            await _cluster.StopClusterClientAsync(CancellationToken.None);
            return 42;
        })).Should().Be(42, "he has been charged, and must not be told otherwise");
    }

    [Fact]
    public async Task Client_HostStops_WhatItHoldsIsGivenBack()
    {
        var limiter = Toolkit.GetRateLimiter("api", "client");
        await BorrowAsync(limiter);
        await _cluster.StopClusterClientAsync();
        Answered.Last().GivenBack.Should().BePositive("that was said, and heard, before the client stopped");
        limiter.AttemptAcquire().IsAcquired.Should().BeFalse();
    }

    [Fact]
    public async Task Silo_Stops_WhatItsNodeHoldsIsGivenBackAndLaterCallsAreRefusedWithAReason()
    {
        var silo = (InProcessSiloHandle)_cluster.Silos[0];
        var services = silo.SiloHost.Services;
        var limiter = services.GetRequiredService<IReliabilityToolkit>().GetRateLimiter("api", "silo");
        await BorrowAsync(limiter);
        await _cluster.StopSiloAsync(silo);
        Answered.Last().GivenBack.Should().BePositive();
        RateLimitLease[] leases = [limiter.AttemptAcquire(), await limiter.TryAcquireAsync(), await limiter.AcquireAsync()];
        leases.Should().OnlyContain(lease => !lease.IsAcquired);
        leases[1].TryGetMetadata(ToolkitMetadata.Reason, out var reason).Should().BeTrue();
        reason.Should().Be(RefusalReason.AuthorityUnavailable);
    }

    private static async Task BorrowAsync(ClusterRateLimiter limiter)
    {
        Answered.Clear();
        for (var i = 0; i < 2_000 && limiter.GetStatistics()!.CurrentAvailablePermits == 0; i++)
        {
            limiter.AttemptAcquire();
            await Task.Delay(1);
        }

        Answered.Last().Holder.Should().NotBe(default(Borrower));
        limiter.GetStatistics()!.CurrentAvailablePermits.Should().BeGreaterThan(0);
    }

    private static async Task NoteAsync(IOutgoingGrainCallContext context)
    {
        var message = context.Request.GetArgumentCount() > 0 ? context.Request.GetArgument(0) : null; // is gone after the call
        await context.Invoke();
        if (message is PartRequest request)
            Answered.Enqueue(request);
    }

    private sealed class SiloSetup : ISiloConfigurator
    {
        public void Configure(ISiloBuilder siloBuilder) => siloBuilder
            .AddOutgoingGrainCallFilter(NoteAsync)
            .AddReliabilityToolkit(toolkit => toolkit
                .AddRateLimiter("api", policy => policy.Burst = 1_000)
                .AddCircuitBreaker("payments")
                .AddCircuitBreaker("obedient")
                .AddBulkhead("database"));
    }

    private sealed class ClientSetup : IClientBuilderConfigurator
    {
        public void Configure(IConfiguration configuration, IClientBuilder clientBuilder) =>
            clientBuilder.AddOutgoingGrainCallFilter(NoteAsync)
                .AddReliabilityToolkit(options => options.CircuitFallback["obedient"] = CircuitFallback.Reject);
    }
}
