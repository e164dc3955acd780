using System.Collections.Immutable;
using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class BulkheadNodeTests
{
    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(15);

    private readonly FakeNode _node = new();
    private readonly BulkheadNode _bulkhead;
    private readonly List<ImmutableArray<long>> _renewals = [];
    private long _lastPermit;

    public BulkheadNodeTests()
    {
        _bulkhead = _node.NewBulkhead();
        Authority.OnAcquireSlots = (_, _) => new(new SlotGrant(SlotVerdict.Granted, ++_lastPermit, Lease, default));
        Authority.OnRenew = (request, _) =>
        {
            _renewals.Add(request.Permits);
            return new(new SlotRenewal(Lease, request.Permits));
        };
    }

    private FakeAuthority Authority => _node.Authority;

    private ClusterBulkhead Bulkhead => _bulkhead.Bulkhead;

    [Fact]
    public async Task Permit_OfAnAuthorityThatFellSilent_IsLostBeforeTheLeaseEnds()
    {
        Authority.OnRenew = null;
        var permit = await Bulkhead.AcquireAsync();
        Advance(14.84);
        permit.Lost.IsCancellationRequested.Should().BeFalse();
        Advance(0.01);
        permit.Lost.IsCancellationRequested.Should().BeTrue("it asked at 0 s for 15 s, and clocks may differ by 1 %");
    }

    [Fact]
    public async Task Permit_WhoseAnswerTookLong_CountsItsLeaseFromTheAsking()
    {
        Authority.OnRenew = null;
        Authority.OnAcquireSlots = (_, _) =>
        {
            Advance(4); // the authority has answered at once; the answer is under way for so long
            return new(new SlotGrant(SlotVerdict.Granted, 1, Lease, default));
        };
        var permit = await Bulkhead.AcquireAsync();
        Advance(10.84);
        permit.Lost.IsCancellationRequested.Should().BeFalse();
        Advance(0.01);
        permit.Lost.IsCancellationRequested.Should().BeTrue("the authority may give the slot away 15 s after 0 s, not after 4 s");
    }

    [Fact]
    public async Task Permit_WhoseRenewalTookLong_CountsItsLeaseFromTheAsking()
    {
        var renewals = 0;
        Authority.OnRenew = (request, token) =>
        {
            if (++renewals > 1)
                return FakeAuthority.Never<SlotRenewal>(token);
            Advance(0.4);
            return new(new SlotRenewal(Lease, request.Permits));
        };
        var permit = await Bulkhead.AcquireAsync();
        Advance(5); // renewed, asked at 5 s
        renewals.Should().Be(1);
        var now = _node.Elapsed.TotalSeconds;
        Advance(5 + 14.84 - now);
        permit.Lost.IsCancellationRequested.Should().BeFalse();
        Advance(0.02);
        permit.Lost.IsCancellationRequested.Should().BeTrue();
    }

    [Fact]
    public async Task Permits_AreRenewedTogetherAtAThirdForAsLongAsTheyAreHeld()
    {
        var (first, second) = (await Bulkhead.AcquireAsync(), await Bulkhead.AcquireAsync());
        for (var i = 0; i < 100; i++)
            Advance(1);
        (first.Lost.IsCancellationRequested, second.Lost.IsCancellationRequested).Should().Be((false, false));
        _renewals.Should().HaveCount(20).And.OnlyContain(permits => permits.Length == 2);
        first.Dispose();
        second.Dispose();
        for (var i = 0; i < 100; i++)
            Advance(1);
        _renewals.Should().HaveCount(20, "nothing is held any more");
    }

    [Fact]
    public async Task Permit_MissingInTheRenewal_IsLostAndTheOtherIsNot()
    {
        var (first, second) = (await Bulkhead.AcquireAsync(), await Bulkhead.AcquireAsync());
        Authority.OnRenew = (_, _) => new(new SlotRenewal(Lease, [second.Number]));
        var isTold = false;
        using var registration = first.Lost.Register(() => isTold = true);
        Advance(5);
        (isTold, first.Lost.IsCancellationRequested, second.Lost.IsCancellationRequested).Should().Be((true, true, false));
        Bulkhead.IdleDuration.Should().BeNull("one is held");
        second.Dispose();
        Bulkhead.IdleDuration.Should().NotBeNull();
    }

    [Fact]
    public async Task Permit_Disposed_IsGivenBackOnceAndNeverLost()
    {
        var permit = await Bulkhead.AcquireAsync();
        permit.Dispose();
        permit.Dispose();
        Authority.TakenBack.Should().ContainSingle();
        Advance(100);
        permit.Lost.IsCancellationRequested.Should().BeFalse();
    }

    [Fact]
    public async Task Permit_AnsweredAfterItsLease_IsNotHandedOutAndGivenBack()
    {
        Authority.OnAcquireSlots = (_, _) =>
        {
            Advance(15);
            return new(new SlotGrant(SlotVerdict.Granted, 1, Lease, default));
        };
        var permit = await Bulkhead.AcquireAsync();
        permit.IsAcquired.Should().BeFalse();
        permit.TryGetMetadata(ToolkitMetadata.Reason, out var reason).Should().BeTrue();
        reason.Should().Be(RefusalReason.AuthorityUnavailable);
        Authority.TakenBack.Should().ContainSingle();
    }

    [Fact]
    public async Task Acquire_StillWaiting_AsksAgainUnderTheSameNumberAndHoldsNoCallForLong()
    {
        var asked = new List<SlotRequest>();
        Authority.OnAcquireSlots = (request, _) =>
        {
            asked.Add(request);
            Advance(0.25);
            return new(
                asked.Count < 100
                    ? new SlotGrant(SlotVerdict.StillWaiting, 0, default, default)
                    : new SlotGrant(SlotVerdict.Granted, 1, Lease, default));
        };
        Authority.OnRenew = null;
        var permit = await Bulkhead.AcquireAsync(2);
        permit.IsAcquired.Should().BeTrue();
        asked.Should().HaveCount(100).And.OnlyContain(request => request.Id == asked[0].Id && request.Slots == 2 && request.MayWait);
        asked[0].HoldFor.Should().BeLessThanOrEqualTo(TimeSpan.FromSeconds(0.5)).And.BeGreaterThan(TimeSpan.Zero);
        Advance(14.59);
        permit.Lost.IsCancellationRequested.Should().BeFalse("its lease counts from the last asking");
        Advance(0.02);
        permit.Lost.IsCancellationRequested.Should().BeTrue();
    }

    [Fact]
    public async Task Acquire_PolicyGoneWhileWaiting_GivesUpThePlace()
    {
        var asked = 0;
        Authority.OnAcquireSlots = (_, _) => ++asked == 1
            ? new(new SlotGrant(SlotVerdict.StillWaiting, 0, default, default))
            : throw new UnknownPolicyException("bulkhead", "api", []);
        await Bulkhead.Awaiting(it => it.AcquireAsync().AsTask()).Should().ThrowAsync<UnknownPolicyException>();
        Authority.TakenBack.Should().ContainSingle();
        Bulkhead.GetStatistics()!.CurrentQueuedCount.Should().Be(0);
    }

    [Fact]
    public async Task Acquire_Refusals_SayWhy()
    {
        Authority.OnAcquireSlots = (_, _) => new(new SlotGrant(SlotVerdict.Refused, 0, default, RefusalReason.QueueFull));
        var refused = await Bulkhead.TryAcquireAsync();
        refused.TryGetMetadata(ToolkitMetadata.Reason, out var reason).Should().BeTrue();
        reason.Should().Be(RefusalReason.QueueFull);
        refused.TryGetMetadata(MetadataName.ReasonPhrase, out var phrase).Should().BeTrue();
        phrase.Should().Be("QueueFull");
        refused.TryGetMetadata("nothing", out _).Should().BeFalse();
        refused.MetadataNames.Should().BeEquivalentTo(MetadataName.ReasonPhrase.Name, ToolkitMetadata.Reason.Name);
        refused.Dispose();

        Authority.OnAcquireSlots = (_, _) => new(new SlotGrant(SlotVerdict.Closed, 0, default, default));
        (await Bulkhead.Awaiting(it => it.AcquireAsync().AsTask()).Should().ThrowAsync<BulkheadClosedException>()).Which.Name.Should().Be("api/key");

        Authority.OnAcquireSlots = (_, _) => throw new ArgumentOutOfRangeException("slots", 9, "9 at once can never be had; legal: 1 to 3.");
        await Bulkhead.Awaiting(it => it.AcquireAsync(9).AsTask())
            .Should().ThrowAsync<ArgumentOutOfRangeException>().WithParameterName("permitCount").WithMessage("9 at once*");

        Authority.OnAcquireSlots = null;
        var unavailable = await _node.FinishAsync(() => Bulkhead.AcquireAsync());
        unavailable.TryGetMetadata(ToolkitMetadata.Reason, out reason).Should().BeTrue();
        reason.Should().Be(RefusalReason.AuthorityUnavailable);
        Authority.TakenBack.Should().ContainSingle("only the last may have got something");

        Bulkhead.AttemptAcquire().TryGetMetadata(ToolkitMetadata.Reason, out reason).Should().BeTrue();
        reason.Should().Be(RefusalReason.NoLocalStock);
        Bulkhead.GetStatistics()!.TotalFailedLeases.Should().Be(3);
        Bulkhead.GetStatistics()!.TotalSuccessfulLeases.Should().Be(0);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    public async Task Bulkhead_FewerThanOne_ThrowsWithoutAsking(int permits)
    {
        Bulkhead.Invoking(it => it.AttemptAcquire(permits)).Should().Throw<ArgumentOutOfRangeException>().WithParameterName("permitCount");
        await Bulkhead.Awaiting(it => it.TryAcquireAsync(permits).AsTask())
            .Should().ThrowAsync<ArgumentOutOfRangeException>().WithParameterName("permitCount");
        await Bulkhead.Awaiting(it => it.AcquireAsync(permits).AsTask())
            .Should().ThrowAsync<ArgumentOutOfRangeException>().WithParameterName("permitCount");
    }

    [Fact]
    public async Task Switches_ThatAreNotDone_DoNotReturnAsIfTheyWere()
    {
        var commands = new List<string>();
        Authority.OnCommand = (_, _, _) => default;
        await Bulkhead.Awaiting(it => it.CloseAsync()).Should().ThrowAsync<AuthorityUnavailableException>();
        Authority.OnCommand = (command, _, _) =>
        {
            commands.Add(command);
            return new(Acknowledgement.Done);
        };
        await Bulkhead.CloseAsync();
        await Bulkhead.ReopenAsync();
        commands.Should().Equal("Close", "Reopen");
    }

    [Fact]
    public async Task Renewals_DoNotRunInTheContextOfWhoeverCalledFirst()
    {
        // A tenant's id in an AsyncLocal of the very first request was seen in every renewal.
        var tenant = new AsyncLocal<string>();
        var seen = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var node = new FakeNode(TimeProvider.System);
        node.Authority.OnAcquireSlots = (_, _) => new(new SlotGrant(SlotVerdict.Granted, 1, TimeSpan.FromSeconds(1.5), default));
        node.Authority.OnRenew = (_, token) =>
        {
            seen.TrySetResult(tenant.Value);
            return FakeAuthority.Never<SlotRenewal>(token);
        };
        tenant.Value = "acme";
        using var permit = await node.NewBulkhead().Bulkhead.AcquireAsync();
        permit.IsAcquired.Should().BeTrue();
        (await seen.Task.WaitAsync(TimeSpan.FromSeconds(20))).Should().BeNull();
    }

    private void Advance(double seconds) => _node.Time.Advance(TimeSpan.FromSeconds(seconds));
}
