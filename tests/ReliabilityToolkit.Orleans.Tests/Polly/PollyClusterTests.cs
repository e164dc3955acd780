using Polly;
using Polly.CircuitBreaker;
using Polly.RateLimiting;
using Polly.Telemetry;
using ReliabilityToolkit.Orleans.Polly;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>Breakers, limiters and bulkheads of the cluster in Polly's pipelines.</summary>
[Collection(ClusterTests.Name)]
public sealed class PollyClusterTests(ToolkitCluster cluster)
{
    private readonly string _key = ToolkitCluster.NewKey();

    private ClusterCircuitBreaker Two => cluster.Outside.GetCircuitBreaker("two", _key);

    [Fact]
    public async Task Breaker_Failures_OpenItForAllNodesAndPollysHandlersKnowTheException()
    {
        var pipeline = new ResiliencePipelineBuilder().AddClusterCircuitBreaker(Two).Build();
        (await pipeline.ExecuteAsync(static _ => new ValueTask<int>(7))).Should().Be(7);
        for (var i = 0; i < 2; i++)
        {
            await pipeline.Awaiting(it => it.ExecuteAsync(static _ => throw new TimeoutException()).AsTask())
                .Should().ThrowAsync<TimeoutException>();
        }

        var broken = (await pipeline.Awaiting(it => it.ExecuteAsync(static _ => default).AsTask())
            .Should().ThrowAsync<BrokenCircuitException>()).Which;
        broken.RetryAfter.Should().BeCloseTo(TimeSpan.FromHours(1), TimeSpan.FromMinutes(1));
        broken.InnerException.Should().BeOfType<CircuitOpenException>().Which.Name.Should().Be($"two/{_key}");
        (await cluster.Nodes[0].GetCircuitBreaker("two", _key).TryEnterAsync()).IsAdmitted.Should().BeFalse("it is the cluster's");
        await Two.IsolateAsync();
        await pipeline.Awaiting(it => it.ExecuteAsync(static _ => default).AsTask()).Should().ThrowAsync<IsolatedCircuitException>();
    }

    [Fact]
    public async Task Breaker_OfResults_CountsThoseThatAreToBeHandled()
    {
        var pipeline = new ResiliencePipelineBuilder<int>().AddClusterCircuitBreaker(new ClusterCircuitBreakerStrategyOptions<int>
        {
            Breaker = _ => Two,
            ShouldHandle = static arguments => new(arguments.Outcome.Result >= 500),
        }).Build();
        (await pipeline.ExecuteAsync(static _ => new ValueTask<int>(503))).Should().Be(503);
        (await pipeline.ExecuteAsync(static _ => new ValueTask<int>(200))).Should().Be(200);
        (await pipeline.ExecuteAsync(static _ => new ValueTask<int>(503))).Should().Be(503);
        (await Two.GetStatusAsync()).Should().Match<CircuitBreakerStatus>(it => it.State == CircuitState.Closed && it.ConsecutiveFailures == 1);
        await pipeline.ExecuteAsync(static _ => new ValueTask<int>(503));
        await pipeline.Awaiting(it => it.ExecuteAsync(static _ => new ValueTask<int>(1)).AsTask()).Should().ThrowAsync<BrokenCircuitException>();
    }

    [Fact]
    public async Task Breaker_CancelledByItsCaller_CountsNothing()
    {
        var pipeline = new ResiliencePipelineBuilder().AddClusterCircuitBreaker(
            new ClusterCircuitBreakerStrategyOptions { Breaker = _ => Two, ShouldHandle = static _ => new(true) }).Build();
        using var cancellation = new CancellationTokenSource();
        await pipeline.Awaiting(it => it.ExecuteAsync(
            async token =>
            {
                await cancellation.CancelAsync();
                token.ThrowIfCancellationRequested();
            },
            cancellation.Token).AsTask()).Should().ThrowAsync<OperationCanceledException>();
        (await Two.GetStatusAsync()).ConsecutiveFailures.Should().Be(0);
    }

    [Fact]
    public async Task Breaker_PredicateThatThrows_IsAFailureIsToldAndHidesNothing()
    {
        var events = new List<string>();
        var builder = new ResiliencePipelineBuilder { TelemetryListener = new Listener(events) };
        var pipeline = builder.AddClusterCircuitBreaker(new ClusterCircuitBreakerStrategyOptions
        {
            Breaker = _ => Two,
            ShouldHandle = static _ => throw new InvalidOperationException("a bug"),
        }).Build();
        (await pipeline.ExecuteAsync(static _ => new ValueTask<int>(7))).Should().Be(7);
        (await Two.GetStatusAsync()).ConsecutiveFailures.Should().Be(1);
        await pipeline.ExecuteAsync(static _ => new ValueTask<int>(7));
        await pipeline.Awaiting(it => it.ExecuteAsync(static _ => default).AsTask()).Should().ThrowAsync<BrokenCircuitException>();
        events.Should().Equal("OnPredicateFailed", "OnPredicateFailed", "OnCircuitRejected");
    }

    [Fact]
    public async Task Breaker_OfAnUnknownPolicy_SaysSo()
    {
        var unknown = cluster.Outside.GetCircuitBreaker("unknown-policy", _key);
        await new ResiliencePipelineBuilder().AddClusterCircuitBreaker(unknown).Build()
            .Awaiting(it => it.ExecuteAsync(static _ => default).AsTask()).Should().ThrowAsync<UnknownPolicyException>();
        FluentActions.Invoking(() => new ResiliencePipelineBuilder().AddClusterCircuitBreaker(new ClusterCircuitBreakerStrategyOptions()))
            .Should().Throw<System.ComponentModel.DataAnnotations.ValidationException>("which breaker it is, must be said");
    }

    [Fact]
    public async Task Limiter_InAPipeline_RejectsWithRetryAfter()
    {
        var limiter = cluster.Outside.GetRateLimiter("one", _key);
        var pipeline = new ResiliencePipelineBuilder().AddClusterRateLimiter(limiter).Build();
        await pipeline.ExecuteAsync(static _ => default);
        (await pipeline.Awaiting(it => it.ExecuteAsync(static _ => default).AsTask()).Should().ThrowAsync<RateLimiterRejectedException>())
            .Which.RetryAfter.Should().BeGreaterThan(TimeSpan.FromMinutes(50));
        var patient = new ResiliencePipelineBuilder().AddClusterRateLimiter(cluster.Outside.GetRateLimiter("quick", _key), waits: true).Build();
        for (var i = 0; i < 5; i++)
            await patient.ExecuteAsync(static _ => default);
    }

    [Fact]
    public async Task Bulkhead_InAPipeline_HoldsItsSlotWhileTheCallRuns()
    {
        var bulkhead = cluster.Outside.GetBulkhead("single", _key);
        var pipeline = new ResiliencePipelineBuilder<int>().AddClusterBulkhead(bulkhead, waits: false).Build();
        var call = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        var running = pipeline.ExecuteAsync(_ => new ValueTask<int>(call.Task)).AsTask();
        await ToolkitCluster.EventuallyAsync(async () => (await bulkhead.GetStatusAsync()).AvailableSlots == 0, "the call has its slot");
        await pipeline.Awaiting(it => it.ExecuteAsync(static _ => new ValueTask<int>(1)).AsTask())
            .Should().ThrowAsync<RateLimiterRejectedException>();
        call.SetResult(7);
        (await running).Should().Be(7);
        (await pipeline.ExecuteAsync(static _ => new ValueTask<int>(8))).Should().Be(8);
    }

    private sealed class Listener(List<string> events) : TelemetryListener
    {
        public override void Write<TResult, TArgs>(in TelemetryEventArguments<TResult, TArgs> args)
        {
            if (args.Source.StrategyName is "ClusterCircuitBreaker")
                events.Add(args.Event.EventName);
        }
    }
}
