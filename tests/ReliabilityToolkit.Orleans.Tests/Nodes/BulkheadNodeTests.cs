using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class BulkheadNodeTests
{
    private readonly LogBook<BulkheadNode> _log = new();
    private readonly FakeNode _node;
    private readonly BulkheadNode _bulkhead;
    private readonly List<SlotsRequest> _requests = [];
    private readonly SlotBorrower _other = new(9);
    private SlotLedger _ledger;

    public BulkheadNodeTests()
    {
        _node = new FakeNode(logger: _log);
        _bulkhead = _node.NewBulkhead();
        _ledger = new SlotLedger(new BulkheadPolicy { Capacity = 3 }, Now, new(1_000, Predecessor.None));
        Authority.OnRenewSlots = request =>
        {
            _requests.Add(request);
            return new(_ledger.Renew(request, Now));
        };
    }

    private FakeAuthority Authority => _node.Authority;

    private ClusterBulkhead Bulkhead => _bulkhead.Bulkhead;

    private Instant Now => _node.Clock.Now;

    [Fact]
    public async Task Permit_Disposed_IsFreeForTheNextWithoutACall()
    {
        for (var i = 0; i < 100; i++)
        {
            using var permit = await Bulkhead.AcquireAsync(3);
            permit.IsAcquired.Should().BeTrue();
            permit.IsHeld.Should().BeTrue();
        }

        _requests.Should().ContainSingle();
        var attempted = Bulkhead.AttemptAcquire(3);
        attempted.IsAcquired.Should().BeTrue();
        Bulkhead.AttemptAcquire().IsAcquired.Should().BeFalse("none is left");
        attempted.Dispose();
        attempted.Dispose();
        Bulkhead.GetStatistics().Should().BeEquivalentTo(
            new RateLimiterStatistics { TotalSuccessfulLeases = 101, TotalFailedLeases = 1, CurrentAvailablePermits = 3 });
    }

    [Fact]
    public async Task Permit_OfAnAuthorityThatFellSilent_IsLostBeforeTheLeaseEnds()
    {
        var permit = await Bulkhead.AcquireAsync();
        var lost = permit.Lost;
        Authority.OnRenewSlots = null;
        Advance(14.84);
        lost.IsCancellationRequested.Should().BeFalse();
        permit.IsHeld.Should().BeTrue();
        Advance(0.01);
        permit.IsHeld.Should().BeFalse("it asked at 0 s for 15 s, and clocks may differ by 1 %");
        await IsCancelledAsync(lost);
        permit.Lost.IsCancellationRequested.Should().BeTrue();
        await _log.WaitForAsync(112);
    }

    [Fact]
    public async Task Permit_WhoseClockHasPassedItsEnd_IsNotHeldThoughNoTimerHasRun()
    {
        var time = new StandingTime();
        var node = new FakeNode(time);
        var ledger = new SlotLedger(new BulkheadPolicy(), node.Clock.Now, new(1, Predecessor.None));
        node.Authority.OnRenewSlots = request => new(ledger.Renew(request, node.Clock.Now));
        var permit = await node.NewBulkhead().Bulkhead.AcquireAsync();
        time.Pass(TimeSpan.FromSeconds(14.84));
        permit.IsHeld.Should().BeTrue();
        time.Pass(TimeSpan.FromSeconds(0.01));
        permit.IsHeld.Should().BeFalse();
    }

    [Fact]
    public async Task Permit_WhoseAnswerTookLong_CountsItsLeaseFromTheAsking()
    {
        Authority.OnRenewSlots = request =>
        {
            var grant = _ledger.Renew(request, Now);
            Authority.OnRenewSlots = null;
            _node.Time.Advance(TimeSpan.FromMilliseconds(100));
            return new(grant);
        };
        var permit = await Bulkhead.AcquireAsync();
        Advance(14.74);
        permit.IsHeld.Should().BeTrue();
        Advance(0.01);
        permit.IsHeld.Should().BeFalse();
    }

    [Fact]
    public async Task Permits_AreRenewedTogetherAtAThirdForAsLongAsTheyAreHeld()
    {
        var first = await Bulkhead.AcquireAsync();
        var second = await Bulkhead.AcquireAsync(2);
        _requests.Clear();
        for (var i = 0; i < 300; i++)
            Advance(0.1);
        _requests.Count.Should().BeInRange(5, 7, "once in five seconds, however many are held");
        _requests.Should().OnlyContain(request => request.Held == 3 && request.InUse == 3);
        (first.IsHeld, second.IsHeld).Should().Be((true, true));

        first.Dispose();
        second.Dispose();
        Advance(1.1);
        Advance(0.1);
        _ledger.Lent.Should().Be(0, "nobody has used them for a second");
        _requests.Clear();
        Advance(60);
        _requests.Should().BeEmpty("there is nothing to say");
    }

    [Fact]
    public async Task Permit_OfAnAuthorityThatKnowsNothingOfIt_IsLost()
    {
        var permit = await Bulkhead.AcquireAsync();
        _ledger = new SlotLedger(new BulkheadPolicy { Capacity = 3 }, Now, new(1, Predecessor.None)); // an older one
        _ledger.Renew(new SlotsRequest(new Borrower(default, 5), 1, 0, 0, 0, 0, null, 0, 0), Now);
        Authority.OnRenewSlots = request => new(_ledger.Renew(request with { Epoch = 0 }, Now));
        Advance(5);
        permit.IsHeld.Should().BeFalse();
    }

    [Fact]
    public async Task Lost_CallbackThatThrowsOrIsSlow_KeepsNobodyElseFromBeingTold()
    {
        // A throwing callback kept every other permit from being told, and on a real timer ended the process; a slow one delayed the next.
        var permits = new[] { await Bulkhead.AcquireAsync(), await Bulkhead.AcquireAsync(), await Bulkhead.AcquireAsync() };
        using var slow = new ManualResetEventSlim();
        var told = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        permits[0].Lost.Register(static () => throw new InvalidOperationException("oh"));
        permits[1].Lost.Register(slow.Wait);
        permits[2].Lost.Register(told.SetResult);
        Authority.OnRenewSlots = null;
        Advance(15);
        permits.Should().OnlyContain(permit => !permit.IsHeld);
        await told.Task.WaitAsync(TimeSpan.FromSeconds(30));
        slow.Set();
        await _log.WaitForAsync(113);
    }

    [Fact]
    public async Task Lost_ReadWhileThePermitIsBeingLost_IsCancelledAllTheSame()
    {
        // A reader that looked just before the permit was marked, and stored just after: it never heard of it (3,747 times in one test).
        for (var i = 0; i < 2_000; i++)
        {
            var lot = new SlotLot();
            var node = _bulkhead;
            var permit = new BulkheadPermit(node, lot, 1);
            var ended = Task.Run(lot.End);
            var lost = permit.Lost;
            foreach (var watcher in await ended)
                await watcher.CancelAsync();
            lost.IsCancellationRequested.Should().BeTrue();
        }
    }

    [Fact]
    public async Task Lost_OfAPermitThatWasDisposed_IsNeverCancelled()
    {
        var permit = await Bulkhead.AcquireAsync();
        var lost = permit.Lost;
        await permit.DisposeAsync();
        permit.IsHeld.Should().BeFalse();
        Authority.OnRenewSlots = null;
        Advance(20);
        lost.IsCancellationRequested.Should().BeFalse();
    }

    [Fact]
    public async Task Permit_DisposedAfterItsLoanHasEnded_GivesNothingBackASecondTime()
    {
        var old = await Bulkhead.AcquireAsync(3);
        var renew = Authority.OnRenewSlots;
        Authority.OnRenewSlots = null;
        Advance(20);
        Authority.OnRenewSlots = renew;
        BulkheadPermit again;
        do
            again = await _node.FinishAsync(() => Bulkhead.AcquireAsync(2)); // until it has found out that it is answered again
        while (!again.IsAcquired);
        again.FencingToken.Should().BeGreaterThan(old.FencingToken);
        old.Dispose();
        Bulkhead.GetStatistics()!.CurrentAvailablePermits.Should().Be(0);
    }

    [Fact]
    public async Task Waiters_AreServedInTheOrderInWhichTheyCame()
    {
        // Eight acquires back to back from one node were served in the reverse order.
        var held = await Bulkhead.AcquireAsync(3);
        var order = new List<int>();
        var waiters = Enumerable.Range(0, 8).Select(async number =>
        {
            var permit = await Bulkhead.AcquireAsync(3);
            lock (order)
                order.Add(number);
            return permit;
        }).ToArray();
        _requests.Clear();
        foreach (var waiter in waiters)
        {
            held.Dispose();
            held = await waiter.WaitAsync(TimeSpan.FromSeconds(30));
        }

        order.Should().BeInAscendingOrder();
        _requests.Count.Should().BeLessThan(3, "nobody waits elsewhere");
    }

    [Fact]
    public async Task Acquire_CancelledInLine_LeavesItAndLetsTheNextPass()
    {
        var held = await Bulkhead.AcquireAsync(3);
        using var cancellation = new CancellationTokenSource();
        var first = Bulkhead.AcquireAsync(3, cancellation.Token).AsTask();
        var second = Bulkhead.AcquireAsync().AsTask();
        await cancellation.CancelAsync();
        await first.Awaiting(it => it).Should().ThrowAsync<OperationCanceledException>();
        held.Dispose();
        (await second.WaitAsync(TimeSpan.FromSeconds(30))).IsAcquired.Should().BeTrue();
        await Bulkhead.Awaiting(it => it.AcquireAsync(1, new CancellationToken(true)).AsTask()).Should().ThrowAsync<OperationCanceledException>();
        Bulkhead.GetStatistics()!.CurrentQueuedCount.Should().Be(0);
    }

    [Fact]
    public async Task Acquire_CancelledWhenNobodyElseWaits_TellsTheAuthority()
    {
        _other.Ask(_ledger, Now, 3);
        using var cancellation = new CancellationTokenSource();
        var waiting = Bulkhead.AcquireAsync(1, cancellation.Token).AsTask();
        _ledger.Waiting.Should().Be(1);
        await cancellation.CancelAsync();
        await waiting.Awaiting(it => it).Should().ThrowAsync<OperationCanceledException>();
        _ledger.Waiting.Should().Be(0);
    }

    [Fact]
    public async Task Acquire_WithASilentAuthority_IsRefused_AlsoOfOneWhoWaits()
    {
        _other.Ask(_ledger, Now, 3);
        var waiting = Bulkhead.AcquireAsync().AsTask();
        Authority.OnRenewSlots = null;
        await _node.Time.FinishAsync(() => waiting, TimeSpan.FromMilliseconds(10));
        Reason(await waiting).Should().Be(RefusalReason.AuthorityUnavailable);
        Reason(await _node.FinishAsync(() => Bulkhead.AcquireAsync())).Should().Be(RefusalReason.AuthorityUnavailable);
    }

    [Fact]
    public async Task Acquire_Refusals_SayWhy()
    {
        _other.Ask(_ledger, Now, 3);
        _other.Ask(_ledger, Now); // all are in use
        var refused = await Bulkhead.TryAcquireAsync();
        Reason(refused).Should().Be(RefusalReason.NoFreeSlot);
        refused.Lost.CanBeCanceled.Should().BeFalse();
        (refused.IsAcquired, refused.IsHeld, refused.FencingToken).Should().Be((false, false, 0));
        refused.MetadataNames.Should().Equal(MetadataName.ReasonPhrase.Name, ToolkitMetadata.Reason.Name, "POLICY", "KEY");
        refused.Invoking(it => it.EnsureAcquired()).Should().Throw<RateLimitedException>()
            .Which.Should().Match<RateLimitedException>(e => e.Policy == "api" && e.Key == "key" && e.Message.StartsWith("Refused by \"api/key\""));
        refused.TryGetMetadata(MetadataName.ReasonPhrase, out var phrase).Should().BeTrue();
        phrase.Should().Be("NoFreeSlot");
        refused.TryGetMetadata("other", out _).Should().BeFalse();
        refused.Dispose();

        _ledger.ChangeTo(new BulkheadPolicy { Capacity = 3, QueueLimit = 0 }, Now);
        Reason(await Bulkhead.AcquireAsync()).Should().Be(RefusalReason.QueueFull);
        Reason((BulkheadPermit)Bulkhead.AttemptAcquire()).Should().Be(RefusalReason.NoLocalStock);

        _ledger.ChangeTo(new BulkheadPolicy { Capacity = 3, MaxWait = TimeSpan.FromSeconds(3) }, Now);
        var waiting = Bulkhead.AcquireAsync().AsTask();
        for (var i = 0; i < 29; i++)
            Advance(0.1);
        waiting.IsCompleted.Should().BeFalse();
        Advance(0.1);
        Reason(await waiting.WaitAsync(TimeSpan.FromSeconds(30))).Should().Be(RefusalReason.WaitExpired);

        await Bulkhead.Awaiting(it => it.AcquireAsync(4).AsTask())
            .Should().ThrowAsync<ArgumentOutOfRangeException>().WithParameterName("permitCount").WithMessage("4 at once*1 to 3*");
        Bulkhead.Invoking(it => it.AttemptAcquire(4)).Should().Throw<ArgumentOutOfRangeException>().WithParameterName("permitCount");
        Bulkhead.GetStatistics()!.TotalFailedLeases.Should().Be(4);
    }

    [Fact]
    public async Task Acquire_OfAnUnknownPolicy_ThrowsToAllWhoAsked()
    {
        Authority.OnRenewSlots = _ => throw new UnknownPolicyException("bulkhead", "api", []);
        await Bulkhead.Awaiting(it => it.AcquireAsync().AsTask()).Should().ThrowAsync<UnknownPolicyException>();
        Authority.OnRenewSlots = _ => throw new InvalidOperationException("oh");
        await Bulkhead.Awaiting(it => it.TryAcquireAsync().AsTask()).Should().ThrowAsync<InvalidOperationException>();
        await _log.WaitForAsync(111);
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
        _requests.Should().BeEmpty();
    }

    [Fact]
    public async Task Attempt_ThatFindsNothing_AsksForTheNext()
    {
        Bulkhead.AttemptAcquire().IsAcquired.Should().BeFalse();
        Bulkhead.AttemptAcquire().IsAcquired.Should().BeTrue();
        _requests.Should().ContainSingle().Which.Spare.Should().Be(1);
        RateLimiter limiter = Bulkhead;
        (await limiter.AcquireAsync()).Should().BeOfType<BulkheadPermit>().Which.IsAcquired.Should().BeTrue();
    }

    [Fact]
    public async Task Close_FailsThoseWhoWaitAndThoseWhoCome_AndWhatIsHeldRunsOut()
    {
        Authority.OnSwitch = order =>
        {
            var obedience = _ledger.Obey(order, Now);
            _bulkhead.Hint(1_000, _ledger.Version, 0);
            return new(obedience.IsObeyed ? obedience : _ledger.Obey(order, Now));
        };
        var held = await Bulkhead.AcquireAsync(2);
        using var idle = await Bulkhead.AcquireAsync();
        idle.Dispose();
        var waiting = Bulkhead.AcquireAsync(3).AsTask();
        await Bulkhead.CloseAsync();
        (await waiting.Awaiting(it => it).Should().ThrowAsync<BulkheadClosedException>()).Which.Name.Should().Be("api/key");
        await Bulkhead.Awaiting(it => it.AcquireAsync().AsTask()).Should().ThrowAsync<BulkheadClosedException>();
        Bulkhead.AttemptAcquire().IsAcquired.Should().BeFalse();
        held.IsHeld.Should().BeTrue();
        _ledger.Lent.Should().Be(2);
        held.Dispose();
        _ledger.Lent.Should().Be(0);
        await Bulkhead.ReopenAsync();
        (await Bulkhead.AcquireAsync(3)).IsAcquired.Should().BeTrue();
    }

    [Fact]
    public async Task Close_ThatIsNotObeyed_DoesNotReturnAsIfItWere()
    {
        Authority.OnSwitch = _ => default;
        await Bulkhead.Awaiting(it => it.CloseAsync()).Should().ThrowAsync<AuthorityUnavailableException>();
    }

    [Fact]
    public async Task LetGo_GivesBackWhatLiesIdle()
    {
        using var held = await Bulkhead.AcquireAsync();
        (await Bulkhead.AcquireAsync(2)).Dispose();
        _ledger.Lent.Should().Be(3);
        await _bulkhead.LetGoAsync();
        _ledger.Lent.Should().Be(1);
        held.IsHeld.Should().BeTrue();
        await _bulkhead.LetGoAsync();
    }

    [Fact]
    public async Task IdleDuration_IsAbsentWhilePermitsAreHeldOrCallersWait()
    {
        Advance(3);
        Bulkhead.IdleDuration.Should().Be(TimeSpan.FromSeconds(3));
        var held = await Bulkhead.AcquireAsync(3);
        Bulkhead.IdleDuration.Should().BeNull();
        var waiting = Bulkhead.AcquireAsync().AsTask();
        held.Dispose();
        (await waiting).Dispose();
        Advance(0.5);
        Bulkhead.IdleDuration.Should().Be(TimeSpan.FromSeconds(0.5));
    }

    [Fact]
    public async Task Renewals_DoNotRunInTheContextOfWhoeverCalledFirst()
    {
        // A tenant's id in an AsyncLocal of the very first request was seen in every renewal.
        var tenant = new AsyncLocal<string>();
        var seen = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var node = new FakeNode(TimeProvider.System);
        var ledger = new SlotLedger(new BulkheadPolicy { Lease = TimeSpan.FromSeconds(2) }, node.Clock.Now, new(1, Predecessor.None));
        node.Authority.OnRenewSlots = request =>
        {
            if (request.Sequence > 1)
                seen.TrySetResult(tenant.Value);
            return new(ledger.Renew(request, node.Clock.Now));
        };
        tenant.Value = "acme";
        using var permit = await node.NewBulkhead().Bulkhead.AcquireAsync();
        permit.IsAcquired.Should().BeTrue();
        (await seen.Task.WaitAsync(TimeSpan.FromSeconds(20))).Should().BeNull();
    }

    private static RefusalReason Reason(BulkheadPermit permit)
    {
        permit.IsAcquired.Should().BeFalse();
        permit.TryGetMetadata(ToolkitMetadata.Reason, out var reason).Should().BeTrue();
        return reason;
    }

    private static async Task IsCancelledAsync(CancellationToken token)
    {
        var cancelled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var _ = token.Register(cancelled.SetResult);
        await cancelled.Task.WaitAsync(TimeSpan.FromSeconds(30), CancellationToken.None);
    }

    private void Advance(double seconds) => _node.Time.Advance(TimeSpan.FromSeconds(seconds));

    /// <summary>A clock that moves by hand, and whose timers never fire: a process that stood still.</summary>
    private sealed class StandingTime : TimeProvider
    {
        private long _now;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public void Pass(TimeSpan time) => _now += time.Ticks;

        public override long GetTimestamp() => _now;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => new NoTimer();

        private sealed class NoTimer : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => true;

            public void Dispose()
            {
            }

            public ValueTask DisposeAsync() => default;
        }
    }
}
