namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>What outlives an idle while, what outlives an activation, and what a change of policies does without a call.</summary>
[Collection(ClusterTests.Name)]
public sealed class ActivationClusterTests(ToolkitCluster cluster)
{
    private readonly string _key = ToolkitCluster.NewKey();

    [Fact]
    public async Task Limiter_WithTokensSpent_IsNotForgottenForBeingIdle()
    {
        // 50 tokens, one an hour: an activation that was collected for being idle would start full.
        var limiter = cluster.Outside.GetRateLimiter("fifty", _key);
        (await limiter.TryAcquireAsync(50)).IsAcquired.Should().BeTrue();
        await cluster.CollectIdleAsync();
        (await limiter.TryAcquireAsync()).IsAcquired.Should().BeFalse();
    }

    [Fact]
    public async Task Limiter_WithNothingSpent_IsLetGoWhenIdle()
    {
        var grain = cluster.Grains.GetGrain<IRateLimiterGrain>($"fifty/{_key}");
        await grain.GetStatusAsync();
        (await cluster.IsActiveAsync(grain)).Should().BeTrue();
        await CollectedAsync(grain);
    }

    [Fact]
    public async Task Breaker_AfterAReset_IsLetGoWhenIdle()
    {
        // One failure used to pin the activation for a day, also after a reset.
        var breaker = cluster.Outside.GetCircuitBreaker("five", _key);
        var grain = cluster.Grains.GetGrain<ICircuitBreakerGrain>($"five/{_key}");
        await using (var ticket = await breaker.TryEnterAsync())
            await ticket.Fail();
        await cluster.CollectIdleAsync();
        (await breaker.GetStatusAsync()).ConsecutiveFailures.Should().Be(1, "it is worth remembering");
        await grain.ResetAsync(); // of which no late copy can come; a node's is remembered for two minutes
        await CollectedAsync(grain);
    }

    [Fact]
    public async Task Breaker_Isolated_IsNotForgottenForBeingIdle()
    {
        var breaker = cluster.Outside.GetCircuitBreaker("five", _key);
        await breaker.IsolateAsync();
        await cluster.CollectIdleAsync();
        (await breaker.GetStatusAsync()).State.Should().Be(CircuitState.Isolated);
    }

    [Fact]
    public async Task Numbers_OfASuccessor_AreAboveThoseOfItsPredecessor()
    {
        // Else a holder of the lost activation renews somebody else's permit, and a late result counts in a round that it does not belong to.
        var pool = cluster.Grains.GetGrain<IBulkheadGrain>($"single/{_key}");
        var breaker = cluster.Grains.GetGrain<ICircuitBreakerGrain>($"five/{_key}");
        var (permit, pass) = ((await pool.AcquireAsync()).Permit, await breaker.EnterAsync());
        await ToolkitCluster.ForgetAsync(pool);
        await ToolkitCluster.ForgetAsync(breaker);
        await ToolkitCluster.EventuallyAsync(async () => (await pool.GetStatusAsync()).Holders.Count == 0, "a successor that knows no permit");
        (await pool.RenewAsync(permit)).Should().BeFalse();
        (await pool.AcquireAsync()).Permit.Should().BeGreaterThan(permit);
        await ToolkitCluster.EventuallyAsync(
            async () => (await breaker.EnterAsync()).Generation > pass.Generation, "a successor with a generation of its own");
        await breaker.ReportAsync(pass, CircuitOutcome.Failed);
        (await breaker.GetStatusAsync()).ConsecutiveFailures.Should().Be(0);
    }

    [Fact]
    public async Task PolicyChange_WithoutACall_ServesThoseWhoWait()
    {
        // A direct caller is held for half a second and asks once: only the change itself can serve him. Where the machine was too slow for that,
        // again.
        var pool = cluster.Grains.GetGrain<IBulkheadGrain>($"growing/{_key}");
        (await pool.AcquireAsync()).IsAcquired.Should().BeTrue();
        var capacity = 1;
        await ToolkitCluster.EventuallyAsync(
            async () =>
            {
                var waiter = pool.AcquireAsync().AsTask();
                var hasWaited = false;
                while (!waiter.IsCompleted && !hasWaited)
                    hasWaited = (await pool.GetStatusAsync()).Waiting == 1;
                ToolkitCluster.LivePolicies.Change("Bulkheads:growing:Capacity", $"{++capacity}");
                return (await waiter).IsAcquired && hasWaited;
            },
            "one who waits is served by the change");
    }

    [Fact]
    public async Task Name_ThatMeansNothing_IsNotKeptInMemory()
    {
        var grain = cluster.Grains.GetGrain<IRateLimiterGrain>($"nowhere/{_key}");
        await grain.Awaiting(it => it.TryAcquireAsync().AsTask()).Should().ThrowAsync<UnknownPolicyException>();
        await ToolkitCluster.EventuallyAsync(async () => !await cluster.IsActiveAsync(grain), "it has gone, without being collected");
    }

    [Fact]
    public async Task PolicyChange_FollowedByAStatusAlone_ExtendsTheKeep()
    {
        var breaker = cluster.Grains.GetGrain<ICircuitBreakerGrain>($"live/{_key}");
        await breaker.ReportAsync(await breaker.EnterAsync(), CircuitOutcome.Failed);
        ToolkitCluster.LivePolicies.Change("CircuitBreakers:live:CoolDown", "10:00:00");
        await breaker.ResetAsync();
        await breaker.ReportAsync(await breaker.EnterAsync(), CircuitOutcome.Failed);
        (await breaker.GetStatusAsync()).State.Should().Be(CircuitState.Open);
        await cluster.CollectIdleAsync();
        (await breaker.GetStatusAsync()).State.Should().Be(CircuitState.Open);
    }

    [Fact]
    public async Task PolicyTakenOut_WhileCallersWait_TellsThemAndLeavesNothing()
    {
        var pool = cluster.Outside.GetBulkhead("going", _key);
        var permit = await pool.AcquireAsync();
        var waiter = cluster.Nodes[0].GetBulkhead("going", _key).AcquireAsync().AsTask();
        await ToolkitCluster.EventuallyAsync(async () => (await pool.GetStatusAsync()).Waiting == 1, "one waits");
        ToolkitCluster.LivePolicies.Change("Bulkheads:going:Capacity", null);
        await waiter.Awaiting(task => task.WaitAsync(TimeSpan.FromSeconds(20))).Should().ThrowAsync<UnknownPolicyException>();
        ToolkitCluster.LivePolicies.Change("Bulkheads:going:Capacity", "1");
        await ToolkitCluster.EventuallyAsync(
            async () => (await pool.GetStatusAsync()).Holders.Count == 1, "the policy is back, and what was held is still held");
        (await pool.GetStatusAsync()).Waiting.Should().Be(0);
        permit.Dispose();
        await ToolkitCluster.EventuallyAsync(async () => (await pool.GetStatusAsync()).AvailableSlots == 1, "the slot is nobody's");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Bulkhead_DeactivatedWhileOneWaits_AnswersOthersInTime(bool isDirect)
    {
        // A held call keeps an activation from ending, and everybody else waits for that: it was held for 5 s, and all others were told
        // "unavailable". No tick of a grain's timer ends it either, once the others' calls stand in the queue.
        var bulkhead = cluster.Outside.GetBulkhead("single", _key);
        var grain = cluster.Grains.GetGrain<IBulkheadGrain>($"single/{_key}");
        using var permit = await bulkhead.AcquireAsync();
        using var enough = new CancellationTokenSource();
        var waiter = isDirect
            ? grain.AcquireAsync().AsTask()
            : (Task)cluster.Nodes[0].GetBulkhead("single", _key).AcquireAsync(1, enough.Token).AsTask();
        await ToolkitCluster.EventuallyAsync(async () => (await bulkhead.GetStatusAsync()).Waiting == 1, "one waits");
        await ToolkitCluster.ForgetAsync(grain);
        var answers = await Task.WhenAll(cluster.Nodes.Select(node => node.GetBulkhead("single", _key).TryAcquireAsync().AsTask()));
        foreach (var answer in answers)
        {
            if (answer.TryGetMetadata(ToolkitMetadata.Reason, out var reason))
                reason.Should().NotBe(RefusalReason.AuthorityUnavailable);
            answer.Dispose();
        }

        await enough.CancelAsync();
        await waiter.ContinueWith(static task => _ = task.Exception, TaskScheduler.Default);
    }

    private async Task CollectedAsync(IAddressable grain) => await ToolkitCluster.EventuallyAsync(
        async () =>
        {
            await cluster.CollectIdleAsync();
            return !await cluster.IsActiveAsync(grain);
        },
        "it is let go");
}
