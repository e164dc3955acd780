namespace ReliabilityToolkit.Orleans.Tests;

[Collection(ClusterTests.Name)]
public sealed class CircuitBreakerClusterTests(ToolkitCluster cluster)
{
    private readonly string _key = ToolkitCluster.NewKey();

    [Fact]
    public async Task Breaker_FailuresSpreadOverNodes_OpenItForAll()
    {
        for (var i = 0; i < 5; i++)
            await FailAsync(cluster.Nodes[i % 4].GetCircuitBreaker("five", _key));
        (await IsAdmittedAsync(cluster.Nodes[0])).Should().BeFalse("it was told before its caller had his exception");
        foreach (var node in cluster.Nodes)
        {
            await ToolkitCluster.EventuallyAsync(async () => !await IsAdmittedAsync(node), "the node has heard of it");
            var isInvoked = false;
            var thrown = await node.GetCircuitBreaker("five", _key).Awaiting(breaker => breaker.CallAsync(_ =>
            {
                isInvoked = true;
                return ValueTask.CompletedTask;
            }).AsTask()).Should().ThrowAsync<CircuitOpenException>();
            thrown.Which.RetryAfter.Should().BeGreaterThan(TimeSpan.FromMinutes(59));
            thrown.Which.Name.Should().Be($"five/{_key}");
            isInvoked.Should().BeFalse();
            (await node.GetCircuitBreaker("five", _key).GetStatusAsync()).State.Should().Be(CircuitState.Open);
        }
    }

    [Fact]
    public async Task Breaker_SuccessOnOneNode_ResetsTheFailuresOfAnother()
    {
        for (var i = 0; i < 4; i++)
            await FailAsync(cluster.Nodes[0].GetCircuitBreaker("five", _key));
        (await cluster.Nodes[1].GetCircuitBreaker("five", _key).CallAsync(_ => Task.FromResult("fine"))).Should().Be("fine");
        await ToolkitCluster.EventuallyAsync(
            async () => (await cluster.Outside.GetCircuitBreaker("five", _key).GetStatusAsync()).ConsecutiveFailures == 0, "the success is told");
        await FailAsync(cluster.Nodes[0].GetCircuitBreaker("five", _key));
        (await cluster.Outside.GetCircuitBreaker("five", _key).GetStatusAsync())
            .Should().Match<CircuitBreakerStatus>(status => status.State == CircuitState.Closed && status.ConsecutiveFailures == 1);
    }

    [Fact]
    public async Task Breaker_HalfOpen_HasTwoTrialsInTheWholeCluster()
    {
        var outside = cluster.Outside.GetCircuitBreaker("short", _key);
        await outside.TripAsync();
        await ToolkitCluster.EventuallyAsync(async () => (await outside.GetStatusAsync()).State == CircuitState.HalfOpen, "the cool-down is over");

        var tickets = await Task.WhenAll(
            Enumerable.Range(0, 200).Select(i => cluster.Nodes[i % 4].GetCircuitBreaker("short", _key).TryEnterAsync().AsTask()));
        var trials = tickets.Where(ticket => ticket.IsAdmitted).ToArray();
        trials.Should().HaveCount(2);
        (await outside.GetStatusAsync()).TrialsInFlight.Should().Be(2);

        foreach (var trial in trials)
            await trial.Succeed();
        (await outside.GetStatusAsync()).State.Should().Be(CircuitState.Closed);
        await trials[0].Fail();
        (await outside.GetStatusAsync()).ConsecutiveFailures.Should().Be(0, "a ticket is decided once");
    }

    [Fact]
    public async Task Breaker_TrialFailure_OpensAgain()
    {
        var breaker = cluster.Nodes[0].GetCircuitBreaker("short", _key);
        await breaker.TripAsync();
        await ToolkitCluster.EventuallyAsync(async () => (await breaker.GetStatusAsync()).State == CircuitState.HalfOpen, "the cool-down is over");
        var before = (await breaker.GetStatusAsync()).Generation;
        await FailAsync(cluster.Nodes[1].GetCircuitBreaker("short", _key));
        (await breaker.GetStatusAsync()).Generation.Should().BeGreaterThan(before);
    }

    [Fact]
    public async Task Breaker_KillSwitches_AreObeyedEverywhere()
    {
        await cluster.Nodes[0].GetCircuitBreaker("five", _key).IsolateAsync();
        await cluster.Nodes[1].GetCircuitBreaker("five", _key).TripAsync();
        await using (var ticket = await cluster.Nodes[2].GetCircuitBreaker("five", _key).TryEnterAsync())
            ticket.Should().Match<CircuitTicket>(it => !it.IsAdmitted && it.State == CircuitState.Isolated && it.RetryAfter == null);
        await cluster.Outside.GetCircuitBreaker("five", _key).ResetAsync();
        await using (var ticket = await cluster.Nodes[0].GetCircuitBreaker("five", _key).TryEnterAsync())
            ticket.IsAdmitted.Should().BeTrue();
    }

    /// <summary>B1, with calls under way on three silos and outside.</summary>
    [Fact]
    public async Task Breaker_TripWhileCallsAreUnderWay_LetsNobodyThroughOnceItHasReturned()
    {
        using var end = new CancellationTokenSource();
        var admittedAt = new System.Collections.Concurrent.ConcurrentQueue<long>();
        var admittedOnce = cluster.Nodes.Select(_ => new TaskCompletionSource()).ToArray();
        var callers = cluster.Nodes.Select((node, i) => Task.Run(async () =>
        {
            while (!end.IsCancellationRequested)
            {
                var at = System.Diagnostics.Stopwatch.GetTimestamp();
                var ticket = await node.GetCircuitBreaker("five", _key).TryEnterAsync();
                if (ticket.IsAdmitted)
                {
                    admittedAt.Enqueue(at);
                    admittedOnce[i].TrySetResult();
                }

                await Task.Yield();
                await ticket.Succeed();
            }
        })).ToArray();
        await Task.WhenAll(admittedOnce.Select(once => once.Task)).WaitAsync(TimeSpan.FromSeconds(20));

        var result = await cluster.Nodes[1].GetCircuitBreaker("five", _key).TripAsync("a test");
        var returnedAt = System.Diagnostics.Stopwatch.GetTimestamp();
        result.Acknowledged.Should().BeGreaterThanOrEqualTo(3, "all are told, and have 2 s to say so");
        (result.Acknowledged + result.RanOut).Should().Be(4);
        foreach (var node in cluster.Nodes)
            (await node.GetCircuitBreaker("five", _key).TryEnterAsync()).IsAdmitted.Should().BeFalse();
        await end.CancelAsync();
        await Task.WhenAll(callers);
        admittedAt.Should().NotBeEmpty().And.OnlyContain(at => at < returnedAt);
        (await cluster.Outside.GetCircuitBreaker("five", _key).GetStatusAsync())
            .Should().Match<CircuitBreakerStatus>(status => status.Cause == CircuitCause.Tripped && status.Reason == "a test");
    }

    [Fact]
    public async Task Breaker_CallsUnderWayWhenTripped_DoNotCountLater()
    {
        var breaker = cluster.Nodes[0].GetCircuitBreaker("picky", _key);
        var begun = await breaker.TryEnterAsync();
        await breaker.TripAsync();
        await breaker.ResetAsync();
        await begun.Fail();
        (await breaker.GetStatusAsync()).State.Should().Be(CircuitState.Closed);
    }

    [Fact]
    public async Task Breaker_WhatIsNoFailure_DoesNotOpenIt()
    {
        var breaker = cluster.Nodes[0].GetCircuitBreaker("picky", _key);
        await breaker.Awaiting(it => it.CallAsync(ValueTask (_) => throw new KeyNotFoundException()).AsTask())
            .Should().ThrowAsync<KeyNotFoundException>();
        using var cancellation = new CancellationTokenSource();
        await breaker.Awaiting(it => it.CallAsync(
            async token =>
            {
                await cancellation.CancelAsync();
                token.ThrowIfCancellationRequested();
            },
            cancellation.Token).AsTask()).Should().ThrowAsync<OperationCanceledException>();
        (await breaker.GetStatusAsync()).State.Should().Be(CircuitState.Closed);
        await FailAsync(breaker);
        (await breaker.GetStatusAsync()).State.Should().Be(CircuitState.Open);
    }

    [Fact]
    public async Task Breaker_UndecidedTicket_IsIgnoredWhenDisposed()
    {
        var breaker = cluster.Outside.GetCircuitBreaker("short", _key);
        await breaker.TripAsync();
        CircuitTicket? trial = null;
        await ToolkitCluster.EventuallyAsync(async () => (trial = await breaker.TryEnterAsync()).IsAdmitted, "the cool-down is over");
        trial!.Dispose();
        await ToolkitCluster.EventuallyAsync(async () => (await breaker.GetStatusAsync()).TrialsInFlight == 0, "the place is free");
        (await breaker.GetStatusAsync()).State.Should().Be(CircuitState.HalfOpen);
    }

    [Fact]
    public async Task Breaker_EveryShapeOfCall_ReturnsItsResult()
    {
        var breaker = cluster.Outside.GetCircuitBreaker("five", _key);
        (await breaker.CallAsync(static (state, _) => ValueTask.FromResult(state + 1), 1)).Should().Be(2);
        (await breaker.CallAsync(_ => Task.FromResult(3))).Should().Be(3);
        (await breaker.CallAsync(async _ =>
        {
            await Task.Yield();
            return 4;
        })).Should().Be(4);
        var ran = 0;
        await breaker.CallAsync((state, _) =>
        {
            ran += state;
            return ValueTask.CompletedTask;
        }, 5);
        await breaker.CallAsync(async _ =>
        {
            await Task.Yield();
            ran++;
        });
        ran.Should().Be(6);
    }

    [Fact]
    public async Task Grain_CalledDirectly_IsExact()
    {
        var grain = cluster.Grains.GetGrain<ICircuitBreakerGrain>($"picky/{_key}");
        var pass = await grain.EnterAsync();
        pass.IsAdmitted.Should().BeTrue();
        await grain.ReportAsync(pass, CircuitOutcome.Failed);
        (await grain.EnterAsync()).IsAdmitted.Should().BeFalse();
        await grain.ResetAsync();
        await grain.IsolateAsync();
        await grain.TripAsync();
        (await grain.GetStatusAsync()).State.Should().Be(CircuitState.Isolated);
        await grain.Awaiting(it => it.ReportAsync(pass, (CircuitOutcome)9).AsTask()).Should().ThrowAsync<ArgumentOutOfRangeException>();
    }

    private async Task<bool> IsAdmittedAsync(IReliabilityToolkit node)
    {
        await using var ticket = await node.GetCircuitBreaker("five", _key).TryEnterAsync();
        return ticket.IsAdmitted;
    }

    private static async Task FailAsync(ClusterCircuitBreaker breaker)
    {
        var error = new InvalidOperationException("downstream");
        (await breaker.Awaiting(it => it.CallAsync(ValueTask (_) => throw error).AsTask()).Should().ThrowAsync<InvalidOperationException>()).Which
            .Should().BeSameAs(error);
    }
}
