using System.Runtime.CompilerServices;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class InstanceCacheTests
{
    private int _made;

    [Fact]
    public void Cache_SameName_IsTheSameObject()
    {
        var cache = NewCache(10);
        cache.Get("api", "a").Should().BeSameAs(cache.Get("api", "a")).And.NotBeSameAs(cache.Get("api", "b")).And.NotBeSameAs(cache.Get("api", null));
        _made.Should().Be(3);
        cache.Invoking(it => it.Get("a b", null)).Should().Throw<ArgumentException>();
        cache.Invoking(it => it.Get(null!, null)).Should().Throw<ArgumentNullException>();
        cache.Count.Should().Be(3);
    }

    [Fact]
    public void Cache_MoreNamesThanItsCapacity_KeepsNoMore()
    {
        var cache = NewCache(100);
        for (var i = 0; i < 10_000; i++)
        {
            cache.Get("api", $"{i}");
            cache.Count.Should().BeLessThanOrEqualTo(100);
        }

        cache.Count.Should().BeGreaterThanOrEqualTo(90, "it lets go a tenth more than it must");
        _made.Should().Be(10_000);
    }

    [Fact]
    public void Cache_ExactlyItsCapacity_LetsNothingGo()
    {
        var cache = NewCache(100);
        for (var i = 0; i < 100; i++)
            cache.Get("api", $"{i}");
        cache.LetGoCount.Should().Be(0);
        cache.Get("api", "one more");
        (cache.Count, cache.LetGoCount).Should().Be((90, 11), "one must go, and a tenth of the capacity with it");
    }

    [Fact]
    public void Cache_WhatWasAskedForSinceTheLastSweep_IsKeptLongest()
    {
        var cache = NewCache(100);
        for (var round = 0; round < 5; round++)
        {
            for (var i = 0; i <= 100; i++)
                cache.Get("api", $"{round}-{i}"); // sweeps
            var used = UseSome(cache, round);
            for (var i = 0; i < 20; i++)
                cache.Get("api", $"{round}-new-{i}"); // sweeps again, or twice
            GC.Collect();
            var made = _made;
            foreach (var name in used)
                cache.Get("api", name);
            _made.Should().Be(made, "they were used since the sweep before, and so are still at hand");
        }

        string[] UseSome(InstanceCache<Thing> cache, int round)
        {
            // Made first, and so the first to go if nobody had asked for them again.
            var names = Enumerable.Range(0, 60).Select(i => $"{round}-{i + 40}").ToArray();
            foreach (var name in names)
                cache.Get("api", name);
            return names;
        }
    }

    [Fact]
    public void Cache_OneThatWasLetGoWhileTheApplicationKeepsIt_IsTheSameWhenAskedForAgain()
    {
        // Two objects of one name would be two parts of one limit.
        var cache = NewCache(1);
        var kept = cache.Get("api", "kept");
        for (var i = 0; i < 1_000; i++)
            cache.Get("api", $"{i}");
        cache.Get("api", "kept").Should().BeSameAs(kept);
        GC.KeepAlive(kept);
    }

    [Fact]
    public void Cache_WhatItLetsGo_IsToldAndStillKnownWhileSomebodyKeepsIt()
    {
        var told = new List<Thing>();
        var cache = new InstanceCache<Thing>(10, name => new Thing(name), told.Add);
        var kept = Enumerable.Range(0, 11).Select(i => cache.Get("api", $"{i}")).ToArray();
        told.Should().HaveCount(2).And.BeSubsetOf(kept[..10]);
        cache.Alive.Should().BeEquivalentTo(kept);
        GC.KeepAlive(kept);
    }

    [Fact]
    public void Cache_OnesThatAreGone_AreForgotten()
    {
        var cache = NewCache(1);
        var kept = cache.Get("api", "kept");
        for (var round = 0; round < 10; round++)
        {
            Ask(cache, round);
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        cache.LetGoCount.Should().BeLessThan(3_000, "10,000 names were asked for, and all but one are gone");
        cache.Get("api", "kept").Should().BeSameAs(kept);
        GC.KeepAlive(kept);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static void Ask(InstanceCache<Thing> cache, int round)
        {
            for (var i = 0; i < 1_000; i++)
                cache.Get("api", $"{round}-{i}");
        }
    }

    [Fact]
    public void Cache_LooksForTheGone_WhenTheyMayBeHalfOfThoseLetGo()
    {
        // Neither with every name, which would cost a walk over all of them, nor never.
        var cache = NewCache(1);
        Ask(cache, "first", 64);
        cache.LetGoCount.Should().Be(63);
        Collect();
        Ask(cache, "one more", 1);
        cache.LetGoCount.Should().BeLessThan(5);

        var kept = Enumerable.Range(0, 100).Select(i => cache.Get("api", $"kept-{i}")).ToArray();
        Collect();
        var before = cache.LetGoCount;
        Ask(cache, "then", 127 - before); // at 64 all but a few were alive: it looks again at twice as many
        cache.LetGoCount.Should().Be(127);
        Collect();
        Ask(cache, "the last", 3);
        cache.LetGoCount.Should().BeInRange(99, 110);
        Ask(cache, "and on", 60);
        Collect();
        cache.LetGoCount.Should().BeInRange(155, 175, "it looks again at about two hundred");
        GC.KeepAlive(kept);

        [MethodImpl(MethodImplOptions.NoInlining)]
        static void Ask(InstanceCache<Thing> cache, string what, int times)
        {
            for (var i = 0; i < times; i++)
                cache.Get("api", $"{what}-{i}");
        }

        static void Collect()
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
    }

    [Fact]
    public void Cache_ManyThreads_MakeOneObjectPerName()
    {
        var cache = NewCache(50);
        var kept = Enumerable.Range(0, 200).Select(i => cache.Get("api", $"{i}")).ToArray();
        Parallel.For(0, 8, _ =>
        {
            for (var i = 0; i < 2_000; i++)
            {
                if (cache.Get("api", $"{i % 200}") != kept[i % 200])
                    throw new InvalidOperationException($"another {i % 200}");
            }
        });
        _made.Should().Be(200);
    }

    private InstanceCache<Thing> NewCache(int capacity) => new(capacity, name =>
    {
        Interlocked.Increment(ref _made);
        return new Thing(name);
    });

    private sealed record Thing(ResourceName Name);
}
