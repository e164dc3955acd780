using System.Collections.Concurrent;
using Orleans.Concurrency;

namespace ReliabilityToolkit.Orleans.Tests;

public interface IGuardedGrain : IGrainWithStringKey
{
    Task<string> LimitedByGrainAsync();

    Task<string> LimitedByArgumentAsync(int amount, string? tenant);

    [RateLimited("one", Key = CallKey.RequestContext + "tenant")]
    Task<string> LimitedByContextAsync();

    Task<string> SlotAsync(bool stays);

    Task<string> BrokenAsync(bool fails);

    Task<string> WaitingAsync();

    Task<string> UnknownArgumentAsync();

    Task<string> UnknownSourceAsync();

    Task<string> AllAsync(bool fails);

    Task<string> FreeAsync();
}

public abstract class PlainGrain : Grain
{
    private readonly string _answer = "ran";

    public Task<string> RunAsync() => Task.FromResult(_answer);
}

public interface IRunsGrain : IGrainWithStringKey
{
    Task<string> RunAsync();
}

[RateLimited("one", Key = CallKey.GrainId)]
public sealed class RunsGrain : PlainGrain, IRunsGrain;

[Reentrant]
public sealed class GuardedGrain : Grain, IGuardedGrain
{
    private static readonly ConcurrentDictionary<string, TaskCompletionSource> Gates = new();

    [RateLimited("one", Key = CallKey.GrainId)]
    public Task<string> LimitedByGrainAsync() => Task.FromResult("ran");

    [RateLimited("fifty", Key = CallKey.Argument + "tenant", Tokens = 30)]
    public Task<string> LimitedByArgumentAsync(int amount, string? tenant) => Task.FromResult("ran");

    public Task<string> LimitedByContextAsync() => Task.FromResult("ran");

    [Bulkheaded("single", Key = CallKey.GrainId)]
    public async Task<string> SlotAsync(bool stays)
    {
        if (stays)
            await Gate(this.GetPrimaryKeyString()).Task;
        return "ran";
    }

    /// <summary>What a call that stays waits for; the silos are in the tests' process.</summary>
    public static TaskCompletionSource Gate(string key) =>
        Gates.GetOrAdd(key, static _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));

    [CircuitBroken("two", Key = CallKey.GrainId)]
    public Task<string> BrokenAsync(bool fails) => fails ? throw new TimeoutException() : Task.FromResult("ran");

    [RateLimited("quick", Key = CallKey.GrainId, Wait = true)]
    [Bulkheaded("single", Key = CallKey.GrainId, Wait = true)]
    public Task<string> WaitingAsync() => Task.FromResult("ran");

    [RateLimited("one", Key = CallKey.Argument + "nobody")]
    public Task<string> UnknownArgumentAsync() => Task.FromResult("ran");

    [RateLimited("one", Key = "nothing")]
    public Task<string> UnknownSourceAsync() => Task.FromResult("ran");

    [CircuitBroken("two", Key = CallKey.GrainId)]
    [Bulkheaded("triple", Key = CallKey.GrainId)]
    [RateLimited("pair", Key = CallKey.GrainId)]
    public Task<string> AllAsync(bool fails) => fails ? throw new TimeoutException() : Task.FromResult("ran");

    public Task<string> FreeAsync() => Task.FromResult("ran");
}

/// <summary>Attributes on grain methods.</summary>
[Collection(ClusterTests.Name)]
public sealed class CallGuardClusterTests(ToolkitCluster cluster)
{
    private readonly string _key = ToolkitCluster.NewKey();

    private IGuardedGrain Guarded => cluster.Grains.GetGrain<IGuardedGrain>(_key);

    [Fact]
    public async Task RateLimited_ByTheGrainsId_RefusesWhoIsTooMany()
    {
        (await Guarded.LimitedByGrainAsync()).Should().Be("ran");
        (await Guarded.Awaiting(it => it.LimitedByGrainAsync()).Should().ThrowAsync<RateLimitedException>())
            .Which.Should().Match<RateLimitedException>(e => e.Policy == "one" && e.Key == _key && e.RetryAfter > TimeSpan.FromMinutes(50));
        (await cluster.Grains.GetGrain<IGuardedGrain>(_key + "-other").LimitedByGrainAsync()).Should().Be("ran");
        (await Guarded.FreeAsync()).Should().Be("ran", "it has no guard");
    }

    [Fact]
    public async Task RateLimited_ByAnArgument_IsThatArgumentsLimit()
    {
        (await Guarded.LimitedByArgumentAsync(1, _key)).Should().Be("ran");
        await Guarded.Awaiting(it => it.LimitedByArgumentAsync(1, _key)).Should().ThrowAsync<RateLimitedException>("30 of 50 are gone");
        (await Guarded.LimitedByArgumentAsync(1, _key + "-other")).Should().Be("ran");
        foreach (var nothing in new[] { null, "" })
            await Guarded.Awaiting(it => it.LimitedByArgumentAsync(1, nothing))
                .Should().ThrowAsync<ArgumentException>().WithMessage("*argument:tenant*");
        await Guarded.Awaiting(it => it.LimitedByArgumentAsync(1, "\n")).Should().ThrowAsync<ArgumentException>();
    }

    [Fact]
    public async Task RateLimited_OnTheInterfaceByTheRequestContext_IsThatValuesLimit()
    {
        await Guarded.Awaiting(it => it.LimitedByContextAsync()).Should().ThrowAsync<ArgumentException>().WithMessage("*context:tenant*");
        RequestContext.Set("tenant", _key);
        (await Guarded.LimitedByContextAsync()).Should().Be("ran");
        await Guarded.Awaiting(it => it.LimitedByContextAsync()).Should().ThrowAsync<RateLimitedException>();
        RequestContext.Clear();
    }

    [Fact]
    public async Task Bulkheaded_HoldsItsSlotWhileTheCallRuns()
    {
        var running = Guarded.SlotAsync(stays: true);
        await ToolkitCluster.EventuallyAsync(
            async () => (await cluster.Outside.GetBulkhead("single", _key).GetStatusAsync()).AvailableSlots == 0, "the call has its slot");
        await Guarded.Awaiting(it => it.SlotAsync(stays: false)).Should().ThrowAsync<RateLimitedException>();
        GuardedGrain.Gate(_key).SetResult();
        (await running).Should().Be("ran");
        (await Guarded.SlotAsync(stays: false)).Should().Be("ran");
        await cluster.Outside.GetBulkhead("single", _key).CloseAsync();
        await Guarded.Awaiting(it => it.SlotAsync(stays: false)).Should().ThrowAsync<BulkheadClosedException>();
    }

    [Fact]
    public async Task CircuitBroken_CountsHowCallsWent()
    {
        (await Guarded.BrokenAsync(false)).Should().Be("ran");
        for (var i = 0; i < 2; i++)
            await Guarded.Awaiting(it => it.BrokenAsync(true)).Should().ThrowAsync<TimeoutException>();
        await Guarded.Awaiting(it => it.BrokenAsync(false)).Should().ThrowAsync<CircuitOpenException>();
    }

    [Fact]
    public async Task Guards_OfAClass_HoldForTheMethodsThatItInherits()
    {
        var runs = cluster.Grains.GetGrain<IRunsGrain>(_key);
        (await runs.RunAsync()).Should().Be("ran");
        await runs.Awaiting(it => it.RunAsync()).Should().ThrowAsync<RateLimitedException>();
    }

    [Fact]
    public async Task Guards_ThatWait_Wait() =>
        (await Task.WhenAll(Enumerable.Range(0, 10).Select(_ => Guarded.WaitingAsync()))).Should().OnlyContain(it => it == "ran");

    [Fact]
    public async Task Guards_OfAllKinds_AreAskedInOrder()
    {
        for (var i = 0; i < 2; i++)
            await Guarded.Awaiting(it => it.AllAsync(true)).Should().ThrowAsync<TimeoutException>();
        await Guarded.Awaiting(it => it.AllAsync(false)).Should().ThrowAsync<RateLimitedException>("the limit comes before the breaker");
        using var all = await cluster.Outside.GetBulkhead("triple", _key).AcquireAsync(3).AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        all.IsAcquired.Should().BeTrue("no slot is held any more");
    }

    [Fact]
    public async Task Guards_WhoseKeyComesFromNowhere_SaySo()
    {
        await Guarded.Awaiting(it => it.UnknownArgumentAsync()).Should().ThrowAsync<ArgumentException>().WithMessage("*argument:nobody*");
        await Guarded.Awaiting(it => it.UnknownSourceAsync()).Should().ThrowAsync<ArgumentException>().WithMessage("*\"nothing\" names no source*");
    }
}
