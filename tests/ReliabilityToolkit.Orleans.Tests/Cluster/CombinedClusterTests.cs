using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>Several limits as one, on real grains.</summary>
[Collection(ClusterTests.Name)]
public sealed class CombinedClusterTests(ToolkitCluster cluster)
{
    private readonly string _key = ToolkitCluster.NewKey();

    private IReliabilityToolkit Toolkit => cluster.Outside;

    private ClusterRateLimiter Fifty => Toolkit.GetRateLimiter("fifty", _key);

    private ClusterRateLimiter One => Toolkit.GetRateLimiter("one", _key);

    private ClusterBulkhead Single => Toolkit.GetBulkhead("single", _key);

    [Fact]
    public async Task Combined_AllHave_IsOneLeaseAndDisposingItFreesTheSlot()
    {
        var all = Toolkit.Combine(Single, One, Fifty);
        all.Limiters.Should().Equal([Fifty, One, Single], "tokens before slots, and by name");
        var lease = await all.AcquireAsync();
        lease.IsAcquired.Should().BeTrue();
        lease.Leases.Should().HaveCount(3).And.ContainSingle(it => it is BulkheadPermit);
        (await Single.TryAcquireAsync()).IsAcquired.Should().BeFalse();
        lease.Dispose();
        (await Single.TryAcquireAsync()).IsAcquired.Should().BeTrue();
        (await Fifty.GetStatusAsync()).AvailableTokens.Should().Be(49);
    }

    [Fact]
    public async Task Combined_OneRefuses_LeavesTheOthersAsTheyWereAndSaysWho()
    {
        (await One.TryAcquireAsync()).IsAcquired.Should().BeTrue();
        var lease = await Toolkit.Combine(Fifty, One).WithoutWaiting().AcquireAsync();
        lease.IsAcquired.Should().BeFalse();
        lease.Invoking(it => it.EnsureAcquired()).Should().Throw<RateLimitedException>()
            .Which.Should().Match<RateLimitedException>(e => e.Policy == "one" && e.Key == _key && e.RetryAfter > TimeSpan.FromMinutes(30));
        await ToolkitCluster.EventuallyAsync(
            async () => (await Fifty.GetStatusAsync()).AvailableTokens == 50, "what was taken is given back");
    }

    [Fact]
    public async Task Combined_OneThrows_LeavesTheOthersAsTheyWere()
    {
        var closed = Toolkit.GetBulkhead("triple", _key);
        await closed.CloseAsync();
        await Toolkit.Combine(Fifty, closed).Awaiting(it => it.AcquireAsync().AsTask()).Should().ThrowAsync<BulkheadClosedException>();
        var unknown = Toolkit.GetRateLimiter("unknown-policy", _key);
        await Toolkit.Combine(Fifty, unknown).Awaiting(it => it.AcquireAsync().AsTask()).Should().ThrowAsync<UnknownPolicyException>();
        Toolkit.Combine(Fifty).Invoking(it => it.AttemptAcquire(51)).Should().Throw<ArgumentOutOfRangeException>().WithParameterName("permitCount");
        await ToolkitCluster.EventuallyAsync(
            async () => (await Fifty.GetStatusAsync()).AvailableTokens == 50, "what was taken is given back");
    }

    [Fact]
    public async Task Combined_CancelledWait_LeavesTheOthersAsTheyWere()
    {
        using var held = await Single.AcquireAsync();
        using var cancellation = new CancellationTokenSource();
        var waiting = Toolkit.Combine(Fifty, Single).AcquireAsync(1, cancellation.Token).AsTask();
        await ToolkitCluster.EventuallyAsync(() => Task.FromResult(Single.GetStatistics()!.CurrentQueuedCount == 1), "it waits");
        await cancellation.CancelAsync();
        await waiting.Awaiting(it => it).Should().ThrowAsync<OperationCanceledException>();
        await ToolkitCluster.EventuallyAsync(
            async () => (await Fifty.GetStatusAsync()).AvailableTokens == 50, "what was taken is given back");
    }

    [Fact]
    public async Task Combined_WithOthers_IsARateLimiterLikeAnyOther()
    {
        using var local = new ConcurrencyLimiter(new ConcurrencyLimiterOptions { PermitLimit = 1 });
        RateLimiter all = Toolkit.Combine(Toolkit.Combine(Fifty), local);
        (all as CombinedRateLimiter)!.Limiters.Should().Equal(Fifty, local);
        using (var lease = await all.AcquireAsync())
        {
            lease.IsAcquired.Should().BeTrue();
            (await all.AcquireAsync()).IsAcquired.Should().BeFalse();
        }

        local.GetStatistics()!.CurrentAvailablePermits.Should().Be(1);
        all.IdleDuration.Should().NotBeNull();
        all.GetStatistics().Should().BeNull();
        var settled = (await ((CombinedRateLimiter)all).AcquireAsync(1))!;
        settled.Settle(0);
        await ToolkitCluster.EventuallyAsync(
            async () => (await Fifty.GetStatusAsync()).AvailableTokens == 49, "one was spent, one refused, and one settled to nothing");
    }

    [Fact]
    public async Task Combined_ManyCallersInAnyOrder_NoneWaitsForEver()
    {
        var (left, right) = (Toolkit.GetBulkhead("single", _key + "-left"), Toolkit.GetBulkhead("single", _key + "-right"));
        CombinedRateLimiter[] both = [Toolkit.Combine(left, right), Toolkit.Combine(right, left)];
        await Task.WhenAll(Enumerable.Range(0, 40).Select(async i =>
        {
            using var lease = await both[i % 2].AcquireAsync();
            lease.IsAcquired.Should().BeTrue();
            await Task.Yield();
        })).WaitAsync(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public async Task Combined_WithOneInShadowMode_GivesBackNothingThatWasNotTaken()
    {
        await Fifty.SetPolicyAsync(new RateLimiterPolicy { Burst = 2, TokensPerPeriod = 1, Period = TimeSpan.FromHours(1), Enforce = false }, 1);
        (await Fifty.TryAcquireAsync(2)).IsAcquired.Should().BeTrue();
        (await One.TryAcquireAsync()).IsAcquired.Should().BeTrue();
        for (var i = 0; i < 5; i++)
            (await Toolkit.Combine(Fifty, One).WithoutWaiting().AcquireAsync()).IsAcquired.Should().BeFalse();
        (await Fifty.GetStatusAsync()).AvailableTokens.Should().Be(0, "it had none, and would have refused");
        (await Fifty.AcquireEstimatedAsync(1)).Settle(0).Should().Be(default(Settlement));
        (await Fifty.AcquireEstimatedAsync(1)).Settle(9).Should().Be(default(Settlement));
    }

    [Fact]
    public void Combine_OfNothingOrOfOneTwice_IsRefused()
    {
        Toolkit.Invoking(it => it.Combine()).Should().Throw<ArgumentException>().WithParameterName("limiters");
        Toolkit.Invoking(it => it.Combine(Fifty, null!)).Should().Throw<ArgumentException>().WithParameterName("limiters");
        Toolkit.Invoking(it => it.Combine(Fifty, Fifty.WithoutWaiting())).Should().Throw<ArgumentException>().WithParameterName("limiters");
    }
}
