using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>The shell of a limiter that holds a part, under fake time, with the real authority's machine behind it.</summary>
public sealed class RateLimiterPartTests
{
    private readonly FakeNode _node = new();
    private readonly RateLimiterNode _limiter;
    private readonly TokenLedger _ledger;
    private int _renewals;
    private int _exactCalls;

    public RateLimiterPartTests()
    {
        _ledger = new TokenLedger(
            new RateLimiterPolicy { Burst = 1_000, TokensPerPeriod = 1_000, QueueLimit = 2_000 }, _node.Clock.Now, new(1, Predecessor.None));
        _node.Authority.OnAcquireTokens = request =>
        {
            _exactCalls++;
            return new(_ledger.Acquire(request, _node.Clock.Now));
        };
        _node.Authority.OnRenewPart = request =>
        {
            _renewals++;
            return new(_ledger.Renew(request, _node.Clock.Now));
        };
        _limiter = _node.NewLimiter();
    }

    private ClusterRateLimiter Limiter => _limiter.Limiter;

    [Fact]
    public void Attempt_AfterTheFirst_IsServedFromThePart()
    {
        Limiter.AttemptAcquire().TryGetMetadata(ToolkitMetadata.Reason, out var reason).Should().BeTrue();
        reason.Should().Be(RefusalReason.NoLocalStock);
        Limiter.AttemptAcquire().IsAcquired.Should().BeTrue("the first has asked for a part");
        (_exactCalls, _renewals).Should().Be((0, 1));
    }

    [Fact]
    public async Task Acquire_WithTokensAtHand_CompletesAtOnceWithoutACallOrAnAllocation()
    {
        Limiter.AttemptAcquire();
        await TakeAsync(); // whatever is allocated once
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 2; i++)
            Take();
        GC.GetAllocatedBytesForCurrentThread().Should().Be(before);
        (_exactCalls, _renewals).Should().Be((0, 1));
        Limiter.GetStatistics()!.TotalSuccessfulLeases.Should().Be(9);

        void Take()
        {
            if (!Limiter.AttemptAcquire().IsAcquired || !Result(Limiter.TryAcquireAsync()) || !Result(Limiter.AcquireAsync()))
                throw new InvalidOperationException("refused");
        }

        async Task TakeAsync()
        {
            (await Limiter.TryAcquireAsync(2)).IsAcquired.Should().BeTrue();
            (await Limiter.AcquireAsync(3)).IsAcquired.Should().BeTrue();
            Limiter.AttemptAcquire().IsAcquired.Should().BeTrue();
        }

        static bool Result(ValueTask<RateLimitLease> acquire) => acquire.IsCompletedSuccessfully && acquire.Result.IsAcquired;
    }

    [Fact]
    public async Task Waiters_OfADryPart_AreServedInTurnWithoutACallEach()
    {
        Drain();
        var waiters = Enumerable.Range(0, 200).Select(_ => Limiter.AcquireAsync().AsTask()).ToArray();
        Limiter.GetStatistics()!.CurrentQueuedCount.Should().Be(200);
        Limiter.IdleDuration.Should().BeNull("somebody waits here");
        var calls = _renewals;
        Pass(TimeSpan.FromMilliseconds(100));
        await Task.WhenAll(waiters[..80]).WaitAsync(TimeSpan.FromSeconds(20));
        waiters[150..].Should().OnlyContain(waiter => !waiter.IsCompleted, "they are served in turn, at the limiter's rate");
        Pass(TimeSpan.FromMilliseconds(150));
        (await Task.WhenAll(waiters).WaitAsync(TimeSpan.FromSeconds(20))).Should().OnlyContain(lease => lease.IsAcquired);
        _exactCalls.Should().Be(0);
        (_renewals - calls).Should().BeLessThan(10);
        Limiter.GetStatistics()!.CurrentQueuedCount.Should().Be(0);
    }

    [Fact]
    public async Task Waiter_WhoLeavesTheLine_LeavesHisTokenToTheNext()
    {
        Drain();
        using var cancellation = new CancellationTokenSource();
        var waiters = Enumerable.Range(0, 10).Select(i => Limiter.AcquireAsync(1, i < 9 ? cancellation.Token : default).AsTask()).ToArray();
        await cancellation.CancelAsync();
        foreach (var waiter in waiters[..9])
            await waiter.Awaiting(task => task).Should().ThrowAsync<OperationCanceledException>();
        Pass(TimeSpan.FromMilliseconds(4));
        (await waiters[9].WaitAsync(TimeSpan.FromSeconds(20))).IsAcquired.Should().BeTrue("nobody is ahead of him");
        Limiter.GetStatistics()!.CurrentQueuedCount.Should().Be(0);
        _node.Authority.TakenBack.Should().BeEmpty();
    }

    [Fact]
    public void Limiter_NotUsedAnyMore_GivesItsPartBackAndFallsSilent()
    {
        Limiter.AttemptAcquire();
        _ledger.Parts.LentRoom.Should().BeGreaterThan(0);
        Pass(TimeSpan.FromSeconds(2));
        _ledger.Parts.LentRoom.Should().Be(0);
        var calls = _renewals;
        Pass(TimeSpan.FromSeconds(10));
        _renewals.Should().Be(calls);
        Limiter.IdleDuration.Should().BeCloseTo(TimeSpan.FromSeconds(12), TimeSpan.FromSeconds(0.5));
    }

    [Fact]
    public async Task Caller_WhoIsRefusedAndAsksAgainReadyToWait_IsCountedOnce()
    {
        Refuse(1);
        var (admitted, refused) = Counted();
        var waits = Limiter.AcquireAsync().AsTask();
        Counted().Should().Be((admitted, refused - 1), "the one who was refused is the one who waits now");
        Pass(TimeSpan.FromMilliseconds(5));
        (await waits.WaitAsync(TimeSpan.FromSeconds(20))).IsAcquired.Should().BeTrue();
        Counted().Should().Be((admitted + 1, refused - 1));

        Refuse(2);
        (admitted, refused) = Counted();
        _ = Limiter.AcquireAsync(1).AsTask();
        Counted().Should().Be((admitted, refused), "that is another");
        _ = Limiter.AcquireAsync(2).AsTask();
        Counted().Should().Be((admitted, refused), "so is that, by now");
        Pass(TimeSpan.FromMilliseconds(50));

        Refuse(1);
        (_, refused) = Counted();
        _node.Time.Advance(TimeSpan.FromMilliseconds(2));
        _ = Limiter.AcquireAsync().AsTask();
        Counted().Refused.Should().Be(refused, "he comes too late to be the same");
    }

    [Fact]
    public async Task WithoutWaiting_ADryPart_AnswersNow()
    {
        var limiter = Limiter.WithoutWaiting();
        Refuse(1);
        var (admitted, refused) = Counted();
        using var lease = await limiter.AcquireAsync(1).AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        var outcome = lease.IsAcquired ? (admitted + 1, refused - 1) : (admitted, refused);
        Counted().Should().Be(outcome);
        limiter.GetStatistics()!.TotalFailedLeases.Should().Be(Counted().Refused);
        limiter.GetStatistics()!.CurrentQueuedCount.Should().Be(0);
        limiter.IdleDuration.Should().NotBeNull();
        Pass(TimeSpan.FromMilliseconds(50));
        limiter.AttemptAcquire().IsAcquired.Should().BeTrue();
        limiter.Invoking(it => it.AttemptAcquire(1_001)).Should().Throw<ArgumentOutOfRangeException>();
        await limiter.Awaiting(it => it.AcquireAsync(1_001).AsTask()).Should().ThrowAsync<ArgumentOutOfRangeException>();
    }

    [Fact]
    public async Task LetGo_WithAPart_IsDoneWhenTheAuthorityHasItBack()
    {
        await _limiter.LetGoAsync(); // of nothing
        Limiter.AttemptAcquire();
        _ledger.Parts.LentRoom.Should().BeGreaterThan(0);
        var answer = new TaskCompletionSource();
        var isHeard = _node.Authority.OnRenewPart!;
        _node.Authority.OnRenewPart = async request =>
        {
            await answer.Task;
            return await isHeard(request);
        };
        var letGo = _limiter.LetGoAsync();
        _limiter.LetGoAsync().Should().BeSameAs(letGo, "one is under way");
        letGo.IsCompleted.Should().BeFalse();
        answer.SetResult();
        await letGo.WaitAsync(TimeSpan.FromSeconds(20));
        _ledger.Parts.LentRoom.Should().Be(0);
        _ledger.Rest.Tokens.Should().Be(1_000, "nothing was taken");

        Limiter.AttemptAcquire().IsAcquired.Should().BeFalse();
        Pass(LeaseTerm.RenewAfter(LeaseTerm.OfPart));
        Limiter.AttemptAcquire().IsAcquired.Should().BeTrue("it has borrowed anew");
    }

    [Fact]
    public async Task LetGo_WhoseAuthorityDoesNotAnswer_IsDoneWhenTheCallGivesUp()
    {
        Limiter.AttemptAcquire();
        _node.Authority.OnRenewPart = null;
        await _node.Time.FinishAsync(_limiter.LetGoAsync, TimeSpan.FromMilliseconds(10));
        Limiter.GetStatistics()!.CurrentAvailablePermits.Should().Be(0);
    }

    private (long Admitted, long Refused) Counted() =>
        Limiter.GetStatistics() is { } all ? (all.TotalSuccessfulLeases, all.TotalFailedLeases) : default;

    // Until there is nothing at hand.
    private void Drain()
    {
        Limiter.AttemptAcquire();
        while (_ledger.Rest.Tokens > 30 || _limiter.TryTake(1))
        {
            Limiter.AttemptAcquire();
            _node.Time.Advance(TimeSpan.FromMicroseconds(10));
        }
    }

    private void Refuse(int tokens)
    {
        Drain();
        while (Limiter.AttemptAcquire(tokens).IsAcquired)
            continue;
    }

    private void Pass(TimeSpan duration)
    {
        for (var passed = TimeSpan.Zero; passed < duration; passed += TimeSpan.FromMilliseconds(1))
            _node.Time.Advance(TimeSpan.FromMilliseconds(1));
    }
}
