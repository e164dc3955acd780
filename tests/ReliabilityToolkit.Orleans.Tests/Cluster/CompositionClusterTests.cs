namespace ReliabilityToolkit.Orleans.Tests;

[Collection(ClusterTests.Name)]
public sealed class CompositionClusterTests(ToolkitCluster cluster)
{
    [Fact]
    public async Task RetryBudget_SharedByALimiterOfTheCluster_IsThatOfAllNodes()
    {
        var (key, attempts) = (ToolkitCluster.NewKey(), 0);
        foreach (var node in cluster.Nodes)
        {
            var budget = new RetryBudget(shared: node.GetRateLimiter("pair", key));
            var retry = new Retry(new RetryOptions { MaxAttempts = 9, BaseDelay = TimeSpan.Zero, Budget = budget });
            await retry.Awaiting(it => it.RunAsync(ValueTask (_) =>
            {
                attempts++;
                throw new TimeoutException();
            }).AsTask()).Should().ThrowAsync<TimeoutException>();
        }

        attempts.Should().Be(cluster.Nodes.Count + 2, "there are two tokens for all");
    }

    [Fact]
    public async Task Composition_FlakyDownstream_IsRetriedThroughAllFour()
    {
        var key = ToolkitCluster.NewKey();
        var limiter = cluster.Outside.GetRateLimiter("fifty", key);
        var pool = cluster.Outside.GetBulkhead("single", key);
        var breaker = cluster.Outside.GetCircuitBreaker("five", key);
        var retry = new Retry(
            new RetryOptions { MaxAttempts = 4, BaseDelay = TimeSpan.FromMilliseconds(1), RetryIf = e => e is not UnauthorizedAccessException });
        var attempts = 0;

        var receipt = await retry.RunAsync(async ct =>
        {
            using var admitted = (await limiter.AcquireAsync(cancellationToken: ct)).EnsureAcquired();
            using var permit = (await pool.AcquireAsync(cancellationToken: ct)).EnsureAcquired();
            return await breaker.CallAsync(_ => ++attempts < 3 ? Task.FromException<string>(new TimeoutException()) : Task.FromResult("paid"), ct);
        });

        receipt.Should().Be("paid");
        attempts.Should().Be(3);
        (await limiter.GetStatusAsync()).AvailableTokens.Should().Be(47);
        await ToolkitCluster.EventuallyAsync(async () => (await breaker.GetStatusAsync()).ConsecutiveFailures == 0, "the success is told");
        await ToolkitCluster.EventuallyAsync(async () => (await pool.GetStatusAsync()).AvailableSlots == 1, "the slot is back");
    }

    [Fact]
    public async Task Composition_OpenCircuit_FailsFastAndGivesTheSlotBack()
    {
        var key = ToolkitCluster.NewKey();
        var pool = cluster.Nodes[0].GetBulkhead("single", key);
        var breaker = cluster.Nodes[1].GetCircuitBreaker("five", key);
        await breaker.TripAsync();
        var retry = new Retry(new RetryOptions { RetryIf = e => e is not CircuitOpenException });
        await retry.Awaiting(it => it.RunAsync(async ct =>
        {
            using var permit = (await pool.AcquireAsync(cancellationToken: ct)).EnsureAcquired();
            await breaker.CallAsync(_ => ValueTask.CompletedTask, ct);
        }).AsTask()).Should().ThrowAsync<CircuitOpenException>();
        await ToolkitCluster.EventuallyAsync(async () => (await pool.GetStatusAsync()).AvailableSlots == 1, "the slot is back");
    }

    [Fact]
    public async Task Composition_InAGrain_RunsTheGrainsCodeOnItsOwnScheduler() =>
        (await cluster.Grains.GetGrain<ICallerGrain>(ToolkitCluster.NewKey()).CountRunsOutsideAsync()).Should().Be(0);
}
