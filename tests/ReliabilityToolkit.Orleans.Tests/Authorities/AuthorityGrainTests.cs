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
        var (held, taken) = (await AcquireAsync(), Request(1));
        await ChangeAsync(Capacity(2));
        await _activation.TurnAsync(() => Protocol.AcquireAsync(taken, default));
        await ChangeAsync(static _ => { });
        _log.Lines.Should().Equal("Warning: The policy of pool/key was taken out of the configuration while it is in use.");
        await FluentActions.Awaiting(AcquireAsync).Should().ThrowAsync<UnknownPolicyException>();
        await FluentActions.Awaiting(StatusAsync).Should().ThrowAsync<UnknownPolicyException>();
        _activation.LetGo.Should().Be(0, "somebody holds a slot");

        (await _activation.TurnAsync(() => _grain.RenewAsync(held.Permit))).Should().BeTrue("a holder goes on");
        (await _activation.TurnAsync(() => _grain.ReleaseAsync(held.Permit))).Should().BeTrue();
        await _activation.TurnAsync(() => Protocol.ReleaseAsync(new SlotRelease(taken.Id), default));
        await ChangeAsync(Capacity(2));
        (await StatusAsync()).AvailableSlots.Should().Be(2, "what was given back while the policy was away is free");
    }

    [Fact]
    public async Task Grain_ChangeOfPolicy_IsFollowedWithoutACall()
    {
        await AcquireAsync();
        var waiter = _activation.TurnAsync(() => Protocol.AcquireAsync(Request(1), default));
        await ChangeAsync(Capacity(2));
        (await waiter.WaitAsync(TimeSpan.FromSeconds(30))).Verdict.Should().Be(SlotVerdict.Granted);
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
    public async Task Grain_RequestThatComesAgain_IsDoneOnce()
    {
        var request = Request(1);
        var first = await _activation.TurnAsync(() => Protocol.AcquireAsync(request, default));
        (await _activation.TurnAsync(() => Protocol.AcquireAsync(request, default))).Permit.Should().Be(first.Permit);
        (await StatusAsync()).Permits.Should().Be(1);
    }

    [Fact]
    public async Task Grain_CommandThatComesAgain_IsDoneOnce()
    {
        var (close, reopen) = (new SlotOrder(Request(1).Id, SlotCommand.Close), new SlotOrder(Request(2).Id with { Slot = 1 }, SlotCommand.Reopen));
        await _activation.TurnAsync(() => Protocol.CommandAsync(close, default));
        (await StatusAsync()).IsClosed.Should().BeTrue();
        await _activation.TurnAsync(() => Protocol.CommandAsync(reopen, default));
        await _activation.TurnAsync(() => Protocol.CommandAsync(close, default)); // a late copy
        (await StatusAsync()).IsClosed.Should().BeFalse();
    }

    [Fact]
    public async Task Grain_RequestThatWasTakenBackBeforeItArrived_IsNotDone()
    {
        var request = Request(1);
        await _activation.TurnAsync(() => Protocol.ReleaseAsync(new SlotRelease(request.Id), default));
        (await _activation.TurnAsync(() => Protocol.AcquireAsync(request, default))).Should().Be(default(SlotGrant));
        (await StatusAsync()).Permits.Should().Be(0);
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
    public async Task Grain_WhoseHolderIsSilent_ServesTheNextByItsTimer()
    {
        await AcquireAsync();
        var request = Request(1) with { HoldFor = TimeSpan.FromMilliseconds(250) };
        var asked = _activation.TurnAsync(() => Protocol.AcquireAsync(request, default));
        (await StatusAsync()).Waiting.Should().Be(1);
        _time.Advance(request.HoldFor);
        (await asked.WaitAsync(TimeSpan.FromSeconds(30))).Verdict
            .Should().Be(SlotVerdict.StillWaiting, "no call is held for longer than was asked for");

        _time.Advance(Lease - TimeSpan.FromMilliseconds(400));
        var again = _activation.TurnAsync(() => Protocol.AcquireAsync(request, default));
        (await StatusAsync()).Waiting.Should().Be(1);
        again.IsCompleted.Should().BeFalse();
        _time.Advance(TimeSpan.FromMilliseconds(200));
        (await again.WaitAsync(TimeSpan.FromSeconds(30))).Verdict.Should().Be(SlotVerdict.Granted);
    }

    private static Action<ReliabilityToolkitPolicies> Capacity(int capacity) =>
        policies => policies.Bulkheads["pool"] = new BulkheadPolicy { Capacity = capacity, Lease = Lease };

    private static SlotRequest Request(long sequence) => new(new RequestId(Guid.AllBitsSet, 1, sequence, 1, 0), 1, MayWait: true, default);

    private IBulkheadProtocol Protocol => _grain;

    private (FakeActivation Activation, BulkheadGrain Grain) Activate(string name)
    {
        var activation = new FakeActivation("rt.bulkhead", name, _time);
        var clock = new NodeClock(_time);
        return (activation, activation.Create(() => new BulkheadGrain(clock, _source, new Chance(Random.Shared), _log)));
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
}
