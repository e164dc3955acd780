using Microsoft.Extensions.Time.Testing;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>What all authority grains share, shown with the bulkhead's, without a silo.</summary>
public sealed class AuthorityGrainTests : IDisposable
{
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(30);

    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));
    private readonly PolicyMonitor _settings = new() { Write = Capacity(1) };
    private readonly LogBook<BulkheadGrain> _log = new();
    private readonly PolicySource _source;
    private FakeActivation _activation;
    private BulkheadGrain _grain;

    public AuthorityGrainTests()
    {
        _source = new PolicySource(_settings, new LogBook<PolicySource>());
        (_activation, _grain) = Activate("pool/key");
    }

    public void Dispose() => _source.Dispose();

    [Fact]
    public async Task Grain_NumbersOfAnActivation_BeginAtTheWallClockAndByChance()
    {
        // Else the successor takes a renewal that was meant for its predecessor.
        var first = await AcquireAsync();
        (first.Permit >> 20).Should().Be(_time.GetUtcNow().ToUnixTimeMilliseconds());
        (_activation, _grain) = Activate("pool/key");
        var second = await AcquireAsync();
        (second.Permit >> 20).Should().Be(first.Permit >> 20);
        second.Permit.Should().NotBe(first.Permit, "two silos may have activated it in one millisecond");
        Math.Abs(second.Permit - first.Permit).Should().BeGreaterThan(1);
    }

    [Fact]
    public async Task Grain_WhileItHasSomethingToRemember_AsksToBeKept()
    {
        await AcquireAsync();
        _activation.Delays.Should().ContainSingle().Which.Should().BeGreaterThanOrEqualTo(Lease);
    }

    [Fact]
    public async Task Grain_WhoseHolderRenews_AsksToBeKeptLonger()
    {
        var permit = await AcquireAsync();
        _time.Advance(Lease / 2);
        await _activation.TurnAsync(() => _grain.RenewAsync(permit.Permit));
        _activation.Delays.Should().HaveCount(2);
        _activation.Delays[1].Should().BeGreaterThanOrEqualTo(Lease);
    }

    [Theory]
    [InlineData("nowhere/key")]
    [InlineData("a b")]
    public async Task Grain_WhoseNameMeansNothing_LetsItselfGo(string name)
    {
        (_activation, _grain) = Activate(name);
        var thrown = await FluentActions.Awaiting(AcquireAsync).Should().ThrowAsync<Exception>();
        (thrown.Which is UnknownPolicyException or ArgumentException).Should().BeTrue();
        _activation.LetGo.Should().Be(1);
    }

    [Fact]
    public async Task Grain_WhosePolicyHasGone_KeepsWhatItOwes()
    {
        var (held, node) = (await AcquireAsync(), new Hinted(1));
        await ChangeAsync(Capacity(2));
        await AskAsync(node, held: 0, callers: 1);
        await ChangeAsync(static _ => { });
        _log.Lines.Should().Equal("Warning: The policy of pool/key was taken out of the configuration while it is in use.");
        await FluentActions.Awaiting(AcquireAsync).Should().ThrowAsync<UnknownPolicyException>();
        await FluentActions.Awaiting(StatusAsync).Should().ThrowAsync<UnknownPolicyException>();
        _activation.LetGo.Should().Be(0, "somebody holds a slot");

        (await _activation.TurnAsync(() => _grain.RenewAsync(held.Permit))).Should().BeTrue("a holder goes on");
        (await _activation.TurnAsync(() => _grain.ReleaseAsync(held.Permit))).Should().BeTrue();
        await FluentActions.Awaiting(() => AskAsync(node, held: 1, callers: 1)).Should().ThrowAsync<UnknownPolicyException>();
        (await AskAsync(node, held: 1, callers: 0)).Kept.Should().Be(1);
        await AskAsync(node, held: 0, callers: 0);
        await ChangeAsync(Capacity(2));
        (await StatusAsync()).AvailableSlots.Should().Be(2, "what was given back while the policy was away is free");
    }

    [Fact]
    public async Task Grain_ChangeOfPolicy_IsFollowedWithoutACall()
    {
        await AcquireAsync();
        var waiter = new Hinted(1);
        await AskAsync(waiter, held: 0, callers: 1);
        await ChangeAsync(Capacity(2));
        waiter.Hints.Should().ContainSingle("its turn has come");
    }

    [Fact]
    public async Task Grain_ReloadThatLeavesItsPolicyAsItWas_ChangesNothing()
    {
        await AcquireAsync();
        await ChangeAsync(policies => Capacity(1)(policies));
        (await StatusAsync()).Capacity.Should().Be(1);
        _activation.Delays.Should().HaveCount(1);
    }

    [Fact]
    public async Task Grain_ThatWasDeactivated_HearsOfNoMoreChanges()
    {
        await AcquireAsync();
        await _grain.OnDeactivateAsync(new DeactivationReason(DeactivationReasonCode.ApplicationRequested, ""), default);
        await ChangeAsync(static _ => { });
        _log.Lines.Should().BeEmpty("else the source holds every activation that ever was");
    }

    [Fact]
    public async Task Grain_CommandThatComesAgain_IsDoneOnce()
    {
        var close = new SlotOrder(Request(1), SlotCommand.Close, default);
        var reopen = new SlotOrder(Request(2) with { Slot = 1 }, SlotCommand.Reopen, default);
        await _activation.TurnAsync(() => Protocol.CommandAsync(close));
        (await StatusAsync()).IsClosed.Should().BeTrue();
        await _activation.TurnAsync(() => Protocol.CommandAsync(reopen));
        await _activation.TurnAsync(() => Protocol.CommandAsync(close)); // a late copy
        (await StatusAsync()).IsClosed.Should().BeFalse();
    }

    [Fact]
    public async Task Grain_DirectCallersWhoWait_AreToldApart()
    {
        var held = await AcquireAsync();
        using var gone = new CancellationTokenSource();
        var first = _activation.TurnAsync(() => _grain.AcquireAsync(1, gone.Token));
        var second = _activation.TurnAsync(() => _grain.AcquireAsync(1, default));
        (await StatusAsync()).Waiting.Should().Be(2);
        await gone.CancelAsync();
        await FluentActions.Awaiting(() => first).Should().ThrowAsync<OperationCanceledException>();
        (await StatusAsync()).Waiting.Should().Be(1);
        await _activation.TurnAsync(() => _grain.ReleaseAsync(held.Permit));
        (await second.WaitAsync(TimeSpan.FromSeconds(30))).IsAcquired.Should().BeTrue();
    }

    [Fact]
    public async Task Grain_DirectCallerWhoWaits_IsTurnedAwayWhenItsCallHasBeenHeldLongEnough()
    {
        await AcquireAsync();
        var waiting = _activation.TurnAsync(() => _grain.AcquireAsync(1, default));
        (await StatusAsync()).Waiting.Should().Be(1);
        _time.Advance(CallTimeouts.LongestHold - TimeSpan.FromMilliseconds(1));
        (await StatusAsync()).Waiting.Should().Be(1);
        _time.Advance(TimeSpan.FromMilliseconds(1));
        (await waiting.WaitAsync(TimeSpan.FromSeconds(30))).Reason.Should().Be(RefusalReason.WaitExpired);
        (await StatusAsync()).Waiting.Should().Be(0);
    }

    [Fact]
    public async Task Grain_WithOthersWaiting_HintsToTheHolderAndThenToTheWaiter()
    {
        var (holder, waiter) = (new Hinted(1), new Hinted(2));
        (await AskAsync(holder, held: 0, callers: 1)).Slots.Should().Be(1);
        (await AskAsync(waiter, held: 0, callers: 1)).Places.Should().Be(1);
        holder.Hints.Should().Equal((1, 1));
        await AskAsync(holder, held: 0, callers: 0);
        waiter.Hints.Should().Equal((1, 0));
        (await AskAsync(waiter, held: 0, callers: 1)).Slots.Should().Be(1);
    }

    private static Action<ReliabilityToolkitPolicies> Capacity(int capacity) =>
        policies => policies.Bulkheads["pool"] = new BulkheadPolicy { Capacity = capacity, Lease = Lease };

    private static RequestId Request(long sequence) => new(Guid.AllBitsSet, 1, sequence, 1, 0);

    private Task<SlotsGrant> AskAsync(Hinted node, int held, int callers) => _activation.TurnAsync(() => Protocol.RenewAsync(
        new SlotsRequest(
            new Borrower(new Guid(node.Number, 0, 0, new byte[8]), 1),
            ++node.Sequence,
            0,
            0,
            held,
            held,
            callers == 0 ? null : [new SlotsAsk(1, callers, true)],
            callers,
            0,
            null,
            node)));

    private IBulkheadProtocol Protocol => _grain;

    private (FakeActivation Activation, BulkheadGrain Grain) Activate(string name)
    {
        var activation = new FakeActivation("rt.bulkhead", name, _time);
        var clock = new NodeClock(_time);
        return (activation, activation.Create(() =>
            new BulkheadGrain(FakeActivation.Around(clock, _source), _log)));
    }

    private Task<SlotPermit> AcquireAsync() => _activation.TurnAsync(() => _grain.AcquireAsync(1, default));

    private Task<BulkheadStatus> StatusAsync() => _activation.TurnAsync(() => _grain.GetStatusAsync());

    // It returns once the grain has looked at the new settings.
    private async Task ChangeAsync(Action<ReliabilityToolkitPolicies> write)
    {
        _settings.Write = write;
        _settings.Tell(_settings.CurrentValue);
        await _activation.TurnAsync(static () => { });
    }

    private sealed class Hinted(int number) : INodeObserver
    {
        public int Number { get; } = number;

        public long Sequence { get; set; }

        public List<(int Channel, int Wanted)> Hints { get; } = [];

        void INodeObserver.Changed(int channel, long epoch, long version, int wanted) => Hints.Add((channel, wanted));
    }
}
