using System.Diagnostics;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>
/// A lending limiter on a real cluster and in real time: what is admitted is recorded and held against one central bucket. That it is not too much is
/// asserted exactly; that it is enough, only so far as a busy machine cannot spoil it.
/// </summary>
[Collection(LendingTests.Name)]
public sealed class LendingClusterTests(LendingCluster cluster)
{
    private readonly AdmissionRecord _record = new();

    [Fact]
    public async Task Admissions_OfAllNodesUnderLoad_AreThoseOfOneBucket()
    {
        var key = ToolkitCluster.NewKey();
        await Task.WhenAll(cluster.Silos.Append(cluster.Outside).Select(node => LoadAsync(node, "dense", key, 2)));
        _record.Excess(200, 1_000).Should().BeLessThanOrEqualTo(0);
        _record.CountSince(0).Should().BeGreaterThan(1_300, "2,200 are to be had");
    }

    [Fact]
    public async Task Shares_AfterAShiftOfDemand_AreThoseOfTheNewDemand()
    {
        var key = ToolkitCluster.NewKey();
        var (first, second) = (new AdmissionRecord(), new AdmissionRecord());
        var load = first.LoadAsync(cluster.Silos[0].GetRateLimiter("dense", key), TimeSpan.FromSeconds(4), isWaiting: false);
        await Task.Delay(TimeSpan.FromSeconds(1));
        var shifted = second.LoadAsync(cluster.Outside.GetRateLimiter("dense", key), TimeSpan.FromSeconds(3), isWaiting: false);
        await Task.Delay(TimeSpan.FromSeconds(1));
        var settledAt = Stopwatch.GetTimestamp();
        await Task.WhenAll(load, shifted);
        var (left, right) = (first.CountSince(settledAt), second.CountSince(settledAt));
        ((double)left / right).Should().BeInRange(0.6, 1.7, $"both want all there is, and got {left} and {right}");
    }

    [Fact]
    public async Task GrainDeactivated_InMidLoad_CostsOneBurstAtMost()
    {
        var key = ToolkitCluster.NewKey();
        var load = Task.WhenAll(cluster.Silos.Append(cluster.Outside).Select(node => LoadAsync(node, "dense", key, 4)));
        await Task.Delay(TimeSpan.FromSeconds(1));
        await ToolkitCluster.ForgetAsync(cluster.Grains.GetGrain<IRateLimiterGrain>($"dense/{key}"));
        await Task.Delay(TimeSpan.FromSeconds(2));
        var after = Stopwatch.GetTimestamp();
        await load;
        _record.Excess(2 * 200, 1_000).Should().BeLessThanOrEqualTo(0);
        _record.CountSince(after).Should().BeGreaterThan(500, "it goes on");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task SiloStopped_InMidLoad_CostsOneBurstAtMost(bool isGraceful)
    {
        var key = await cluster.NewKeyOffTheFirstSiloAsync("dense");
        var load = Task.WhenAll(LoadAsync(cluster.Silos[0], "dense", key, 7), LoadAsync(cluster.Outside, "dense", key, 7));
        await Task.Delay(TimeSpan.FromSeconds(1));
        await cluster.StopOwnerAsync("dense", key, isGraceful);
        var after = Stopwatch.GetTimestamp();
        await load;
        _record.Excess(2 * 200, 1_000).Should().BeLessThanOrEqualTo(0);
        _record.CountSince(after).Should().BeGreaterThan(500, "it goes on");
        await cluster.StartAnotherSiloAsync();
    }

    [Fact]
    public async Task ActivationLost_WhileCallersWait_CostsOneBurstAtMost()
    {
        // A promise of the lost one used to stand for as long as its queue was: 300 were admitted here at once, where 113 may be.
        var key = ToolkitCluster.NewKey();
        using var end = new CancellationTokenSource(TimeSpan.FromSeconds(60));
        var nodes = new[] { cluster.Silos[0], cluster.Outside };
        var waiters = nodes.SelectMany(node => Enumerable.Range(0, 400).Select(async _ =>
        {
            // On a loaded machine the call that finds the activation gone may take longer than a call may: he is told so, and comes again.
            while (!await _record.AcquireAsync(node.GetRateLimiter("hundred", key), 1, end.Token) && !end.IsCancellationRequested)
                await Task.Delay(TimeSpan.FromMilliseconds(100), CancellationToken.None);
        })).ToArray();
        await Task.Delay(TimeSpan.FromSeconds(0.5));
        await ToolkitCluster.ForgetAsync(cluster.Grains.GetGrain<IRateLimiterGrain>($"hundred/{key}"));
        while (_record.CountSince(0) < 300 && !end.IsCancellationRequested)
            await Task.Delay(20);
        await end.CancelAsync();
        await Task.WhenAll(waiters);
        _record.CountSince(0).Should().BeGreaterThanOrEqualTo(300, "they are served on, by the successor");
        _record.Excess(2 * 100, 100).Should().BeLessThanOrEqualTo(0);
    }

    [Fact]
    public async Task Waiters_OnTwoNodes_AllGetTheirTokensInTurn()
    {
        var key = ToolkitCluster.NewKey();
        var nodes = new[] { cluster.Silos[0], cluster.Outside };
        await Task.WhenAll(nodes.Select(node => _record.LoadAsync(node.GetRateLimiter("dense", key), TimeSpan.FromSeconds(0.5))));
        var waits = await Task.WhenAll(nodes.SelectMany(node => Enumerable.Range(0, 400).Select(async place =>
        {
            var isAdmitted = await _record.AcquireAsync(node.GetRateLimiter("dense", key), 1, default);
            return (place, isAdmitted, At: Stopwatch.GetTimestamp());
        })));
        waits.Should().OnlyContain(wait => wait.isAdmitted);

        // First come, first served, in the middle: on a loaded machine one of the first 40 was once served after all of the last 40. Why is not
        // known; perhaps his node had no part just then, and he waited at the authority behind the other node's.
        foreach (var wait in waits.Chunk(400))
            Middle(wait[..100]).Should().BeLessThan(Middle(wait[300..]));
        _record.Excess(200, 1_000).Should().BeLessThanOrEqualTo(0);
    }

    private static long Middle((int Place, bool IsAdmitted, long At)[] waits) => waits.Select(one => one.At).Order().ElementAt(waits.Length / 2);

    [Fact]
    public async Task LargeAcquires_BesideAStreamOfSmallOnes_AreServed()
    {
        var key = ToolkitCluster.NewKey();
        var large = 0;
        var stream = LoadAsync(cluster.Silos[0], "dense", key, 4);
        using var end = new CancellationTokenSource(TimeSpan.FromSeconds(4));
        while (!end.IsCancellationRequested)
            large += await _record.AcquireAsync(cluster.Outside.GetRateLimiter("dense", key), 150, end.Token) ? 1 : 0;
        await stream;
        large.Should().BeGreaterThan(2);
        _record.Excess(200, 1_000).Should().BeLessThanOrEqualTo(0);
    }

    [Fact]
    public async Task PolicyChange_ReachesWhatIsLentWithinARenewal()
    {
        var key = ToolkitCluster.NewKey();
        var load = LoadAsync(cluster.Outside, "changing", key, 5);
        await Task.Delay(TimeSpan.FromSeconds(1));
        LendingCluster.LivePolicies.Change("RateLimiters:changing:TokensPerPeriod", "100");
        await Task.Delay(LeaseTerm.OfPart); // the term of what was lent before
        var changedAt = Stopwatch.GetTimestamp();
        await load;
        var seconds = Stopwatch.GetElapsedTime(changedAt).TotalSeconds;
        _record.CountSince(changedAt).Should().BeLessThanOrEqualTo(200 + (int)(seconds * 100) + 1);
        _record.CountSince(changedAt).Should().BeGreaterThan(100);
    }

    private Task LoadAsync(IReliabilityToolkit node, string policy, string key, int seconds) =>
        _record.LoadAsync(node.GetRateLimiter(policy, key), TimeSpan.FromSeconds(seconds));
}
