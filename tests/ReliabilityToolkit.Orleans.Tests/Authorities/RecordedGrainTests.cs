using Microsoft.Extensions.Time.Testing;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>What outlives an activation where a record is kept: the grains over a storage that can be made to fail, without a silo.</summary>
[Collection("records")]
public sealed class RecordedGrainTests : IDisposable
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));
    private readonly FakeStorage _storage = new();
    private readonly PolicySource _source;

    public RecordedGrainTests() => _source = new PolicySource(
        new PolicyMonitor
        {
            Write = policies =>
            {
                policies.RateLimiters["slow"] = new() { Burst = 100, TokensPerPeriod = 1, Period = Second };
                policies.RateLimiters["late"] = new() { Burst = 100, TokensPerPeriod = 1, Period = Second, RecordLate = true };
                policies.RateLimiters["quick"] = new() { Burst = 100, TokensPerPeriod = 100, Period = Second, RecordLate = true };
                policies.RateLimiters["fenced"] = new() { Burst = 100, TokensPerPeriod = 1, Period = Second, Durability = Durability.Fenced };
                policies.RateLimiters["volatile"] = new() { Burst = 100, TokensPerPeriod = 1, Period = Second, Durability = Durability.Volatile };
                policies.CircuitBreakers["api"] = new() { FailureThreshold = 2, CoolDown = Second * 60, TrialLease = Second * 5 };
                policies.Bulkheads["pool"] = new() { Capacity = 3, Lease = Second * 10 };
            },
        },
        new LogBook<PolicySource>());

    public void Dispose() => _source.Dispose();

    [Fact]
    public async Task Limiter_NewKey_IsWrittenOnceAndNeverPerRequest()
    {
        var limiter = await LimiterAsync("slow");
        _storage.Writes.Should().Be(1);
        for (var i = 0; i < 101; i++)
            (await limiter.AskAsync(grain => grain.TryAcquireAsync(1))).Should().Be(i < 100);
        _storage.Writes.Should().Be(1);
        _storage.Only!.IsClean.Should().BeFalse();
    }

    [Fact]
    public async Task Limiter_WhosePredecessorWasLost_HasNothingAndEarnsNothingForATerm()
    {
        await LimiterAsync("slow"); // lost: it never says goodbye
        var successor = await LimiterAsync("slow");
        (await successor.AskAsync(grain => grain.TryAcquireAsync(1))).Should().BeFalse();
        _time.Advance(LeaseTerm.OfPart + Second);
        (await successor.AskAsync(grain => grain.TryAcquireAsync(2))).Should().BeFalse("it began to earn after a term");
        (await successor.AskAsync(grain => grain.TryAcquireAsync(1))).Should().BeTrue();
    }

    [Fact]
    public async Task Quarantine_IsLoggedAndCountedOnce()
    {
        using var meter = new AuthorityMeter();
        using var book = new MeterBook(meter.Source);
        var log = Log<RateLimiterGrain>();
        await LimiterAsync("slow"); // lost
        var successor = await BeginAsync(
            "rt.limiter", "slow", (clock, store) => new RateLimiterGrain(FakeActivation.Around(clock, _source, store, meter: meter), log));
        for (var i = 0; i < 3; i++)
            await successor.AskAsync(grain => grain.TryAcquireAsync(1));
        log.Lines.Should().Equal(
            "Warning: The limiter slow lends nothing, or less, for 00:00:00.7500000: "
            + "an authority before it may have been lost, with something lent.");
        book.Of("authority.quarantines kind=limiter").Should().Be(1);
        book.Of("authority.activations kind=limiter predecessor=lost").Should().Be(1);
        book.Of("authority.decisions kind=limiter outcome=refused policy=slow").Should().Be(3);
    }

    [Fact]
    public async Task Limiter_WhosePredecessorSaidGoodbye_CarriesOnWithoutALoss()
    {
        var first = await LimiterAsync("slow");
        (await first.AskAsync(grain => grain.TryAcquireAsync(90))).Should().BeTrue();
        var epoch = (await first.AskAsync(grain => ((IRateLimiterProtocol)grain).RenewAsync(Wish(0)))).Epoch;
        await first.EndAsync();
        _storage.Only!.IsClean.Should().BeTrue();

        var successor = await LimiterAsync("slow");
        (await successor.AskAsync(grain => grain.TryAcquireAsync(11))).Should().BeFalse();
        (await successor.AskAsync(grain => grain.TryAcquireAsync(10))).Should().BeTrue();
        (await successor.AskAsync(grain => ((IRateLimiterProtocol)grain).RenewAsync(Wish(epoch)))).Epoch.Should().Be(epoch);
        _storage.Writes.Should().Be(3);
    }

    [Fact]
    public async Task Limiter_ThatWasAway_HasEarnedMeanwhileButForWhatTheClocksMayDiffer()
    {
        var first = await LimiterAsync("slow");
        (await first.AskAsync(grain => grain.TryAcquireAsync(100))).Should().BeTrue();
        await first.EndAsync();
        _time.Advance(Second * 10);
        (await (await LimiterAsync("slow")).AskAsync(grain => grain.GetStatusAsync())).AvailableTokens.Should().Be(9);
    }

    [Fact]
    public async Task OwnPolicy_OutlivesALostActivationAndAGoodbye()
    {
        var first = await LimiterAsync("slow");
        (await first.AskAsync(grain => grain.SetPolicyAsync(new() { Burst = 7, TokensPerPeriod = 1 }, 5))).Should().BeTrue();
        var second = await LimiterAsync("slow"); // the first is lost
        (await second.AskAsync(grain => grain.GetStatusAsync())).Should().Match<RateLimiterStatus>(it => it.Burst == 7 && it.PolicyVersion == 5);
        _time.Advance(Second * 60);
        await second.EndAsync();
        _storage.Rows.Should().Be(1, "though its bucket is full");
        var third = await LimiterAsync("slow");
        (await third.AskAsync(grain => grain.SetPolicyAsync(new() { Burst = 9 }, 4))).Should().BeFalse();
        (await third.AskAsync(grain => grain.ClearPolicyAsync(6))).Should().BeTrue();
        await third.EndAsync();
        var fourth = await LimiterAsync("slow");
        (await fourth.AskAsync(grain => grain.SetPolicyAsync(new() { Burst = 9 }, 5))).Should().BeFalse("it was cleared since");
        (await fourth.AskAsync(grain => grain.GetStatusAsync())).Burst.Should().Be(100);
    }

    [Fact]
    public async Task OwnPolicy_ThatCannotBeRecorded_IsToldSoAndIsRecordedWhenItComesAgain()
    {
        var limiter = await LimiterAsync("slow");
        _storage.Before = () => Task.FromException(new IOException("no storage"));
        await limiter.Awaiting(it => it.AskAsync(grain => grain.SetPolicyAsync(new() { Burst = 7 }, 5)))
            .Should().ThrowAsync<AuthorityUnavailableException>();
        _storage.Before = null;
        (await limiter.AskAsync(grain => grain.SetPolicyAsync(new() { Burst = 7 }, 5))).Should().BeTrue();
        (await (await LimiterAsync("slow")).AskAsync(grain => grain.GetStatusAsync())).Burst.Should().Be(7);
    }

    [Fact]
    public async Task OwnPolicy_ThatMovesToWhereItsPolicyIsNotKnownYet_IsThereWhenThatHasCome()
    {
        var first = await LimiterAsync("volatile");
        (await first.AskAsync(grain => grain.SetPolicyAsync(new() { Burst = 7 }, 5))).Should().BeTrue();
        var moved = new FakeMigration();
        await first.AskAsync(grain =>
        {
            grain.OnDehydrate(moved);
            return new ValueTask<bool>(true);
        });
        var monitor = new PolicyMonitor { Write = static _ => { } };
        using var source = new PolicySource(monitor, Log<PolicySource>());
        var second = await BeginAsync(
            "rt.limiter",
            "volatile",
            (clock, store) => new RateLimiterGrain(FakeActivation.Around(clock, source, store), Log<RateLimiterGrain>()),
            moved);
        monitor.Write = static policies => policies.RateLimiters["volatile"] = new() { Durability = Durability.Volatile };
        monitor.Tell(monitor.CurrentValue);
        (await second.AskAsync(grain => grain.GetStatusAsync())).Should().Match<RateLimiterStatus>(it => it.Burst == 7 && it.PolicyVersion == 5);
    }

    [Fact]
    public async Task OwnPolicy_OfAVolatileLimiter_MovesWithItAndKeepsItInMemory()
    {
        var first = await LimiterAsync("volatile");
        (await first.AskAsync(grain => grain.SetPolicyAsync(new() { Burst = 7 }, 5))).Should().BeTrue();
        first.Activation.Delays.Should().Contain(Timeout.InfiniteTimeSpan);
        var moved = new FakeMigration();
        await first.AskAsync(grain =>
        {
            grain.OnDehydrate(moved);
            return new ValueTask<bool>(true);
        });
        (await (await LimiterAsync("volatile", moved)).AskAsync(grain => grain.GetStatusAsync())).PolicyVersion.Should().Be(5);
    }

    [Fact]
    public async Task Limiter_ThatIsFullAgain_LeavesNoRecord()
    {
        var limiter = await LimiterAsync("slow");
        await limiter.AskAsync(grain => grain.TryAcquireAsync(1));
        _time.Advance(Second * 2);
        await limiter.EndAsync();
        _storage.Rows.Should().Be(0);
        (await (await LimiterAsync("slow")).AskAsync(grain => grain.TryAcquireAsync(100))).Should().BeTrue("nothing was there to be remembered");
    }

    [Fact]
    public async Task Limiter_RecordedLate_IsWrittenBeforeTheAnswerThatLeavesLessThanHalf()
    {
        var limiter = await LimiterAsync("late");
        await limiter.AskAsync(grain => grain.TryAcquireAsync(50));
        _storage.Writes.Should().Be(0);
        _storage.Before = () => Task.FromException(new IOException("no storage"));
        await limiter.Awaiting(it => it.AskAsync(grain => grain.TryAcquireAsync(1))).Should().ThrowAsync<AuthorityUnavailableException>();
        _storage.Before = null;
        await limiter.AskAsync(grain => grain.TryAcquireAsync(1));
        await limiter.AskAsync(grain => grain.TryAcquireAsync(1));
        _storage.Writes.Should().Be(1);
        (await (await LimiterAsync("late")).AskAsync(grain => grain.TryAcquireAsync(1))).Should().BeFalse("its predecessor was lost");
    }

    [Fact]
    public async Task Limiter_RecordedLate_LendsNoPartWithoutARecord()
    {
        var limiter = await LimiterAsync("quick");
        _storage.Before = () =>
        {
            _storage.Writes.Should().Be(0);
            return Task.CompletedTask;
        };
        (await limiter.AskAsync(grain => ((IRateLimiterProtocol)grain).RenewAsync(Wish(0)))).Room.Should().BePositive();
        _storage.Writes.Should().Be(1);
    }

    [Fact]
    public async Task Limiter_Volatile_IsNeverWritten()
    {
        var limiter = await LimiterAsync("volatile");
        (await limiter.AskAsync(grain => grain.TryAcquireAsync(100))).Should().BeTrue();
        await limiter.EndAsync();
        (_storage.Writes, _storage.Reads).Should().Be((0, 0));
    }

    [Fact]
    public async Task Limiter_Fenced_ThatIsNotTheOneAnyMore_StopsWithinThreeSeconds()
    {
        var zombie = await LimiterAsync("fenced");
        (await zombie.AskAsync(grain => grain.TryAcquireAsync(1))).Should().BeTrue();
        var successor = await LimiterAsync("fenced");
        (await zombie.AskAsync(grain => grain.TryAcquireAsync(1))).Should().BeTrue("it cannot know yet");
        _time.Advance(LeaseTerm.OfOwnership);
        await zombie.Awaiting(it => it.AskAsync(grain => grain.TryAcquireAsync(1))).Should().ThrowAsync<AuthorityUnavailableException>();
        zombie.Activation.LetGo.Should().Be(1);
        await zombie.EndAsync();
        _storage.Only!.IsClean.Should().BeFalse("the record is the successor's");

        (await successor.AskAsync(grain => grain.TryAcquireAsync(1))).Should().BeFalse("what the other lent at its last may not have ended");
        _time.Advance(LeaseTerm.OfPart + Second);
        (await successor.AskAsync(grain => grain.TryAcquireAsync(1))).Should().BeTrue();
    }

    [Fact]
    public async Task Limiter_Fenced_InUse_WritesOnceASecond()
    {
        var limiter = await LimiterAsync("fenced");
        for (var i = 0; i < 100; i++)
        {
            await limiter.AskAsync(grain => grain.TryAcquireAsync(1));
            _time.Advance(Second / 10);
        }

        _storage.Writes.Should().BeInRange(9, 11);
    }

    [Fact]
    public async Task Limiter_Fenced_WhoseStorageIsGone_AnswersForThreeSecondsAndThenWhenItIsBack()
    {
        var limiter = await LimiterAsync("fenced");
        _storage.Before = () => Task.FromException(new IOException("no storage"));
        _time.Advance(LeaseTerm.OfOwnership - (LeaseTerm.OfOwnership / 50));
        (await limiter.AskAsync(grain => grain.TryAcquireAsync(1))).Should().BeTrue();
        _time.Advance(LeaseTerm.OfOwnership / 50);
        await limiter.Awaiting(it => it.AskAsync(grain => grain.TryAcquireAsync(1))).Should().ThrowAsync<AuthorityUnavailableException>();
        _storage.Before = null;
        (await limiter.AskAsync(grain => grain.TryAcquireAsync(1))).Should().BeTrue();
        limiter.Activation.LetGo.Should().Be(0, "nobody has taken its place");
    }

    [Fact]
    public async Task Breaker_ThatOpened_IsRecordedBeforeAnybodyHears()
    {
        var breaker = await BreakerAsync();
        var pass = await breaker.AskAsync(grain => grain.EnterAsync());
        await breaker.AskAsync(grain => Told(grain.ReportAsync(pass, CircuitOutcome.Failed)));
        _storage.Writes.Should().Be(1);
        _storage.Before = () => Task.FromException(new IOException("no storage"));
        await breaker.Awaiting(it => it.AskAsync(grain => Told(grain.ReportAsync(pass, CircuitOutcome.Failed))))
            .Should().ThrowAsync<AuthorityUnavailableException>();
        _storage.Before = null;
        (await breaker.AskAsync(grain => grain.GetStatusAsync())).State.Should().Be(CircuitState.Open);
        _storage.Writes.Should().Be(2, "what could not be written is written before the next answer");
    }

    [Fact]
    public async Task Breaker_WhosePredecessorWasLost_IsOpenForWhatIsLeft()
    {
        var breaker = await BreakerAsync();
        _ = breaker.AskAsync(grain => grain.TripAsync("by hand"));
        await breaker.AskAsync(grain => grain.GetStatusAsync());
        _time.Advance(Second * 20);

        var status = await (await BreakerAsync()).AskAsync(grain => grain.GetStatusAsync());
        status.State.Should().Be(CircuitState.Open);
        status.RetryAfter.Should().BeCloseTo(Second * 41, Second / 10, "a second may be the clocks'");
        (status.Cause, status.Reason).Should().Be((CircuitCause.Tripped, "by hand"));
    }

    [Fact]
    public async Task Breaker_WhosePredecessorMayHaveLetTrialsThrough_LetsNoneThroughUntilTheyAreOver()
    {
        var breaker = await BreakerAsync();
        _ = breaker.AskAsync(grain => grain.TripAsync("by hand"));
        await breaker.AskAsync(grain => grain.GetStatusAsync());
        _time.Advance(Second * 60);
        (await breaker.AskAsync(grain => grain.EnterAsync())).Trial.Should().NotBe(0);

        var successor = await BreakerAsync();
        (await successor.AskAsync(grain => grain.EnterAsync())).IsAdmitted.Should().BeFalse("the other's trial is under way");
        _time.Advance(Second * 5);
        (await successor.AskAsync(grain => grain.EnterAsync())).Trial.Should().NotBe(0);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Breaker_Isolated_StaysSo(bool saysGoodbye)
    {
        var breaker = await BreakerAsync();
        _ = breaker.AskAsync(grain => grain.IsolateAsync("for good"));
        await breaker.AskAsync(grain => grain.GetStatusAsync());
        if (saysGoodbye)
            await breaker.EndAsync();
        _time.Advance(Second * 86_400 * 365);
        var status = await (await BreakerAsync()).AskAsync(grain => grain.GetStatusAsync());
        (status.State, status.Reason).Should().Be((CircuitState.Isolated, "for good"));
    }

    [Fact]
    public async Task Breaker_ThatSaidGoodbye_CountsOn()
    {
        var breaker = await BreakerAsync();
        var pass = await breaker.AskAsync(grain => grain.EnterAsync());
        await breaker.AskAsync(grain => Told(grain.ReportAsync(pass, CircuitOutcome.Failed)));
        await breaker.EndAsync();
        var successor = await BreakerAsync();
        await successor.AskAsync(grain => Told(grain.ReportAsync(pass, CircuitOutcome.Failed)));
        (await successor.AskAsync(grain => grain.GetStatusAsync())).State.Should().Be(CircuitState.Open);
    }

    [Fact]
    public async Task Breaker_ThatWasReset_LeavesNoRecord()
    {
        var breaker = await BreakerAsync();
        _ = breaker.AskAsync(grain => grain.TripAsync("by hand"));
        await breaker.AskAsync(grain => Told(grain.ResetAsync("well again")));
        await breaker.EndAsync();
        _storage.Rows.Should().Be(0);
    }

    [Fact]
    public async Task Bulkhead_WhosePredecessorWasLost_LendsOnlyToHoldersWhoSaySo()
    {
        var first = await BulkheadAsync();
        var (holder, other) = (new SlotBorrower(1), new SlotBorrower(2));
        await RenewAsync(first, holder, 2);
        var second = await BulkheadAsync();
        (await RenewAsync(second, other, 1)).Slots.Should().Be(0);
        (await RenewAsync(second, holder, 0)).Kept.Should().Be(2);
        _time.Advance(Second * 9);
        (await RenewAsync(second, other, 1)).Slots.Should().Be(0);
        (await RenewAsync(second, holder, 0)).Kept.Should().Be(2);
        _time.Advance(Second);
        (await RenewAsync(second, other, 1)).Slots.Should().Be(1);
    }

    [Fact]
    public async Task Bulkhead_WhosePredecessorSaidGoodbye_GoesOnWithPermitsAndPlaces()
    {
        var first = await BulkheadAsync();
        var (holder, other) = (new SlotBorrower(1), new SlotBorrower(2));
        await RenewAsync(first, holder, 3);
        (await RenewAsync(first, other, 1)).Places.Should().Be(1);
        var direct = await first.AskAsync(grain => grain.TryAcquireAsync(1));
        direct.IsAcquired.Should().BeFalse();
        await first.EndAsync();

        var second = await BulkheadAsync();
        var status = await second.AskAsync(grain => grain.GetStatusAsync());
        (status.AvailableSlots, status.Waiting, status.HighWaterMark).Should().Be((0, 1, 3));
        holder.Held--;
        await RenewAsync(second, holder, 0);
        (await RenewAsync(second, other, 1)).Slots.Should().Be(1);
        await second.AskAsync(grain => grain.GetStatusAsync());
        (other.Epoch, holder.Epoch).Should().Be((holder.Epoch, other.Epoch));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Bulkhead_Closed_StaysSo(bool saysGoodbye)
    {
        var first = await BulkheadAsync();
        await first.AskAsync(grain => Told(grain.CloseAsync()));
        if (saysGoodbye)
            await first.EndAsync();
        await (await BulkheadAsync()).Awaiting(it => it.AskAsync(grain => grain.TryAcquireAsync(1))).Should().ThrowAsync<BulkheadClosedException>();
    }

    [Fact]
    public async Task Activation_WhoseStorageFails_DoesNotBegin()
    {
        _storage.Before = () => Task.FromException(new IOException("no storage"));
        var thrown = await FluentActions.Awaiting(() => LimiterAsync("slow")).Should().ThrowAsync<AuthorityUnavailableException>();
        thrown.Which.Message.Should().Be("The authority of \"slow\" may not decide: no storage");
        _storage.Before = null;
        (await (await LimiterAsync("slow")).AskAsync(grain => grain.TryAcquireAsync(100))).Should().BeTrue("nothing was changed");
    }

    [Fact]
    public async Task Activation_WhoseStorageHangs_DoesNotBeginEither()
    {
        var never = new TaskCompletionSource();
        _storage.Before = () => never.Task;
        await FluentActions.Awaiting(() => _time.FinishAsync(() => LimiterAsync("slow"), Second / 10)).Should()
            .ThrowAsync<AuthorityUnavailableException>();
    }

    [Fact]
    public async Task Activation_WhoseWriteGotNoAnswer_KnowsItsOwnRecord()
    {
        // It was carried out: the tag that the activation knows is out of date, and nobody else has written.
        var breaker = await BreakerAsync();
        _storage.After = () => Task.FromException(new IOException("no answer"));
        await breaker.Awaiting(it => it.AskAsync(grain => Told(grain.IsolateAsync("for good")))).Should()
            .ThrowAsync<AuthorityUnavailableException>();
        _storage.After = null;
        (await breaker.AskAsync(grain => grain.GetStatusAsync())).State.Should().Be(CircuitState.Isolated);
        breaker.Activation.LetGo.Should().Be(0);
    }

    [Fact]
    public async Task Activation_WhoseOwnWriteComesLate_DoesNotTakeItForAnothers()
    {
        // The write had no answer in time; the record was read and was as before; only then was it carried out.
        var breaker = await BreakerAsync();
        var carryOut = new TaskCompletionSource();
        _storage.Before = () => carryOut.Task;
        var isolated = breaker.AskAsync(grain => Told(grain.IsolateAsync("for good")));
        await _time.FinishAsync(() => isolated.ContinueWith(static _ => { }, TaskScheduler.Default), Second / 10);
        await FluentActions.Awaiting(() => isolated).Should().ThrowAsync<AuthorityUnavailableException>();
        var reads = _storage.Reads;
        _storage.Before = () =>
        {
            if (_storage.Reads > reads)
                carryOut.TrySetResult();
            return Task.CompletedTask;
        };
        (await breaker.AskAsync(grain => grain.GetStatusAsync())).State.Should().Be(CircuitState.Isolated);
        breaker.Activation.LetGo.Should().Be(0);
    }

    [Fact]
    public async Task Activation_WhoseFirstWriteGotNoAnswer_StillCarriesOn()
    {
        var first = await LimiterAsync("slow");
        await first.AskAsync(grain => grain.TryAcquireAsync(90));
        await first.EndAsync();
        _storage.After = () =>
        {
            _storage.After = null;
            return Task.FromException(new IOException("no answer"));
        };
        (await (await LimiterAsync("slow")).AskAsync(grain => grain.TryAcquireAsync(10))).Should().BeTrue("the goodbye was not lost");
    }

    [Theory]
    [InlineData("slow")]
    [InlineData("late")]
    [InlineData("volatile")]
    public async Task Limiter_ThatMoves_TakesAllAlongAndIsKept(string name)
    {
        var first = await LimiterAsync(name);
        await first.AskAsync(grain => grain.TryAcquireAsync(40));
        var moved = new FakeMigration();
        await first.EndAsync(DeactivationReasonCode.Migrating);
        await first.AskAsync(grain =>
        {
            grain.OnDehydrate(moved);
            return new ValueTask<bool>(true);
        });
        var second = await LimiterAsync(name, moved);
        second.Activation.Delays.Should().ContainSingle("else it could be collected before anybody asks");
        (await second.AskAsync(grain => grain.TryAcquireAsync(61))).Should().BeFalse();
        (await second.AskAsync(grain => grain.TryAcquireAsync(60))).Should().BeTrue();
    }

    [Fact]
    public async Task Limiter_ThatMovesToWhereItsPolicyIsNotKnownYet_ForgetsNothing()
    {
        var first = await LimiterAsync("volatile");
        await first.AskAsync(grain => grain.TryAcquireAsync(90));
        var (moved, again) = (new FakeMigration(), new FakeMigration());
        await first.AskAsync(grain =>
        {
            grain.OnDehydrate(moved);
            return new ValueTask<bool>(true);
        });
        using var source = new PolicySource(new PolicyMonitor { Write = static _ => { } }, Log<PolicySource>());
        var second = await BeginAsync(
            "rt.limiter",
            "volatile",
            (clock, store) => new RateLimiterGrain(FakeActivation.Around(clock, source, store), Log<RateLimiterGrain>()),
            moved);
        await second.Awaiting(it => it.AskAsync(grain => grain.TryAcquireAsync(1))).Should().ThrowAsync<UnknownPolicyException>();
        second.Activation.LetGo.Should().Be(0);
        await second.AskAsync(grain =>
        {
            grain.OnDehydrate(again);
            return new ValueTask<bool>(true);
        });
        (await (await LimiterAsync("volatile", again)).AskAsync(grain => grain.TryAcquireAsync(11))).Should().BeFalse();
    }

    [Fact]
    public async Task Limiter_ThatMovesPastAStaleRecord_GoesByWhatMoved()
    {
        // Recorded once, then volatile for a while, now recorded again.
        await (await LimiterAsync("slow")).AskAsync(grain => grain.TryAcquireAsync(1));
        var stale = _storage.Only!;
        (stale.IsClean, stale.Epoch) = (true, 1);
        stale.Memory = FakeStorage.Write(new LimiterMemory(1, 0, default, false, 1, 100, [], [], [], 1));
        var moved = new FakeMigration();
        moved.TryAddValue(
            RecordStore.Name,
            new Carried<LimiterMemory>("another", false, long.MaxValue / 2, new LimiterMemory(7, 0, default, false, 1, 5, [], [], [], 1)));
        (await (await LimiterAsync("slow", moved)).AskAsync(grain => grain.GetStatusAsync())).AvailableTokens.Should().Be(5);
    }

    [Fact]
    public async Task Breaker_WhosePredecessorWasLost_DoesNotRememberWhatWasForgivenSince()
    {
        var first = await BreakerAsync();
        var pass = await first.AskAsync(grain => grain.EnterAsync());
        await first.AskAsync(grain => Told(grain.ReportAsync(pass, CircuitOutcome.Failed)));
        await first.EndAsync();
        var second = await BreakerAsync(); // takes the record with what is in it, and is lost
        await second.AskAsync(grain => Told(grain.ReportAsync(pass, CircuitOutcome.Succeeded)));
        (await (await BreakerAsync()).AskAsync(grain => grain.GetStatusAsync())).ConsecutiveFailures.Should().Be(0);
    }

    [Fact]
    public async Task Bulkhead_CloseThatChangedNothing_IsNotGivenAnewByASuccessor()
    {
        var (first, close) = (await BulkheadAsync(), new SlotOrder(new Asker(1).Next(), SlotCommand.Close, default));
        await first.AskAsync(grain => Told(grain.CloseAsync()));
        await first.AskAsync(grain => ((IBulkheadProtocol)grain).CommandAsync(close));
        var second = await BulkheadAsync(); // the first was lost
        await second.AskAsync(grain => Told(grain.ReopenAsync()));
        await second.AskAsync(grain => ((IBulkheadProtocol)grain).CommandAsync(close)); // a late copy
        (await second.AskAsync(grain => grain.GetStatusAsync())).IsClosed.Should().BeFalse();
    }

    [Fact]
    public async Task Activation_WhoseRecordIsNewer_RefusesAndChangesNothing()
    {
        await LimiterAsync("slow");
        var newer = _storage.Only!;
        newer.Format = AuthorityRecord.NewestFormat + 1;
        var thrown = await FluentActions.Awaiting(() => LimiterAsync("slow")).Should().ThrowAsync<AuthorityUnavailableException>();
        thrown.Which.Message.Should().Contain("its record has format 2, and this version knows 1 at most; nothing was changed.");
        _storage.Writes.Should().Be(1);
        _storage.Only.Should().BeSameAs(newer);
    }

    [Fact]
    public async Task Activation_ThatLosesItsRecord_StopsAnswering()
    {
        var breaker = await BreakerAsync();
        await BreakerAsync(); // another has taken it
        await breaker.Awaiting(it => it.AskAsync(grain => Told(grain.IsolateAsync("for good")))).Should()
            .ThrowAsync<AuthorityUnavailableException>();
        breaker.Activation.LetGo.Should().Be(1);
        await breaker.Awaiting(it => it.AskAsync(grain => grain.GetStatusAsync())).Should().ThrowAsync<AuthorityUnavailableException>();
        var (writes, record) = (_storage.Writes, _storage.Only);
        await breaker.EndAsync();
        (_storage.Writes, _storage.Only).Should().Be((writes, record), "a late goodbye would speak for the other");
    }

    private static PartRequest Wish(long epoch) =>
        new(new Borrower(Guid.AllBitsSet, 1), 1, epoch, 0, 0, 0, 0, 0, Demand: 100, Asked: 0, AtTheDoor: 0);

    private static async ValueTask<bool> Told(ValueTask told)
    {
        await told;
        return true;
    }

    private static async ValueTask<bool> Told(ValueTask<KillSwitchResult> told)
    {
        await told;
        return true;
    }

    private static Task<SlotsGrant> RenewAsync(Recorded<BulkheadGrain> bulkhead, SlotBorrower node, int callers) =>
        bulkhead.AskAsync(grain => node.AskAsync(grain, callers));

    private Task<Recorded<RateLimiterGrain>> LimiterAsync(string name, FakeMigration? moved = null) => BeginAsync(
        "rt.limiter", name, (clock, store) =>
            new RateLimiterGrain(FakeActivation.Around(clock, _source, store), Log<RateLimiterGrain>()),
        moved);

    private Task<Recorded<CircuitBreakerGrain>> BreakerAsync() => BeginAsync(
        "rt.breaker", "api", (clock, store) => new CircuitBreakerGrain(FakeActivation.Around(clock, _source, store), Log<CircuitBreakerGrain>()));

    private Task<Recorded<BulkheadGrain>> BulkheadAsync() => BeginAsync(
        "rt.bulkhead", "pool", (clock, store) =>
            new BulkheadGrain(FakeActivation.Around(clock, _source, store), Log<BulkheadGrain>()));

    private static LogBook<T> Log<T>() => new();

    private async Task<Recorded<TGrain>> BeginAsync<TGrain>(
        string type, string name, Func<NodeClock, RecordStore, TGrain> create, FakeMigration? moved = null)
        where TGrain : Grain, IGrainMigrationParticipant
    {
        _time.Advance(TimeSpan.FromMilliseconds(2)); // epochs are of different milliseconds
        var clock = new NodeClock(_time);
        var activation = new FakeActivation(type, name, _time);
        var it = new Recorded<TGrain>(activation, activation.Create(() => create(clock, _storage.Store(clock))));
        await it.AskAsync(async grain =>
        {
            if (moved is not null)
                grain.OnRehydrate(moved);
            await grain.OnActivateAsync(default);
            return true;
        });
        return it;
    }

    private sealed record Recorded<TGrain>(FakeActivation Activation, TGrain Grain)
        where TGrain : Grain
    {
        public Task<T> AskAsync<T>(Func<TGrain, ValueTask<T>> call) => Activation.TurnAsync(() => call(Grain));

        public Task<bool> EndAsync(DeactivationReasonCode why = DeactivationReasonCode.ShuttingDown) => AskAsync(async grain =>
        {
            await grain.OnDeactivateAsync(new DeactivationReason(why, ""), default);
            return true;
        });

        public Func<Task> Awaiting(Func<Recorded<TGrain>, Task> call) => () => call(this);
    }
}
