using System.Diagnostics;
using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans.Tests;

[Collection(ClusterTests.Name)]
public sealed class RateLimiterClusterTests(ToolkitCluster cluster)
{
    private readonly string _key = ToolkitCluster.NewKey();

    [Fact]
    public async Task Limiter_EveryNodeAtOnce_AdmitsTheBurstAndNoMore()
    {
        var leases = await Task.WhenAll(
            cluster.Nodes.SelectMany(node => Enumerable.Range(0, 40).Select(_ => node.GetRateLimiter("fifty", _key).TryAcquireAsync().AsTask())));
        leases.Count(lease => lease.IsAcquired).Should().Be(50);
        var refused = leases.First(lease => !lease.IsAcquired);
        refused.TryGetMetadata(MetadataName.RetryAfter, out var retryAfter).Should().BeTrue();
        retryAfter.Should().BeGreaterThan(TimeSpan.FromMinutes(59)).And.BeLessThanOrEqualTo(TimeSpan.FromHours(1));
        refused.TryGetMetadata(ToolkitMetadata.Reason, out var reason).Should().BeTrue();
        reason.Should().Be(RefusalReason.RateLimited);
        refused.Invoking(lease => lease.EnsureAcquired()).Should().Throw<RateLimitedException>().Which.RetryAfter.Should().Be(retryAfter);
    }

    [Fact]
    public async Task Limiter_OtherKeysOfThePolicy_HaveTheirOwnTokens()
    {
        (await cluster.Nodes[0].GetRateLimiter("one", _key).TryAcquireAsync()).IsAcquired.Should().BeTrue();
        (await cluster.Nodes[1].GetRateLimiter("one", _key).TryAcquireAsync()).IsAcquired.Should().BeFalse();
        (await cluster.Nodes[2].GetRateLimiter("one", _key + "/other").TryAcquireAsync()).IsAcquired.Should().BeTrue();
    }

    [Fact]
    public async Task Limiter_WaitersOnEveryNode_AreAllServedAtTheRate()
    {
        var watch = Stopwatch.StartNew();
        var leases = await Task.WhenAll(
            cluster.Nodes.SelectMany(node => Enumerable.Range(0, 5).Select(_ => node.GetRateLimiter("quick", _key).AcquireAsync().AsTask())));
        leases.Should().OnlyContain(lease => lease.IsAcquired);
        watch.Elapsed.Should().BeGreaterThanOrEqualTo(TimeSpan.FromMilliseconds(19 * 20), "one at once, and one each 20 ms");
    }

    [Fact]
    public async Task Limiter_CancelledWait_EndsAtOnceAndLeavesTheLine()
    {
        var limiter = cluster.Outside.GetRateLimiter("one", _key);
        await limiter.TryAcquireAsync();
        using var cancellation = new CancellationTokenSource();
        var (first, second) = (
            limiter.AcquireAsync(1, cancellation.Token).AsTask(),
            cluster.Nodes[0].GetRateLimiter("one", _key).AcquireAsync(1, cancellation.Token).AsTask());
        await ToolkitCluster.EventuallyAsync(async () => (await limiter.GetStatusAsync()).Waiting == 2, "two wait");
        var refused = await cluster.Nodes[1].GetRateLimiter("one", _key).AcquireAsync();
        refused.TryGetMetadata(ToolkitMetadata.Reason, out var reason).Should().BeTrue();
        reason.Should().Be(RefusalReason.QueueFull);

        await cancellation.CancelAsync();
        await first.Awaiting(task => task).Should().ThrowAsync<OperationCanceledException>();
        await second.Awaiting(task => task).Should().ThrowAsync<OperationCanceledException>();
        await ToolkitCluster.EventuallyAsync(async () => (await limiter.GetStatusAsync()).Waiting == 0, "both have left the line");
        limiter.GetStatistics()!.CurrentQueuedCount.Should().Be(0);
    }

    [Fact]
    public async Task Limiter_ResetAndStatus_AreTheClusters()
    {
        await cluster.Nodes[0].GetRateLimiter("fifty", _key).AcquireAsync(50);
        (await cluster.Nodes[1].GetRateLimiter("fifty", _key).GetStatusAsync()).AvailableTokens.Should().Be(0);
        await cluster.Nodes[2].GetRateLimiter("fifty", _key).ResetAsync();
        (await cluster.Outside.GetRateLimiter("fifty", _key).GetStatusAsync())
            .Should().Be(new RateLimiterStatus(AvailableTokens: 50, Burst: 50, TokensPerPeriod: 1, Period: TimeSpan.FromHours(1), Waiting: 0));
    }

    [Fact]
    public async Task Limiter_RepeatedRequest_SpendsOnce()
    {
        var authority = cluster.Grains.GetGrain<IRateLimiterProtocol>($"fifty/{_key}");
        var request = new TokenRequest(new Asker(9).Next(), 30, MayWait: false);
        var answers = await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => authority.AcquireAsync(request).AsTask()));
        answers.Should().OnlyContain(answer => answer.IsGranted);
        (await authority.GetStatusAsync()).AvailableTokens.Should().Be(20);
    }

    [Fact]
    public async Task Grain_OneCallWithoutTheClientLibrary_Answers()
    {
        var grainFactory = cluster.Grains;
        // <grain>
        bool ok = await grainFactory.GetGrain<IRateLimiterGrain>("fifty/tenant-42").TryAcquireAsync();
        // </grain>
        ok.Should().BeTrue();
    }

    [Fact]
    public async Task Grain_CalledDirectly_IsExact()
    {
        var grain = cluster.Grains.GetGrain<IRateLimiterGrain>($"one/{_key}");
        (await grain.TryAcquireAsync()).Should().BeTrue();
        (await grain.TryAcquireAsync()).Should().BeFalse();
        (await grain.AcquireAsync()).Should().BeFalse("the next token is an hour away");
        (await grain.GetStatusAsync()).Waiting.Should().Be(0);
        await grain.ResetAsync();
        (await grain.AcquireAsync()).Should().BeTrue();

        var quick = cluster.Grains.GetGrain<IRateLimiterGrain>($"quick/{_key}");
        (await Task.WhenAll(Enumerable.Range(0, 5).Select(_ => quick.AcquireAsync().AsTask()))).Should().OnlyContain(isAcquired => isAcquired);
    }

    [Fact]
    public async Task Limiter_AttemptAcquire_SaysNoForWantOfAStock()
    {
        using var lease = cluster.Outside.GetRateLimiter("fifty", _key).AttemptAcquire();
        lease.IsAcquired.Should().BeFalse();
        lease.TryGetMetadata(ToolkitMetadata.Reason, out var reason).Should().BeTrue();
        reason.Should().Be(RefusalReason.NoLocalStock);
        await Task.CompletedTask;
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(51)]
    public async Task Limiter_TokensOutsideOneToBurst_ThrowsAndSpendsNothing(int tokens)
    {
        var limiter = cluster.Outside.GetRateLimiter("fifty", _key);
        var grain = cluster.Grains.GetGrain<IRateLimiterGrain>($"fifty/{_key}");
        await limiter.Awaiting(it => it.TryAcquireAsync(tokens).AsTask()).Should().ThrowAsync<ArgumentOutOfRangeException>();
        await limiter.Awaiting(it => it.AcquireAsync(tokens).AsTask()).Should().ThrowAsync<ArgumentOutOfRangeException>();
        await grain.Awaiting(it => it.TryAcquireAsync(tokens).AsTask()).Should().ThrowAsync<ArgumentOutOfRangeException>();
        await grain.Awaiting(it => it.AcquireAsync(tokens).AsTask()).Should().ThrowAsync<ArgumentOutOfRangeException>();
        (await limiter.GetStatusAsync()).AvailableTokens.Should().Be(50);
    }
}
