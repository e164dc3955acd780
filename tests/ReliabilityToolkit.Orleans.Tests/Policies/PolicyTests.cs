using System.Text;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Orleans.Configuration;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class PolicyTests
{
    [Fact]
    public void Policies_Defaults_AreLegal()
    {
        new RateLimiterPolicy().Validate().Should().BeEmpty();
        new CircuitBreakerPolicy().Validate().Should().BeEmpty();
        new BulkheadPolicy().Validate().Should().BeEmpty();
        new ReliabilityToolkitClientOptions().Validate().Should().BeEmpty();
    }

    [Fact]
    public void Policies_EveryFault_IsToldWithValueAndRange()
    {
        new RateLimiterPolicy { TokensPerPeriod = 0, Period = TimeSpan.Zero, Burst = -3, QueueLimit = 100_001 }.Validate().Should().HaveCount(4)
            .And.Contain("Burst is -3; legal: 1 to 1,000,000,000.");
        new RateLimiterPolicy { TokensPerPeriod = 1, Period = TimeSpan.FromDays(1), Burst = 1_000_000_000 }.Validate()
            .Should().HaveCount(2, "the bucket is too large, and fills too slowly");
        new CircuitBreakerPolicy
        {
            FailureThreshold = 0,
            CoolDown = TimeSpan.FromDays(
            2),
            HalfOpenMaxCalls = 0,
            TrialLease = TimeSpan.Zero
        }.Validate().Should().HaveCount(4);
        var bulkhead = new BulkheadPolicy { Capacity = 0, QueueLimit = -1, Lease = TimeSpan.FromSeconds(1.9), MaxWait = TimeSpan.Zero };
        bulkhead.Validate().Should().HaveCount(4);
        new ReliabilityToolkitClientOptions { CallTimeout = TimeSpan.Zero, MaxCachedInstances = 0 }.Validate().Should().HaveCount(2);
    }

    [Fact]
    public void Configuration_Policies_AreReadAndMixWithCode()
    {
        var source = Source(
            """
            {
              "RateLimiters": { "api": { "TokensPerPeriod": 50, "Period": "00:00:10" } },
              "bulkheads": { "database": { "capacity": 20 } },
              "CircuitBreakers": { "payments": {} }
            }
            """,
            toolkit => toolkit.AddRateLimiter("api", policy => policy.Burst = 7));
        source.Current.RateLimiter("api")
            .Should().BeEquivalentTo(new RateLimiterPolicy { TokensPerPeriod = 50, Period = TimeSpan.FromSeconds(10), Burst = 7 });
        source.Current.Bulkhead("database").Capacity.Should().Be(20);
        source.Current.CircuitBreaker("payments").FailureThreshold.Should().Be(5);
    }

    [Fact]
    public void Configuration_FaultsOfEveryKind_AreAllInOneMessage()
    {
        var thrown = FluentActions.Invoking(() => Source(
            """
            {
              "RateLimiters": { "api": { "Burts": 5, "Burst": "many", "TokensPerPeriod": 0 }, "a b": {} },
              "Breakers": {},
              "Bulkheads": { "db": { "Capacity": -1, "Lease": "soon" } }
            }
            """,
            toolkit => toolkit.AddCircuitBreaker(
                "payments", policy => policy.FailureThreshold = 0))).Should().Throw<OptionsValidationException>().Which;
        string[] faults =
        [
            "api:Burts: no such setting; legal here: TokensPerPeriod, Period, Burst, QueueLimit", "api:Burst: many", "api: TokensPerPeriod is 0",
            "a b: a policy name", "Breakers: legal here", "db: Capacity is -1", "db:Lease: soon", "payments: FailureThreshold is 0",
        ];
        foreach (var fault in faults)
            thrown.Message.Should().Contain(fault);
    }

    [Fact]
    public void Configuration_Reload_ReplacesWhatChangedAndIgnoresFaults()
    {
        var configuration = Configuration("""{ "RateLimiters": { "api": { "Burst": 5 }, "other": {} } }""");
        var source = Source(configuration);
        var (api, other) = (source.Current.RateLimiter("api"), source.Current.RateLimiter("other"));

        configuration["ReliabilityToolkit:RateLimiters:api:Burst"] = "0";
        configuration.Reload();
        source.Current.RateLimiter("api").Should().BeSameAs(api, "the fault is logged, and what was in force stays so");

        configuration["ReliabilityToolkit:RateLimiters:api:Burst"] = "6";
        configuration.Reload();
        source.Current.RateLimiter("api").Burst.Should().Be(6);
        source.Current.RateLimiter("other").Should().BeSameAs(other);
    }

    [Fact]
    public void Policy_Unknown_IsToldWithTheKnownOnes()
    {
        var source = Source("""{ "RateLimiters": { "b": {}, "a": {} } }""");
        source.Current.Invoking(policies => policies.RateLimiter("c")).Should().Throw<UnknownPolicyException>()
            .Which.Should().Match<UnknownPolicyException>(
                e => e.Policy == "c" && string.Join(" ", e.KnownPolicies) == "a b" && e.Message.Contains("Known: a, b."));
        source.Current.Invoking(policies => policies.Bulkhead("a")).Should().Throw<UnknownPolicyException>().WithMessage("*Known: none.");
    }

    [Fact]
    public void Policy_UnknownOfEachKind_SaysWhichKind()
    {
        var policies = Source("{}").Current;
        policies.Invoking(it => it.RateLimiter("c")).Should().Throw<UnknownPolicyException>().WithMessage("No rate limiter policy \"c\"*");
        policies.Invoking(it => it.CircuitBreaker("c")).Should().Throw<UnknownPolicyException>().WithMessage("No circuit breaker policy \"c\"*");
        policies.Invoking(it => it.Bulkhead("c")).Should().Throw<UnknownPolicyException>().WithMessage("No bulkhead policy \"c\"*");
    }

    [Fact]
    public void Policies_Faults_AreToldInTheOrderOfTheirNames()
    {
        var policies = new ReliabilityToolkitPolicies();
        foreach (var name in new[] { "b", "c", "a" })
            policies.Bulkheads[name] = new BulkheadPolicy { Capacity = 0 };
        policies.Validate().Select(fault => fault[..11]).Should().Equal("Bulkheads:a", "Bulkheads:b", "Bulkheads:c");
    }

    [Fact]
    public void Builder_StronglyConsistentDirectory_IsRegisteredWithItsLease()
    {
        var silo = new Silo();
        var before = silo.Services.Count;
        new ReliabilityToolkitBuilder(silo).UseStronglyConsistentDirectory(TimeSpan.FromSeconds(9));
        silo.Services.Any(service => $"{service.ServiceType} {service.ImplementationType} {service.ServiceKey}".Contains("Director"))
            .Should().BeTrue();
        silo.Services.Count.Should().BeGreaterThan(before + 2);
        silo.Services.BuildServiceProvider().GetRequiredService<IOptions<GrainDirectoryOptions>>().Value.RangeLeaseDuration
            .Should().Be(TimeSpan.FromSeconds(9));
        new ReliabilityToolkitBuilder(silo).Invoking(it => it.UseStronglyConsistentDirectory(TimeSpan.FromMinutes(10))).Should().NotThrow();
        new ReliabilityToolkitBuilder(silo).Invoking(it => it.UseStronglyConsistentDirectory(TimeSpan.Zero)).Should().NotThrow();
    }

    [Fact]
    public async Task Silo_WithFaultyPolicies_DoesNotStartAndSaysAllOfThem()
    {
        using var host = Host.CreateDefaultBuilder().UseOrleans(silo => silo
            .UseLocalhostClustering()
            .AddReliabilityToolkit(
                toolkit => toolkit.AddBulkhead("db", policy => policy.Capacity = 0).AddRateLimiter("api", policy => policy.Burst = 0))).Build();
        (await host.Awaiting(it => it.StartAsync()).Should().ThrowAsync<Exception>())
            .Which.ToString().Should().Contain("RateLimiters:api: Burst is 0").And.Contain("Bulkheads:db: Capacity is 0");
    }

    [Fact]
    public void Builder_NullArguments_Throw()
    {
        FluentActions.Invoking(() => Source("{}", toolkit => toolkit.AddRateLimiter(null!)))
            .Should().Throw<ArgumentNullException>().WithParameterName("policy");
        FluentActions.Invoking(() => Source("{}", toolkit => toolkit.Bind(null!)))
            .Should().Throw<ArgumentNullException>().WithParameterName("section");
        FluentActions.Invoking(() => Source("{}", toolkit => toolkit.UseStronglyConsistentDirectory(TimeSpan.FromTicks(-1))))
            .Should().Throw<ArgumentOutOfRangeException>();
        FluentActions.Invoking(() => Source("{}", toolkit => toolkit.UseStronglyConsistentDirectory(TimeSpan.FromHours(1))))
            .Should().Throw<ArgumentOutOfRangeException>();
        FluentActions.Invoking(() => ((ISiloBuilder)null!).AddReliabilityToolkit(_ => { })).Should().Throw<ArgumentNullException>();
        FluentActions.Invoking(() => ((IClientBuilder)null!).AddReliabilityToolkit()).Should().Throw<ArgumentNullException>();
    }

    [Fact]
    public async Task Client_WithFaultyOptions_DoesNotStartAndSaysAllOfThem()
    {
        using var host = Host.CreateDefaultBuilder().UseOrleansClient(client => client
            .UseLocalhostClustering()
            .AddReliabilityToolkit(options => (options.CallTimeout, options.MaxCachedInstances) = (TimeSpan.Zero, 0))).Build();
        (await host.Awaiting(it => it.StartAsync()).Should().ThrowAsync<OptionsValidationException>())
            .Which.Message.Should().Contain("CallTimeout is 00:00:00").And.Contain("MaxCachedInstances is 0");
    }

    [Fact]
    public void Client_OwnChanceAndClock_AreNotTheApplicationsRandom()
    {
        // The application's Random may not be thread-safe, or seeded so that all its replicas come back in step.
        var services = new ServiceCollection().AddSingleton(
            new Random(1)).AddReliabilityToolkitClient<IClusterClientLifecycle>().AddReliabilityToolkitGrains().BuildServiceProvider();
        services.GetRequiredService<Chance>().Should().BeSameAs(services.GetRequiredService<Chance>());
        services.GetServices<Random>().Should().ContainSingle("nobody else's is registered either");
        services.GetRequiredService<TimeProvider>().Should().BeSameAs(TimeProvider.System);
        var drawn = Enumerable.Range(0, 8).Select(_ => services.GetRequiredService<Chance>().Next(int.MaxValue)).ToArray();
        var seeded = new Random(1);
        drawn.Should().NotEqual(Enumerable.Range(0, 8).Select(_ => seeded.Next(int.MaxValue)));
    }

    [Fact]
    public void Client_ByItself_RegistersAllThatItNeeds()
    {
        var services = new ServiceCollection().AddReliabilityToolkitClient<IClusterClientLifecycle>();
        services.Should().Contain(service => service.ServiceType == typeof(IReliabilityToolkit));
        var provider = services.BuildServiceProvider();
        provider.GetRequiredService<TimeProvider>().Should().BeSameAs(TimeProvider.System);
        provider.GetRequiredService<Chance>().Should().NotBeNull();
        provider.GetRequiredService<NodeClock>().Should().BeSameAs(provider.GetRequiredService<NodeClock>(), "a node has one clock");
        provider.GetRequiredService<Microsoft.Extensions.Logging.ILogger<NodeToolkit>>().Should().NotBeNull();
    }

    private static PolicySource Source(string json, Action<ReliabilityToolkitBuilder>? configure = null) => Source(Configuration(json), configure);

    private static PolicySource Source(IConfiguration configuration, Action<ReliabilityToolkitBuilder>? configure = null)
    {
        var silo = new Silo();
        var toolkit = new ReliabilityToolkitBuilder(silo).Bind(configuration.GetSection("ReliabilityToolkit"));
        configure?.Invoke(toolkit);
        var services = silo.Services.BuildServiceProvider();
        return new PolicySource(services.GetRequiredService<IOptionsMonitor<ReliabilityToolkitPolicies>>(), NullLogger<PolicySource>.Instance);
    }

    private static IConfigurationRoot Configuration(string json) =>
        new ConfigurationBuilder().AddInMemoryCollection(
            new ConfigurationBuilder().AddJsonStream(
                new MemoryStream(Encoding.UTF8.GetBytes($$"""{ "ReliabilityToolkit": {{json}} }"""))).Build().AsEnumerable()).Build();

    private sealed class Silo : ISiloBuilder
    {
        public IServiceCollection Services { get; } = new ServiceCollection().AddOptions();

        public IConfiguration Configuration { get; } = new ConfigurationBuilder().Build();
    }
}
