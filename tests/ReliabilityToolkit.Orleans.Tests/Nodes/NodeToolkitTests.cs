using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using Microsoft.Extensions.Logging.Abstractions;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>
/// All that a node has, under fake time, with authorities that lend to whoever asks. By itself, after all others: it measures the memory of the
/// process.
/// </summary>
[Collection(Alone.Name)]
public sealed class NodeToolkitTests
{
    private readonly FakeNode _node = new();
    private readonly HashSet<Borrower> _holders = [];
    private readonly NodeToolkit _toolkit;

    public NodeToolkitTests()
    {
        _node.Authority.OnRenewPart = request => new(Lend(request));
        _toolkit = new NodeToolkit(
            Grains.Of(_node.Authority),
            _node.Clock,
            new Chance(new Random(1)),
            Guid.NewGuid(),
            new ReliabilityToolkitClientOptions { MaxCachedInstances = 1_000 },
            NullLogger<NodeToolkit>.Instance,
            _node.Meter);
    }

    [Fact]
    public void Toolkit_AskedForMoreAndMoreKeys_HoldsAndRemembersNoMoreThanItKeepsAtHand()
    {
        UseKeys(0, 50_000);
        var before = GC.GetTotalMemory(forceFullCollection: true);
        UseKeys(50_000, 250_000);
        var grown = GC.GetTotalMemory(forceFullCollection: true) - before;
        grown.Should().BeLessThan(4_000_000, "a thousand limiters with their parts take some two megabytes");
        _holders.Should().HaveCountLessThanOrEqualTo(1_000, "the others have given back their parts");
    }

    [Fact]
    public void Limiter_ThatTheApplicationKept_GoesOnWorkingWhenItIsNotAtHandAnyMore()
    {
        var kept = _toolkit.GetRateLimiter("api", "kept");
        kept.AttemptAcquire();
        kept.AttemptAcquire().IsAcquired.Should().BeTrue();
        UseKeys(0, 2_000);
        kept.GetStatistics()!.CurrentAvailablePermits.Should().Be(0, "it has given back its part");
        _node.Time.Advance(LeaseTerm.OfPart);
        kept.AttemptAcquire();
        kept.AttemptAcquire().IsAcquired.Should().BeTrue();
        _toolkit.GetRateLimiter("api", "kept").Should().BeSameAs(kept);
    }

    [Fact]
    public async Task Stop_WithParts_GivesBackAllOfThem()
    {
        UseKeys(0, 50);
        _holders.Should().HaveCount(50);
        await _toolkit.StopAsync(default);
        _holders.Should().BeEmpty();
    }

    [Fact]
    public async Task Stop_WhoseAuthoritiesDoNotAnswer_EndsWithTheCalls()
    {
        UseKeys(0, 50);
        _node.Authority.OnRenewPart = null;
        var startedAt = _node.Elapsed;
        await _node.Time.FinishAsync(() => _toolkit.StopAsync(default), TimeSpan.FromMilliseconds(10));
        (_node.Elapsed - startedAt).Should().BeLessThanOrEqualTo(_node.Caller.Timeout);
    }

    [Fact]
    public async Task Bulkheads_ThatAreNotKeptAtHandOrStop_GiveBackWhatLiesIdle()
    {
        var ledgers = new Dictionary<Borrower, SlotLedger>();
        _node.Authority.OnRenewSlots = request =>
        {
            if (!ledgers.TryGetValue(request.Holder, out var ledger))
                ledgers.Add(request.Holder, ledger = new SlotLedger(new BulkheadPolicy(), _node.Clock.Now, new(1, Predecessor.None)));
            return new(ledger.Renew(request, _node.Clock.Now));
        };
        var held = await _toolkit.GetBulkhead("db", "kept").AcquireAsync();
        for (var i = 0; i < 1_500; i++)
            (await _toolkit.GetBulkhead("db", $"{i}").AcquireAsync()).Dispose();
        ledgers.Values.Sum(static ledger => ledger.Lent).Should().BeInRange(500, 1_001, "a thousand are kept at hand, and one is in use");
        held.IsHeld.Should().BeTrue();
        await _toolkit.StopAsync(default);
        ledgers.Values.Sum(static ledger => ledger.Lent).Should().Be(1);
        held.Dispose();
        ledgers.Values.Sum(static ledger => ledger.Lent).Should().Be(1, "it lies idle, until a second has passed");
    }

    // So many a second that the node's timer has a thousand of them in its list.
    private void UseKeys(int from, int until)
    {
        for (var i = from; i < until; i++)
        {
            _toolkit.GetRateLimiter("api", $"{i}").AttemptAcquire();
            if (i % 1_000 == 0)
                _node.Time.Advance(TimeSpan.FromMilliseconds(400));
        }
    }

    private PartGrant Lend(in PartRequest request)
    {
        var tokens = request.Demand > 0 ? 10 : 0;
        if (tokens > 0)
            _holders.Add(request.Holder);
        else
            _holders.Remove(request.Holder);
        return new PartGrant(request.Sequence, 1, tokens, tokens, 0, 1, 1_000_000, LeaseTerm.OfPart, default, default, 1_000, 10);
    }

    [SuppressMessage("Performance", "CA1852", Justification = "The proxy derives from it.")]
    private class Grains : DispatchProxy
    {
        private FakeAuthority _authority = null!;

        public static IGrainFactory Of(FakeAuthority authority)
        {
            var proxy = Create<IGrainFactory, Grains>();
            ((Grains)(object)proxy)._authority = authority;
            return proxy;
        }

        protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
            targetMethod!.Name == nameof(IGrainFactory.GetGrain) ? _authority : throw new NotSupportedException();
    }
}

[CollectionDefinition(Name, DisableParallelization = true)]
public static class Alone
{
    public const string Name = "alone";
}
