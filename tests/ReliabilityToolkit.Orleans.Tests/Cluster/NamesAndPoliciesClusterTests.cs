namespace ReliabilityToolkit.Orleans.Tests;

[Collection(ClusterTests.Name)]
public sealed class NamesAndPoliciesClusterTests(ToolkitCluster cluster)
{
    [Fact]
    public async Task Policy_Unknown_IsToldToEveryCallerWithTheKnownOnes()
    {
        foreach (var node in cluster.Nodes)
        {
            var limiter = await node.GetRateLimiter("nowhere", "a").Awaiting(it => it.TryAcquireAsync().AsTask())
                .Should().ThrowAsync<UnknownPolicyException>();
            limiter.Which.KnownPolicies.Should().Equal("fifty", "one", "pair", "quick", "wide");
            limiter.Which.Policy.Should().Be("nowhere");
            await node.GetRateLimiter("nowhere").Awaiting(it => it.AcquireAsync().AsTask()).Should().ThrowAsync<UnknownPolicyException>();
            await node.GetRateLimiter("nowhere").Awaiting(it => it.GetStatusAsync().AsTask()).Should().ThrowAsync<UnknownPolicyException>();
            await node.GetRateLimiter("nowhere").Awaiting(it => it.ResetAsync()).Should().ThrowAsync<UnknownPolicyException>();
            var breaker = node.GetCircuitBreaker("nowhere");
            await breaker.Awaiting(it => it.CallAsync(_ => ValueTask.CompletedTask).AsTask()).Should().ThrowAsync<UnknownPolicyException>();
            await breaker.Awaiting(it => it.TryEnterAsync().AsTask()).Should().ThrowAsync<UnknownPolicyException>();
            await breaker.Awaiting(it => it.TripAsync()).Should().ThrowAsync<UnknownPolicyException>();
            var bulkhead = node.GetBulkhead("nowhere");
            await bulkhead.Awaiting(it => it.AcquireAsync().AsTask()).Should().ThrowAsync<UnknownPolicyException>();
            await bulkhead.Awaiting(it => it.CloseAsync()).Should().ThrowAsync<UnknownPolicyException>();
        }

        await cluster.Grains.GetGrain<IRateLimiterGrain>("nowhere/a").Awaiting(it => it.TryAcquireAsync().AsTask())
            .Should().ThrowAsync<UnknownPolicyException>();
        await cluster.Grains.GetGrain<ICircuitBreakerGrain>("nowhere").Awaiting(it => it.EnterAsync().AsTask())
            .Should().ThrowAsync<UnknownPolicyException>();
        await cluster.Grains.GetGrain<IBulkheadGrain>("nowhere").Awaiting(it => it.ReleaseAsync(1).AsTask())
            .Should().ThrowAsync<UnknownPolicyException>();
    }

    [Theory]
    [InlineData("")]
    [InlineData("a b")]
    [InlineData("a/b")]
    [InlineData("a\n")]
    [InlineData("12345678901234567890123456789012345678901234567890123456789012345")]
    public async Task PolicyName_Illegal_IsRefusedByTheToolkitAndByTheGrains(string policy)
    {
        cluster.Outside.Invoking(it => it.GetRateLimiter(policy)).Should().Throw<ArgumentException>();
        cluster.Outside.Invoking(it => it.GetCircuitBreaker(policy)).Should().Throw<ArgumentException>();
        cluster.Outside.Invoking(it => it.GetBulkhead(policy)).Should().Throw<ArgumentException>();
        if (policy.Length is 0 || policy == "a/b")
            return; // Orleans itself refuses an empty key; and to a grain, a slash begins the key
        await cluster.Grains.GetGrain<IRateLimiterGrain>(policy).Awaiting(it => it.TryAcquireAsync().AsTask())
            .Should().ThrowAsync<ArgumentException>();
        await cluster.Grains.GetGrain<ICircuitBreakerGrain>(policy).Awaiting(it => it.EnterAsync().AsTask()).Should().ThrowAsync<ArgumentException>();
        await cluster.Grains.GetGrain<IBulkheadGrain>(policy).Awaiting(it => it.GetStatusAsync().AsTask()).Should().ThrowAsync<ArgumentException>();
    }

    public static TheoryData<string> IllegalKeys => new("", "a\tb", "\u0000", new string('k', 257));

    [Theory]
    [MemberData(nameof(IllegalKeys))]
    public async Task Key_Illegal_IsRefusedByTheToolkitAndByTheGrains(string key)
    {
        cluster.Outside.Invoking(it => it.GetRateLimiter("fifty", key)).Should().Throw<ArgumentException>().WithParameterName(nameof(key));
        cluster.Outside.Invoking(it => it.GetCircuitBreaker("five", key)).Should().Throw<ArgumentException>();
        cluster.Outside.Invoking(it => it.GetBulkhead("single", key)).Should().Throw<ArgumentException>();
        await cluster.Grains.GetGrain<IRateLimiterGrain>($"fifty/{key}").Awaiting(it => it.TryAcquireAsync().AsTask())
            .Should().ThrowAsync<ArgumentException>();
    }

    [Fact]
    public void PolicyName_Null_IsRefused()
    {
        cluster.Outside.Invoking(it => it.GetRateLimiter(null!)).Should().Throw<ArgumentNullException>();
        cluster.Outside.Invoking(it => it.GetCircuitBreaker(null!)).Should().Throw<ArgumentNullException>();
        cluster.Outside.Invoking(it => it.GetBulkhead(null!)).Should().Throw<ArgumentNullException>();
    }

    [Fact]
    public async Task Operation_Null_IsRefusedAndNothingCounts()
    {
        var breaker = cluster.Outside.GetCircuitBreaker("picky", ToolkitCluster.NewKey());
        await breaker.Awaiting(it => it.CallAsync((Func<CancellationToken, ValueTask>)null!).AsTask()).Should().ThrowAsync<ArgumentNullException>();
        await breaker.Awaiting(it => it.CallAsync((Func<CancellationToken, Task>)null!).AsTask()).Should().ThrowAsync<ArgumentNullException>();
        await breaker.Awaiting(it => it.CallAsync((Func<CancellationToken, Task<int>>)null!).AsTask()).Should().ThrowAsync<ArgumentNullException>();
        await breaker.Awaiting(it => it.CallAsync<int, int>(null!, 1).AsTask()).Should().ThrowAsync<ArgumentNullException>();
        (await breaker.GetStatusAsync()).State.Should().Be(CircuitState.Closed);
        FluentActions.Invoking(() => ((BulkheadPermit)null!).EnsureAcquired()).Should().Throw<ArgumentNullException>();
    }

    [Fact]
    public void Toolkit_SameName_IsTheSameObject()
    {
        cluster.Outside.GetRateLimiter("fifty", "same").Should().BeSameAs(cluster.Outside.GetRateLimiter("fifty", "same"));
        cluster.Outside.GetRateLimiter("fifty").Should().NotBeSameAs(cluster.Outside.GetRateLimiter("fifty", "same"));
    }
}
