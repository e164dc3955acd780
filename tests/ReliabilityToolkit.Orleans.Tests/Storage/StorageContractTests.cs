using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Core.Internal;
using Orleans.Storage;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>The storages, each started when it is first asked for.</summary>
public sealed class StorageEngines : IAsyncLifetime
{
    private readonly Dictionary<string, StorageEngine> _started = [];

    public async Task<StorageEngine> GetAsync(string engine)
    {
        if (!_started.TryGetValue(engine, out var started))
            _started.Add(engine, started = await StorageEngine.StartAsync(engine));
        return started;
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var engine in _started.Values)
            await engine.DisposeAsync();
    }
}

/// <summary>What is expected of a storage, and of limiters, breakers and bulkheads over it: the same of all.</summary>
[Collection("records")]
public sealed class StorageContractTests(StorageEngines engines) : IClassFixture<StorageEngines>
{
    public static TheoryData<string> Engines => [.. StorageEngine.There];

    [ServerFact("redis")]
    public void Redis_IsThere() => StorageEngine.WhyMissing("redis").Should().BeNull();

    [ServerFact("postgres")]
    public void Postgres_IsThere() => StorageEngine.WhyMissing("postgres").Should().BeNull();

    [Theory]
    [MemberData(nameof(Engines))]
    public async Task Record_OfTwoActivations_IsThatOfTheLastToTakeIt(string name)
    {
        var engine = await engines.GetAsync(name);
        var grain = GrainId.Create("rt.limiter", ToolkitCluster.NewKey());
        var first = engine.Store(0).Open<LimiterMemory>(grain, "first");
        (await first.ReadAsync()).Should().BeNull();
        await first.TakeAsync(7);
        var second = engine.Store(1).Open<LimiterMemory>(grain, "second");
        (await second.ReadAsync())!.Should().Match<AuthorityRecord>(it => it.Owner == "first" && it.Epoch == 7 && !it.IsClean && it.Memory == null);
        await second.TakeAsync(8);
        await FluentActions.Awaiting(() => first.TakeAsync(7)).Should().ThrowAsync<InconsistentStateException>();
        first.IsLost.Should().BeTrue();
        await second.KeepAsync(8, new LimiterMemory(8, 0, default, false, 3, 4, [], [], [], 5), isClean: true);
        var third = engine.Store(0).Open<LimiterMemory>(grain, "third");
        var found = (await third.ReadAsync())!;
        (found.Owner, found.IsClean).Should().Be(("second", true));
        third.MemoryOf(found)!.Units.Should().Be(4);
    }

    [Theory]
    [MemberData(nameof(Engines))]
    public async Task Record_OfTwoWhoBeginAtOnce_IsOnesAlone(string name)
    {
        var engine = await engines.GetAsync(name);
        var grain = GrainId.Create("rt.limiter", ToolkitCluster.NewKey());
        var both = new[] { engine.Store(0).Open<LimiterMemory>(grain, "first"), engine.Store(1).Open<LimiterMemory>(grain, "second") };
        foreach (var one in both)
            await one.ReadAsync();
        await both[0].TakeAsync(1);
        await FluentActions.Awaiting(() => both[1].TakeAsync(1)).Should().ThrowAsync<InconsistentStateException>();
    }

    [Theory]
    [MemberData(nameof(Engines))]
    public async Task Record_Deleted_LeavesNothing(string name)
    {
        var engine = await engines.GetAsync(name);
        var before = engine.CountRows is null ? 0 : await engine.CountRows();
        var grain = GrainId.Create("rt.limiter", ToolkitCluster.NewKey());
        var record = engine.Store(0).Open<LimiterMemory>(grain, "first");
        await record.ReadAsync();
        await record.TakeAsync(1);
        if (engine.CountRows is not null)
            (await engine.CountRows()).Should().Be(before + 1);
        await record.DeleteAsync();
        if (engine.CountRows is not null)
            (await engine.CountRows()).Should().Be(before);
        var second = engine.Store(1).Open<LimiterMemory>(grain, "second");
        (await second.ReadAsync()).Should().BeNull();
        await second.TakeAsync(1);
        await second.DeleteAsync();
    }

    [Theory]
    [MemberData(nameof(Engines))]
    public async Task Limiters_WhoseNamesAreOneNumber_AreTwo(string name)
    {
        var engine = await engines.GetAsync(name);
        (await engine.Outside.GetGrain<IRateLimiterGrain>("42").TryAcquireAsync(1)).Should().BeTrue();
        (await engine.Outside.GetGrain<IRateLimiterGrain>("042").TryAcquireAsync(1)).Should().BeTrue();
    }

    [Theory]
    [MemberData(nameof(Engines))]
    public async Task Limiter_ThatIsDeactivatedOrMoves_GoesOnWithWhatIsLeft(string name)
    {
        var engine = await engines.GetAsync(name);
        var limiter = engine.Outside.GetGrain<IRateLimiterGrain>($"slow/{ToolkitCluster.NewKey()}");
        (await limiter.TryAcquireAsync(60)).Should().BeTrue();
        await limiter.AsReference<IGrainManagementExtension>().DeactivateOnIdle();
        (await limiter.TryAcquireAsync(20)).Should().BeTrue("it said goodbye: nothing is withheld");
        await limiter.AsReference<IGrainManagementExtension>().MigrateOnIdle();
        (await limiter.TryAcquireAsync(21)).Should().BeFalse();
        (await limiter.TryAcquireAsync(20)).Should().BeTrue();
    }

    [Theory]
    [MemberData(nameof(Engines))]
    public async Task Bulkhead_ThatIsDeactivated_KeepsItsPermitsAndPlaces(string name)
    {
        var engine = await engines.GetAsync(name);
        var (key, grains) = (ToolkitCluster.NewKey(), engine.Outside);
        var holder = grains.ServiceProvider.GetRequiredService<IReliabilityToolkit>().GetBulkhead("pool", key);
        var other = engine.Cluster.Silos[0].ServiceProvider.GetRequiredService<IReliabilityToolkit>().GetBulkhead("pool", key);
        var permit = await holder.AcquireAsync(2);
        var waiting = other.AcquireAsync(1).AsTask();
        await ToolkitCluster.EventuallyAsync(async () => (await holder.GetStatusAsync()).Waiting == 1, "one waits");
        await grains.GetGrain<IBulkheadGrain>($"pool/{key}").AsReference<IGrainManagementExtension>().DeactivateOnIdle();
        (await holder.GetStatusAsync()).Should().Match<BulkheadStatus>(it => it.AvailableSlots == 0 && it.Waiting == 1);
        waiting.IsCompleted.Should().BeFalse();
        permit.Dispose();
        using var next = await waiting;
        next.IsAcquired.Should().BeTrue();
    }

    [Theory]
    [MemberData(nameof(Engines))]
    public async Task Breaker_WhoseRecordWasTaken_MakesWayAndTheCallerFindsTheSuccessor(string name)
    {
        var engine = await engines.GetAsync(name);
        var key = ToolkitCluster.NewKey();
        var breaker = engine.Outside.ServiceProvider.GetRequiredService<IReliabilityToolkit>().GetCircuitBreaker("breaker", key);
        await breaker.IsolateAsync("by hand");
        var other = engine.Store(0).Open<BreakerMemory>(GrainId.Create("rt.breaker", $"breaker/{key}"), "other");
        await other.ReadAsync();
        await other.TakeAsync(1);
        await breaker.ResetAsync("well again");
        (await breaker.GetStatusAsync()).Should().Match<CircuitBreakerStatus>(it => it.State == CircuitState.Closed && it.Reason == "well again");
    }

    [Theory]
    [MemberData(nameof(Engines))]
    public async Task Keys_ThatAreNew_AreWrittenOnceEachAndDeletedWhenTheyAreFullAgain(string name)
    {
        var engine = await engines.GetAsync(name);
        var keys = name == "memory" ? 10_000 : 1_000;
        var before = engine.CountRows is null ? 0 : await engine.CountRows();
        long written = 0, deleted = 0;
        using var listener = new MeterListener
        {
            InstrumentPublished = static (instrument, listener) =>
            {
                if (instrument.Name is "reliability_toolkit.records.written" or "reliability_toolkit.records.deleted")
                    listener.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, count, _, _) =>
            Interlocked.Add(ref instrument.Name.EndsWith("written", StringComparison.Ordinal) ? ref written : ref deleted, count));
        listener.Start();
        var prefix = ToolkitCluster.NewKey();
        await Parallel.ForEachAsync(Enumerable.Range(0, keys), new ParallelOptions { MaxDegreeOfParallelism = 64 }, async (i, _) =>
        {
            for (var n = 0; n < 3; n++)
                (await engine.Outside.GetGrain<IRateLimiterGrain>($"quick/{prefix}-{i}").TryAcquireAsync(1)).Should().BeTrue();
        });
        Interlocked.Read(ref written).Should().Be(keys);
        if (engine.CountRows is not null)
            (await engine.CountRows()).Should().Be(before + keys);

        await Parallel.ForEachAsync(Enumerable.Range(0, keys), async (i, _) =>
            await ToolkitCluster.ForgetAsync(engine.Outside.GetGrain<IRateLimiterGrain>($"quick/{prefix}-{i}")));
        await ToolkitCluster.EventuallyAsync(() => Task.FromResult(Interlocked.Read(ref deleted) >= keys), "all are full again, and gone");
        if (engine.CountRows is not null)
            (await engine.CountRows()).Should().BeLessThanOrEqualTo(before, "a million tenants seen once leave no rows");
        Interlocked.Read(ref written).Should().Be(keys);
    }
}
