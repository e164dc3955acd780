using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans.Tests;

[Collection(ClusterTests.Name)]
public sealed class BulkheadClusterTests(ToolkitCluster cluster)
{
    private readonly string _key = ToolkitCluster.NewKey();

    [Fact]
    public async Task Bulkhead_ManyCallersOnEveryNode_NeverExceedTheCapacity()
    {
        var (inside, most) = (0, 0);
        await Task.WhenAll(Enumerable.Range(0, 200).Select(async i =>
        {
            using var permit = await cluster.Nodes[i % 4].GetBulkhead("triple", _key).AcquireAsync();
            permit.IsAcquired.Should().BeTrue();
            var now = Interlocked.Increment(ref inside);
            InterlockedMax(ref most, now);
            await Task.Yield();
            Interlocked.Decrement(ref inside);
        }));
        most.Should().BeInRange(1, 3);
        await ToolkitCluster.EventuallyAsync(
            async () => (await cluster.Outside.GetBulkhead("triple", _key).GetStatusAsync()).AvailableSlots == 3, "all slots are back");
    }

    [Fact]
    public async Task Bulkhead_WaitersOnDifferentNodes_AreServedInTheOrderOfTheirComing()
    {
        var outside = cluster.Outside.GetBulkhead("single", _key);
        var holder = await outside.AcquireAsync();
        var served = new List<int>();
        var waiters = new List<Task>();
        for (var i = 0; i < 8; i++)
        {
            waiters.Add(WaitAsync(i));
            await ToolkitCluster.EventuallyAsync(async () => (await outside.GetStatusAsync()).Waiting == i + 1, $"number {i} waits");
        }

        holder.Dispose();
        await Task.WhenAll(waiters);
        served.Should().Equal(0, 1, 2, 3, 4, 5, 6, 7);

        async Task WaitAsync(int i)
        {
            using var permit = await cluster.Nodes[i % 4].GetBulkhead("single", _key).AcquireAsync();
            served.Add(i);
        }
    }

    [Fact]
    public async Task Bulkhead_TryAcquire_AnswersAtOnce()
    {
        var bulkhead = cluster.Outside.GetBulkhead("single", _key);
        var permit = await bulkhead.TryAcquireAsync();
        permit.TryGetMetadata(ToolkitMetadata.Reason, out var why);
        permit.IsAcquired.Should().BeTrue($"nobody has asked before, but: {why}, {await bulkhead.GetStatusAsync()}");
        using var refused = await cluster.Nodes[0].GetBulkhead("single", _key).TryAcquireAsync();
        refused.TryGetMetadata(ToolkitMetadata.Reason, out var reason).Should().BeTrue();
        reason.Should().Be(RefusalReason.NoFreeSlot);
        bulkhead.AttemptAcquire().TryGetMetadata(ToolkitMetadata.Reason, out reason).Should().BeTrue();
        reason.Should().Be(RefusalReason.NoLocalStock);

        permit.Dispose();
        permit.Dispose();
        await ToolkitCluster.EventuallyAsync(async () => (await bulkhead.GetStatusAsync()).AvailableSlots == 1, "the slot is back");
        permit.Lost.IsCancellationRequested.Should().BeFalse("it was given back, not lost");
    }

    [Fact]
    public async Task Bulkhead_AsRateLimiter_TakesPartWhereverOneDoes()
    {
        RateLimiter limiter = cluster.Outside.GetBulkhead("triple", _key);
        using var lease = await limiter.AcquireAsync(2);
        lease.IsAcquired.Should().BeTrue();
        (await cluster.Outside.GetBulkhead("triple", _key).GetStatusAsync()).AvailableSlots.Should().Be(1);
        limiter.GetStatistics()!.TotalSuccessfulLeases.Should().Be(1);
    }

    [Fact]
    public async Task Bulkhead_Close_FailsPendingAndLaterAcquires()
    {
        var bulkhead = cluster.Nodes[0].GetBulkhead("single", _key);
        var holder = await bulkhead.AcquireAsync();
        var pending = cluster.Outside.GetBulkhead("single", _key).AcquireAsync().AsTask();
        await ToolkitCluster.EventuallyAsync(async () => (await bulkhead.GetStatusAsync()).Waiting == 1, "one waits");

        await cluster.Nodes[1].GetBulkhead("single", _key).CloseAsync();
        (await pending.Awaiting(task => task).Should().ThrowAsync<BulkheadClosedException>()).Which.Name.Should().Be($"single/{_key}");
        await bulkhead.Awaiting(it => it.TryAcquireAsync().AsTask()).Should().ThrowAsync<BulkheadClosedException>();
        (await bulkhead.GetStatusAsync()).Should().Match<BulkheadStatus>(
            status => status.IsClosed && status.Waiting == 0 && status.AvailableSlots == 0 && status.Holders[0].InUse == 1);

        holder.Dispose();
        await cluster.Nodes[2].GetBulkhead("single", _key).ReopenAsync();
        using var permit = await bulkhead.AcquireAsync();
        permit.IsAcquired.Should().BeTrue();
    }

    [Fact]
    public async Task Bulkhead_CancelledWaiter_LeavesTheLineAndTheNextIsServed()
    {
        var bulkhead = cluster.Nodes[0].GetBulkhead("single", _key);
        var holder = await bulkhead.AcquireAsync();
        using var cancellation = new CancellationTokenSource();
        var cancelled = cluster.Outside.GetBulkhead("single", _key).AcquireAsync(1, cancellation.Token).AsTask();
        await ToolkitCluster.EventuallyAsync(async () => (await bulkhead.GetStatusAsync()).Waiting == 1, "one waits");
        var next = cluster.Nodes[1].GetBulkhead("single", _key).AcquireAsync().AsTask();
        await ToolkitCluster.EventuallyAsync(async () => (await bulkhead.GetStatusAsync()).Waiting == 2, "two wait");

        await cancellation.CancelAsync();
        await cancelled.Awaiting(task => task).Should().ThrowAsync<OperationCanceledException>();
        await ToolkitCluster.EventuallyAsync(async () => (await bulkhead.GetStatusAsync()).Waiting == 1, "the cancelled one has left");
        holder.Dispose();
        using var permit = await next;
        permit.IsAcquired.Should().BeTrue();
    }

    [Fact]
    public async Task Bulkhead_FullQueue_Refuses()
    {
        var bulkhead = cluster.Outside.GetBulkhead("narrow", _key);
        var holder = await bulkhead.AcquireAsync();
        var waiter = bulkhead.AcquireAsync().AsTask();
        await ToolkitCluster.EventuallyAsync(async () => (await bulkhead.GetStatusAsync()).Waiting == 1, "one waits");
        using var refused = await cluster.Nodes[0].GetBulkhead("narrow", _key).AcquireAsync();
        refused.Invoking(permit => permit.EnsureAcquired()).Should().Throw<RateLimitedException>().Which.Reason.Should().Be(RefusalReason.QueueFull);
        holder.Dispose();
        (await waiter).Dispose();
    }

    [Fact]
    public async Task Bulkhead_HolderThatDoesNotRenew_IsReplacedWithinALease_AndOneThatDoesIsNot()
    {
        // A direct caller renews nothing: as if it had crashed. The lease is two seconds; two of them pass, one after the other.
        var live = cluster.Nodes[0].GetBulkhead("brief", _key + "-live");
        var held = await live.AcquireAsync();
        var bulkhead = cluster.Outside.GetBulkhead("brief", _key);
        for (var i = 0; i < 2; i++)
        {
            (await cluster.Grains.GetGrain<IBulkheadGrain>($"brief/{_key}").AcquireAsync()).IsAcquired.Should().BeTrue();
            using var next = await bulkhead.AcquireAsync();
            next.TryGetMetadata(ToolkitMetadata.Reason, out var why);
            next.IsAcquired.Should().BeTrue($"{why}");
            next.Dispose();
            await ToolkitCluster.EventuallyAsync(async () => (await bulkhead.GetStatusAsync()).AvailableSlots == 1, "the slot is free again");
        }

        held.Lost.IsCancellationRequested.Should().BeFalse();
        (await live.GetStatusAsync()).AvailableSlots.Should().Be(0);
        held.Dispose();
    }

    [Fact]
    public async Task Permit_OfAnActivationThatWasLost_IsKnownToItsSuccessor_AndTheNextWaitsForIt()
    {
        var permit = await cluster.Nodes[0].GetBulkhead("brief", _key).AcquireAsync();
        await ToolkitCluster.ForgetAsync(cluster.Grains.GetGrain<IBulkheadGrain>($"brief/{_key}"));
        await ToolkitCluster.EventuallyAsync(
            async () => (await cluster.Outside.GetBulkhead("brief", _key).GetStatusAsync()).Holders.Count == 1, "the holder has said what it holds");
        var next = cluster.Outside.GetBulkhead("brief", _key).AcquireAsync().AsTask();
        await ToolkitCluster.EventuallyAsync(
            async () => (await cluster.Outside.GetBulkhead("brief", _key).GetStatusAsync()).Holders[0].HeldFor > TimeSpan.FromSeconds(3),
            "longer than a lease has passed");
        permit.IsHeld.Should().BeTrue();
        next.IsCompleted.Should().BeFalse();
        permit.Dispose();
        (await next.WaitAsync(TimeSpan.FromSeconds(20))).Dispose();
    }

    [Fact]
    public async Task Bulkhead_HundredsOfCallersSomeOfWhomLeave_NeverExceedTheCapacityAndLoseNoSlot()
    {
        var (inside, most, served, left) = (0, 0, 0, 0);
        var random = new Random(16);
        var patience = Enumerable.Range(0, 500).Select(_ => random.Next(3) == 0 ? random.Next(1, 60) : Timeout.Infinite).ToArray();
        await Task.WhenAll(Enumerable.Range(0, 500).Select(async i =>
        {
            using var cancellation = new CancellationTokenSource(patience[i]);
            try
            {
                using var permit = await cluster.Nodes[i % 4].GetBulkhead("triple", _key).AcquireAsync(1, cancellation.Token);
                permit.EnsureAcquired();
                permit.IsHeld.Should().BeTrue();
                InterlockedMax(ref most, Interlocked.Increment(ref inside));
                await Task.Yield();
                Interlocked.Decrement(ref inside);
                Interlocked.Increment(ref served);
            }
            catch (OperationCanceledException)
            {
                Interlocked.Increment(ref left);
            }
        }));
        most.Should().BeInRange(1, 3);
        (served + left).Should().Be(500);
        served.Should().BeGreaterThanOrEqualTo(patience.Count(static each => each == Timeout.Infinite));
        await ToolkitCluster.EventuallyAsync(
            async () => await cluster.Outside.GetBulkhead("triple", _key).GetStatusAsync() is { AvailableSlots: 3, Waiting: 0 },
            "all slots are back");
    }

    [Fact]
    public async Task Bulkhead_AcquiresBackToBackFromARemoteNode_AreServedInTheirOrder()
    {
        // They were sent as messages of their own, and were served in the reverse order.
        var held = await cluster.Nodes[0].GetBulkhead("single", _key).AcquireAsync();
        var outside = cluster.Outside.GetBulkhead("single", _key);
        var acquires = Enumerable.Range(0, 8).Select(_ => outside.AcquireAsync().AsTask()).ToArray();
        await ToolkitCluster.EventuallyAsync(async () => (await outside.GetStatusAsync()).Waiting == 8, "all wait");
        held.Dispose();
        for (var i = 0; i < 8; i++)
        {
            var permit = await acquires[i].WaitAsync(TimeSpan.FromSeconds(20));
            acquires.Count(static acquire => acquire.IsCompleted).Should().Be(i + 1, "there is one slot, and the first come first");
            permit.Dispose();
        }
    }

    [Fact]
    public async Task Permit_Disposed_IsFreeForTheSameCallersNextTry()
    {
        // The release was a message of its own, and the next try was quicker: 73 to 300 of 300 were refused.
        var outside = cluster.Outside.GetBulkhead("single", _key);
        for (var i = 0; i < 300; i++)
        {
            (await outside.AcquireAsync()).Dispose();
            using var again = await outside.TryAcquireAsync();
            again.IsAcquired.Should().BeTrue($"number {i}");
        }
    }

    [Fact]
    public async Task Bulkhead_TryWhileSlotsLieIdleElsewhere_GetsOne()
    {
        (await cluster.Outside.GetBulkhead("single", _key).AcquireAsync()).Dispose();
        using var permit = await cluster.Nodes[0].GetBulkhead("single", _key).TryAcquireAsync();
        permit.IsAcquired.Should().BeTrue("what nobody uses is called back");
    }

    [Fact]
    public async Task Bulkhead_ClosedInMidLoad_AdmitsNobodyOnceThatHasReturned()
    {
        using var enough = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        var (isClosed, late, admitted, refused) = (false, 0, 0, 0);
        var callers = Enumerable.Range(0, 32).Select(i => Task.Run(async () =>
        {
            var bulkhead = cluster.Nodes[i % 4].GetBulkhead("triple", _key);
            while (!enough.IsCancellationRequested)
            {
                try
                {
                    var wasClosed = Volatile.Read(ref isClosed);
                    using var permit = await bulkhead.AcquireAsync();
                    permit.EnsureAcquired();
                    Interlocked.Add(ref late, wasClosed ? 1 : 0);
                    Interlocked.Increment(ref admitted);
                    await Task.Yield();
                }
                catch (BulkheadClosedException)
                {
                    Interlocked.Increment(ref refused);
                    return;
                }
            }
        })).ToArray();
        await ToolkitCluster.EventuallyAsync(() => Task.FromResult(Volatile.Read(ref admitted) > 1_000), "the load is on");
        await cluster.Nodes[1].GetBulkhead("triple", _key).CloseAsync();
        Volatile.Write(ref isClosed, true);
        await Task.WhenAll(callers).WaitAsync(TimeSpan.FromSeconds(30));
        (late, refused).Should().Be((0, 32));
        (await cluster.Outside.GetBulkhead("triple", _key).GetStatusAsync()).Waiting.Should().Be(0);
        await cluster.Outside.GetBulkhead("triple", _key).ReopenAsync();
        (await cluster.Nodes[2].GetBulkhead("triple", _key).AcquireAsync()).Dispose();
    }

    [Fact]
    public async Task Grain_CalledDirectly_IsExact()
    {
        var grain = cluster.Grains.GetGrain<IBulkheadGrain>($"single/{_key}");
        var permit = await grain.AcquireAsync();
        permit.ValidFor.Should().Be(TimeSpan.FromSeconds(15));
        (await grain.TryAcquireAsync()).Should().Be(new SlotPermit(false, 0, default, RefusalReason.NoFreeSlot));
        (await grain.RenewAsync(permit.Permit)).Should().BeTrue();

        using var cancellation = new CancellationTokenSource();
        var waiting = grain.AcquireAsync(1, cancellation.Token).AsTask();
        await ToolkitCluster.EventuallyAsync(async () => (await grain.GetStatusAsync()).Waiting == 1, "one waits");
        await cancellation.CancelAsync();
        await waiting.Awaiting(task => task).Should().ThrowAsync<OperationCanceledException>();
        await ToolkitCluster.EventuallyAsync(async () => (await grain.GetStatusAsync()).Waiting == 0, "it has left");

        (await grain.ReleaseAsync(permit.Permit)).Should().BeTrue();
        (await grain.ReleaseAsync(permit.Permit)).Should().BeFalse();
        await grain.CloseAsync();
        await grain.Awaiting(it => it.AcquireAsync().AsTask()).Should().ThrowAsync<BulkheadClosedException>();
        await grain.ReopenAsync();
        (await grain.TryAcquireAsync()).IsAcquired.Should().BeTrue();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(4)]
    public async Task Bulkhead_SlotsOutsideOneToCapacity_ThrowsAndTakesNothing(int slots)
    {
        var bulkhead = cluster.Outside.GetBulkhead("triple", _key);
        var grain = cluster.Grains.GetGrain<IBulkheadGrain>($"triple/{_key}");
        await bulkhead.Awaiting(it => it.AcquireAsync(slots).AsTask()).Should().ThrowAsync<ArgumentOutOfRangeException>();
        await bulkhead.Awaiting(it => it.TryAcquireAsync(slots).AsTask()).Should().ThrowAsync<ArgumentOutOfRangeException>();
        await grain.Awaiting(it => it.AcquireAsync(slots).AsTask()).Should().ThrowAsync<ArgumentOutOfRangeException>();
        await grain.Awaiting(it => it.TryAcquireAsync(slots).AsTask()).Should().ThrowAsync<ArgumentOutOfRangeException>();
        (await bulkhead.GetStatusAsync()).Should().Match<BulkheadStatus>(status => status.AvailableSlots == 3 && status.Waiting == 0);
    }

    private static void InterlockedMax(ref int most, int value)
    {
        int seen;
        while ((seen = Volatile.Read(ref most)) < value && Interlocked.CompareExchange(ref most, value, seen) != seen)
        {
        }
    }
}
