using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>Meter, activities and health check on real grains.</summary>
[Collection(ClusterTests.Name)]
public sealed class TelemetryClusterTests(ToolkitCluster cluster)
{
    private readonly string _key = ToolkitCluster.NewKey();

    [Fact]
    public async Task Metrics_OfNodesAndSilos_AreOfTheContainersOwnMeter()
    {
        using var client = new MeterBook(cluster.OutsideServices.GetRequiredService<NodeMeter>().Source);
        var before = client.Of("limiter.decisions outcome=admitted policy=fifty source=authority");
        (await cluster.Outside.GetRateLimiter("fifty", _key).TryAcquireAsync()).IsAcquired.Should().BeTrue();
        client.Of("limiter.decisions outcome=admitted policy=fifty source=authority").Should().Be(before + 1);
        client.Of("calls kind=limiter policy=fifty").Should().BeGreaterThanOrEqualTo(1);
    }

    [Fact]
    public async Task Activities_ShowWhereACallWaited()
    {
        var spans = new ConcurrentQueue<(ActivityTraceId Trace, string Name, string? Policy, string? Outcome)>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = static source => source.Name == ReliabilityToolkitTelemetry.ActivitySourceName,
            Sample = static (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = activity => spans.Enqueue(
                (activity.TraceId, activity.OperationName, (string?)activity.GetTagItem("policy"), (string?)activity.GetTagItem("outcome"))),
        };
        ActivitySource.AddActivityListener(listener);
        using var mine = new Activity("test").Start();
        (await cluster.Outside.GetRateLimiter("one", _key).TryAcquireAsync()).IsAcquired.Should().BeTrue();
        (await cluster.Outside.GetRateLimiter("one", _key).TryAcquireAsync()).IsAcquired.Should().BeFalse();
        (await cluster.Outside.GetCircuitBreaker("five", _key).TryEnterAsync()).IsAdmitted.Should().BeTrue();
        using (await cluster.Outside.GetBulkhead("single", _key).AcquireAsync())
            await cluster.Outside.GetCircuitBreaker("five", _key).ResetAsync();
        spans.Where(span => span.Trace == mine.TraceId && span.Name is not ("authority.activate" or "record.access"))
            .Select(static span => (span.Name, span.Policy, span.Outcome)).Should().Equal(
                ("limiter.acquire", "one", "admitted"),
                ("limiter.acquire", "one", "RateLimited"),
                ("breaker.enter", "five", "Admitted"),
                ("bulkhead.acquire", "single", "admitted"),
                ("breaker.command", "five", null));
    }

    [Fact]
    public async Task Health_IsThatOfTheCluster()
    {
        var report = await CheckAsync(cluster.OutsideServices, out _);
        report.Status.Should().Be(HealthStatus.Healthy);
        report.Data["silos"].Should().Be(3);
    }

    [Fact]
    public async Task Health_ManyDecisionsWithoutTheAuthority_IsDegraded()
    {
        using var meter = new NodeMeter();
        var check = new ToolkitHealthCheck(
            cluster.Grains, meter, new NodeClock(TimeProvider.System), maxFallbackShare: 0.1, ToolkitCluster.OnALoadedMachine);
        var context = new HealthCheckContext { Registration = new HealthCheckRegistration("x", check, null, null) };
        meter.Limiters.Of("api").Add(DecisionSource.Part, DecisionOutcome.Admitted, 90);
        meter.Limiters.Of("api").Add(DecisionSource.Fallback, DecisionOutcome.AuthorityUnavailable, 10);
        (await check.CheckHealthAsync(context)).Status.Should().Be(HealthStatus.Healthy, "a tenth is borne");
        meter.Bulkheads.Of("pool").Add(DecisionSource.Fallback, DecisionOutcome.AuthorityUnavailable, 3);
        var degraded = await check.CheckHealthAsync(context);
        degraded.Status.Should().Be(HealthStatus.Degraded);
        degraded.Description.Should().Be("100 % of 3 decisions since the last look were made without the authority.");
        (await check.CheckHealthAsync(context)).Status.Should().Be(HealthStatus.Healthy, "since then nothing was decided");
    }

    [Fact]
    public async Task Health_WhenTheClusterDoesNotAnswer_FailsWithinItsTime()
    {
        using var meter = new NodeMeter();
        var check = new ToolkitHealthCheck(cluster.Grains, meter, new NodeClock(TimeProvider.System), 0.1, TimeSpan.Zero);
        var result = await check.CheckHealthAsync(new HealthCheckContext
        {
            Registration = new HealthCheckRegistration("x", check, HealthStatus.Degraded, null),
        });
        (result.Status, result.Description).Should().Be((HealthStatus.Degraded, "The cluster does not answer."));
    }

    [Theory]
    [InlineData(-0.1)]
    [InlineData(1.1)]
    [InlineData(double.NaN)]
    public void Health_AShareThatIsNone_IsRefused(double share) =>
        new ServiceCollection().AddHealthChecks().Invoking(checks => checks.AddReliabilityToolkit(maxFallbackShare: share))
            .Should().Throw<ArgumentOutOfRangeException>().WithParameterName("maxFallbackShare");

    private static Task<HealthCheckResult> CheckAsync(IServiceProvider services, out HealthCheckRegistration registration)
    {
        var application = new ServiceCollection();
        application.AddHealthChecks().AddReliabilityToolkit();
        registration = application.BuildServiceProvider()
            .GetRequiredService<Microsoft.Extensions.Options.IOptions<HealthCheckServiceOptions>>().Value.Registrations.Single();
        return registration.Factory(services).CheckHealthAsync(new HealthCheckContext { Registration = registration });
    }
}
