namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>Policies of one name's own, set and cleared at run time; and shadow mode, which they may be in.</summary>
[Collection(ClusterTests.Name)]
public sealed class OwnPolicyClusterTests(ToolkitCluster cluster)
{
    private static readonly TimeSpan Hour = TimeSpan.FromHours(1);

    private readonly string _key = ToolkitCluster.NewKey();

    private ClusterRateLimiter Fifty => cluster.Outside.GetRateLimiter("fifty", _key);

    [Fact]
    public async Task Limiter_ItsOwnPolicy_HoldsForItAloneAndWhatWasSpentStaysSpent()
    {
        (await Fifty.TryAcquireAsync(40)).IsAcquired.Should().BeTrue();
        (await Fifty.SetPolicyAsync(new RateLimiterPolicy { Burst = 500, TokensPerPeriod = 1, Period = Hour }, version: 7)).Should().BeTrue();
        (await Fifty.GetStatusAsync()).Should().Match<RateLimiterStatus>(it => it.Burst == 500 && it.AvailableTokens == 10 && it.PolicyVersion == 7);
        (await cluster.Nodes[0].GetRateLimiter("fifty", _key).TryAcquireAsync(11)).IsAcquired.Should().BeFalse();
        (await cluster.Outside.GetRateLimiter("fifty", _key + "/other").GetStatusAsync()).Burst.Should().Be(50);

        (await Fifty.SetPolicyAsync(new RateLimiterPolicy { Burst = 1 }, version: 6)).Should().BeFalse("it is older");
        (await Fifty.ClearPolicyAsync(version: 6)).Should().BeFalse();
        (await Fifty.SetPolicyAsync(new RateLimiterPolicy { Burst = 1 }, version: 7)).Should().BeFalse("another was set with that version");
        (await Fifty.SetPolicyAsync(new RateLimiterPolicy { Burst = 500, TokensPerPeriod = 1, Period = Hour }, version: 7))
            .Should().BeTrue("that is the one in force");
        (await Fifty.GetStatusAsync()).Burst.Should().Be(500);
        (await Fifty.ClearPolicyAsync(version: 8)).Should().BeTrue();
        (await Fifty.GetStatusAsync()).Should().Match<RateLimiterStatus>(it => it.Burst == 50 && it.AvailableTokens == 10 && it.PolicyVersion == 8);
        (await Fifty.SetPolicyAsync(new RateLimiterPolicy { Burst = 1 }, version: 7)).Should().BeFalse("it was cleared since");
    }

    [Fact]
    public async Task Breaker_ItsOwnPolicy_HoldsAndSurvivesAReloadOfTheConfiguredOnes()
    {
        var breaker = cluster.Outside.GetCircuitBreaker("live", _key);
        (await breaker.SetPolicyAsync(new CircuitBreakerPolicy { FailureThreshold = 3 }, 1)).Should().BeTrue();
        ToolkitCluster.LivePolicies.Change("CircuitBreakers:live:CoolDown", "00:00:20");
        for (var i = 0; i < 2; i++)
        {
            await breaker.Awaiting(it => it.CallAsync(static _ => ValueTask.FromException(new TimeoutException())).AsTask())
                .Should().ThrowAsync<TimeoutException>();
        }

        (await breaker.GetStatusAsync()).Should().Match<CircuitBreakerStatus>(it => it.State == CircuitState.Closed && it.PolicyVersion == 1);
        (await breaker.ClearPolicyAsync(2)).Should().BeTrue();
        (await breaker.GetStatusAsync()).State.Should().Be(CircuitState.Open, "two failures are enough for the configured one");
    }

    [Fact]
    public async Task Bulkhead_ItsOwnPolicy_LendsMoreToWhoeverWaits()
    {
        var bulkhead = cluster.Outside.GetBulkhead("single", _key);
        using var first = await bulkhead.AcquireAsync();
        var second = bulkhead.AcquireAsync().AsTask();
        second.IsCompleted.Should().BeFalse();
        (await bulkhead.SetPolicyAsync(new BulkheadPolicy { Capacity = 2 }, 1)).Should().BeTrue();
        using var permit = await second.WaitAsync(TimeSpan.FromSeconds(20));
        permit.IsAcquired.Should().BeTrue();
        (await bulkhead.GetStatusAsync()).Should().Match<BulkheadStatus>(it => it.Capacity == 2 && it.PolicyVersion == 1);
    }

    [Fact]
    public async Task Grains_SetTheirPoliciesToo()
    {
        var grain = cluster.Grains.GetGrain<IRateLimiterGrain>($"fifty/{_key}");
        (await grain.SetPolicyAsync(new RateLimiterPolicy { Burst = 3, TokensPerPeriod = 1, Period = Hour }, 1)).Should().BeTrue();
        (await grain.TryAcquireAsync(3)).Should().BeTrue();
        (await grain.ClearPolicyAsync(2)).Should().BeTrue();
        (await grain.GetStatusAsync()).Burst.Should().Be(50);
        var breaker = cluster.Grains.GetGrain<ICircuitBreakerGrain>($"five/{_key}");
        (await breaker.SetPolicyAsync(new CircuitBreakerPolicy { FailureThreshold = 1 }, 1)).Should().BeTrue();
        await breaker.ReportAsync(await breaker.EnterAsync(), CircuitOutcome.Failed);
        (await breaker.GetStatusAsync()).State.Should().Be(CircuitState.Open);
        (await breaker.ClearPolicyAsync(2)).Should().BeTrue();
        var bulkhead = cluster.Grains.GetGrain<IBulkheadGrain>($"single/{_key}");
        (await bulkhead.SetPolicyAsync(new BulkheadPolicy { Capacity = 2 }, 1)).Should().BeTrue();
        (await bulkhead.TryAcquireAsync(2)).IsAcquired.Should().BeTrue();
        (await bulkhead.ClearPolicyAsync(2)).Should().BeTrue();
    }

    [Fact]
    public async Task Policies_ThatAreNone_AreRefusedAndChangeNothing()
    {
        await Fifty.Awaiting(it => it.SetPolicyAsync(new RateLimiterPolicy { Burst = 0 }, 1).AsTask())
            .Should().ThrowAsync<ArgumentException>().WithMessage("*Burst is 0*").WithParameterName("policy");
        await Fifty.Awaiting(it => it.SetPolicyAsync(null!, 1).AsTask()).Should().ThrowAsync<ArgumentNullException>().WithParameterName("policy");
        await Fifty.Awaiting(it => it.SetPolicyAsync(new RateLimiterPolicy(), 0).AsTask())
            .Should().ThrowAsync<ArgumentOutOfRangeException>().WithParameterName("version");
        await cluster.Grains.GetGrain<IRateLimiterGrain>($"fifty/{_key}")
            .Awaiting(it => it.SetPolicyAsync(new RateLimiterPolicy { Burst = 0 }, 1).AsTask())
            .Should().ThrowAsync<ArgumentException>();
        await cluster.Outside.GetRateLimiter("unknown-policy", _key).Awaiting(it => it.SetPolicyAsync(new RateLimiterPolicy(), 1).AsTask())
            .Should().ThrowAsync<UnknownPolicyException>();
        (await Fifty.GetStatusAsync()).Should().Match<RateLimiterStatus>(it => it.Burst == 50 && it.PolicyVersion == 0);
    }

    [Fact]
    public async Task Shadow_OfALimiter_AdmitsEverybodyAndCountsWhomItWouldRefuse()
    {
        await Fifty.SetPolicyAsync(new RateLimiterPolicy { Burst = 2, TokensPerPeriod = 1, Period = Hour, Enforce = false }, 1);
        for (var i = 0; i < 5; i++)
            (await Fifty.TryAcquireAsync()).IsAcquired.Should().BeTrue();
        (await Fifty.AcquireAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(20))).IsAcquired.Should().BeTrue("nobody waits either");
        Fifty.AttemptAcquire().IsAcquired.Should().BeTrue();
        Fifty.GetStatistics()!.TotalFailedLeases.Should().Be(5, "two of the seven had tokens");
        (await cluster.Grains.GetGrain<IRateLimiterGrain>($"fifty/{_key}").TryAcquireAsync()).Should().BeTrue();
        (await cluster.Grains.GetGrain<IRateLimiterGrain>($"fifty/{_key}").AcquireAsync()).Should().BeTrue();
        (await Fifty.GetStatusAsync()).AvailableTokens.Should().Be(0, "it was decided as ever");

        await Fifty.SetPolicyAsync(new RateLimiterPolicy { Burst = 2, TokensPerPeriod = 1, Period = Hour }, 2);
        await ToolkitCluster.EventuallyAsync(
            async () => !(await Fifty.TryAcquireAsync()).IsAcquired,
            "now it is meant; a node that was told to come back in an hour hears it all the same");
    }

    [Fact]
    public async Task Shadow_OfABreaker_LetsEveryCallThroughAndKeepsItsState()
    {
        var breaker = cluster.Outside.GetCircuitBreaker("five", _key);
        await breaker.SetPolicyAsync(new CircuitBreakerPolicy { FailureThreshold = 1, CoolDown = Hour, Enforce = false }, 1);
        await breaker.Awaiting(it => it.CallAsync(static _ => ValueTask.FromException(new TimeoutException())).AsTask())
            .Should().ThrowAsync<TimeoutException>();
        (await breaker.GetStatusAsync()).State.Should().Be(CircuitState.Open);
        (await breaker.CallAsync(static _ => new ValueTask<int>(7))).Should().Be(7);
        await breaker.Awaiting(it => it.CallAsync(static _ => ValueTask.FromException(new TimeoutException())).AsTask())
            .Should().ThrowAsync<TimeoutException>();
        await breaker.IsolateAsync();
        (await breaker.TryEnterAsync()).IsAdmitted.Should().BeTrue("also of a kill switch");
        var grain = cluster.Grains.GetGrain<ICircuitBreakerGrain>($"five/{_key}");
        var pass = await grain.EnterAsync();
        pass.IsAdmitted.Should().BeTrue();
        await grain.ReportAsync(pass, CircuitOutcome.Succeeded);
        (await breaker.GetStatusAsync()).State.Should().Be(CircuitState.Isolated, "what such a call comes to does not count");
    }

    [Fact]
    public async Task Shadow_OfABulkhead_AdmitsEverybodyAlsoWhenItIsClosed()
    {
        var bulkhead = cluster.Outside.GetBulkhead("single", _key);
        await bulkhead.SetPolicyAsync(new BulkheadPolicy { Capacity = 1, Enforce = false }, 1);
        using var first = await bulkhead.AcquireAsync();
        var second = await bulkhead.AcquireAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        (second.IsAcquired, second.IsHeld, second.FencingToken).Should().Be((true, true, 0));
        second.Lost.IsCancellationRequested.Should().BeFalse();
        second.Dispose();
        second.Dispose();
        second.IsHeld.Should().BeFalse();
        (await bulkhead.GetStatusAsync()).Should().Match<BulkheadStatus>(it => it.AvailableSlots == 0 && it.Holders.Count == 1);
        await bulkhead.CloseAsync();
        (await bulkhead.TryAcquireAsync()).IsAcquired.Should().BeTrue();
        (await cluster.Grains.GetGrain<IBulkheadGrain>($"single/{_key}").TryAcquireAsync())
            .Should().Match<SlotPermit>(it => it.IsAcquired && it.Permit == 0);
    }
}
