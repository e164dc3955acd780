using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class TokenLedgerTests
{
    private readonly Asker _node = new(1);

    [Fact]
    public void Ledger_New_IsFullAndNeverAboveBurst()
    {
        var ledger = NewLedger(perSecond: 10, burst: 3);

        Try(ledger, 3, At(1000)).IsGranted.Should().BeTrue();
        Try(ledger, 1, At(1000)).IsGranted.Should().BeFalse();
    }

    [Fact]
    public void Ledger_Refusal_TellsTheFirstInstantAtWhichTheTokensAreThere()
    {
        var ledger = NewLedger(perSecond: 3, burst: 3);
        Try(ledger, 3, At(0));

        var refusal = Try(ledger, 1, At(0));
        refusal.Reason.Should().Be(RefusalReason.RateLimited);
        refusal.RetryAfter.Ticks.Should().Be(3_333_334, "a third of a second, rounded up to a tick");
        Try(ledger, 1, new Instant(3_333_333)).IsGranted.Should().BeFalse();
        Try(ledger, 1, new Instant(3_333_334)).IsGranted.Should().BeTrue();
    }

    [Fact]
    public void Ledger_Fractions_AreKept()
    {
        var ledger = NewLedger(perSecond: 3, burst: 3);
        Try(ledger, 3, At(0));

        // Three times a third of a second is a whole one: rounded each time, the third token would be missing at 1 s.
        for (var i = 1; i <= 3; i++)
            Try(ledger, 1, new Instant(i * 10_000_000 / 3 + 1)).IsGranted.Should().BeTrue();
        Try(ledger, 1, At(1.3)).IsGranted.Should().BeFalse();
    }

    [Fact]
    public void Ledger_Waiters_GetReservationsInOrder()
    {
        var ledger = NewLedger(perSecond: 10, burst: 1);
        Wait(ledger, 1, At(0)).ReadyAfter.Should().Be(TimeSpan.Zero);
        Wait(ledger, 1, At(0)).ReadyAfter.Should().Be(Seconds(0.1));
        Wait(ledger, 1, At(0.05)).ReadyAfter.Should().Be(Seconds(0.15));
        ledger.Describe(At(0.05))
            .Should().Be(new RateLimiterStatus(AvailableTokens: 0, Burst: 1, TokensPerPeriod: 10, Period: Seconds(1), Waiting: 2));
    }

    [Fact]
    public void Ledger_TryWhileOthersWait_DoesNotOvertake()
    {
        var ledger = NewLedger(perSecond: 10, burst: 10);
        Try(ledger, 9, At(0));
        Wait(ledger, 5, At(0)).ReadyAfter.Should().Be(Seconds(0.4));

        var refusal = Try(ledger, 1, At(0)); // a token is there, but it is part of the five
        refusal.IsGranted.Should().BeFalse();
        refusal.RetryAfter.Should().Be(Seconds(0.5));
    }

    [Fact]
    public void Ledger_FullQueue_RefusesWithRetryAfter()
    {
        var ledger = NewLedger(perSecond: 2, burst: 1, queueLimit: 1);
        Try(ledger, 1, At(0));
        Wait(ledger, 1, At(0)).IsGranted.Should().BeTrue();

        var refusal = Wait(ledger, 1, At(0));
        refusal.Reason.Should().Be(RefusalReason.QueueFull);
        refusal.RetryAfter.Should().Be(Seconds(1));
        Wait(ledger, 1, At(0.5)).IsGranted.Should().BeTrue("the first waiter has been served");
    }

    [Fact]
    public void Ledger_CancelledLastWaiter_GivesAllBack()
    {
        var ledger = NewLedger(perSecond: 10, burst: 4);
        Try(ledger, 4, At(0));
        var cancelled = _node.Next();
        ledger.Acquire(new TokenRequest(cancelled, 3, true), At(0)).ReadyAfter.Should().Be(Seconds(0.3));

        ledger.Cancel(new TokenCancellation(cancelled), At(0.1));

        Try(ledger, 1, At(0.1)).IsGranted.Should().BeTrue();
        Wait(ledger, 1, At(0.1)).ReadyAfter.Should().Be(Seconds(0.1));
    }

    [Fact]
    public void Ledger_CancelledMiddleWaiter_LeavesItsInstantToANewcomer()
    {
        // Burst 1: B and C were told 0.2 s and 0.3 s, and cannot be told better. D may have A's tenth, for it delays nobody.
        var ledger = NewLedger(perSecond: 10, burst: 1);
        Try(ledger, 1, At(0));
        var a = _node.Next();
        ledger.Acquire(new TokenRequest(a, 1, true), At(0)).ReadyAfter.Should().Be(Seconds(0.1));
        Wait(ledger, 1, At(0)).ReadyAfter.Should().Be(Seconds(0.2));
        Wait(ledger, 1, At(0)).ReadyAfter.Should().Be(Seconds(0.3));

        ledger.Cancel(new TokenCancellation(a), At(0));

        Try(ledger, 1, At(0)).RetryAfter.Should().Be(Seconds(0.4));
        Wait(ledger, 1, At(0)).ReadyAfter.Should().Be(Seconds(0.1));
        Wait(ledger, 1, At(0)).ReadyAfter.Should().Be(Seconds(0.4));
    }

    [Fact]
    public void Ledger_GapTooSmallForANewcomer_StaysForASmallerOne()
    {
        var ledger = NewLedger(perSecond: 10, burst: 4);
        Try(ledger, 4, At(0));
        var two = _node.Next();
        ledger.Acquire(new TokenRequest(two, 2, true), At(0)).ReadyAfter.Should().Be(Seconds(0.2));
        Wait(ledger, 1, At(0)).ReadyAfter.Should().Be(Seconds(0.3));

        ledger.Cancel(new TokenCancellation(two), At(0));

        Wait(ledger, 3, At(0)).ReadyAfter.Should().Be(Seconds(0.6));
        Wait(ledger, 1, At(0)).ReadyAfter.Should().Be(Seconds(0.2));
        Wait(ledger, 1, At(0)).ReadyAfter.Should().Be(Seconds(0.2));
        Wait(ledger, 1, At(0)).ReadyAfter.Should().Be(Seconds(0.7), "the gap is used up");
    }

    [Fact]
    public void Ledger_WhatNobodyCameFor_IsThereForTheNext()
    {
        // Rate 10, burst 5. Four go of five who wait; by the fifth's instant the other tokens are in the bucket.
        var ledger = NewLedger(perSecond: 10, burst: 5);
        Try(ledger, 5, At(0));
        var gone = Enumerable.Range(0, 4).Select(_ => _node.Next()).ToArray();
        foreach (var id in gone)
            ledger.Acquire(new TokenRequest(id, 1, true), At(0));
        Wait(ledger, 1, At(0)).ReadyAfter.Should().Be(Seconds(0.5));
        foreach (var id in gone)
            ledger.Cancel(new TokenCancellation(id), At(0));

        Wait(ledger, 4, At(0.45)).ReadyAfter.Should().Be(Seconds(0.05), "right after the fifth");
    }

    [Fact]
    public void Ledger_WaitBeyondATerm_IsAPlaceInLineThatIsKeptByAsking()
    {
        var ledger = NewLedger(perSecond: 1, burst: 1);
        Try(ledger, 1, At(0));
        var (first, second) = (new TokenRequest(_node.Next(), 1, true), new TokenRequest(_node.Next(), 1, true));
        var told = ledger.Acquire(first, At(0));
        told.IsGranted.Should().BeFalse();
        told.AskAgainAfter.Should().Be(Seconds(0.625), "half a term before his token is there");
        ledger.Acquire(second, At(0)).AskAgainAfter.Should().Be(Seconds(0.75), "once in a term");
        ledger.Describe(At(0)).Waiting.Should().Be(2);

        ledger.Acquire(first, At(0.625)).ReadyAfter.Should().Be(Seconds(0.375));
        ledger.Acquire(second, At(0.75)).AskAgainAfter.Should().Be(Seconds(0.75));
        ledger.Acquire(second, At(1.5)).ReadyAfter.Should().Be(Seconds(0.5));
    }

    [Fact]
    public void Ledger_OneInLineWhoDoesNotAskAgain_LosesHisPlace()
    {
        var ledger = NewLedger(perSecond: 1, burst: 1);
        Try(ledger, 1, At(0));
        Wait(ledger, 1, At(0));
        var patient = new TokenRequest(_node.Next(), 1, true);
        ledger.Acquire(patient, At(0));
        ledger.Acquire(patient, At(0.75)).IsGranted.Should().BeFalse("the first is still to be served, at 1 s");
        ledger.Acquire(patient, At(1.5)).ReadyAfter.Should().Be(TimeSpan.Zero, "the first did not ask again");
    }

    [Fact]
    public void Ledger_AThousandGaveUpAndOneHasPatience_HeIsServedWhenHeAsksAgain()
    {
        var ledger = NewLedger(perSecond: 1, burst: 1);
        Try(ledger, 1, At(0));
        var impatient = Enumerable.Range(0, 999).Select(_ => _node.Next()).ToArray();
        foreach (var id in impatient)
            ledger.Acquire(new TokenRequest(id, 1, true), At(0));
        var patient = new TokenRequest(_node.Next(), 1, true);
        ledger.Acquire(patient, At(0)).RetryAfter.Should().Be(Seconds(1000));
        foreach (var id in impatient)
            ledger.Cancel(new TokenCancellation(id), At(0.5));

        ledger.Acquire(patient, At(0.75)).ReadyAfter.Should().Be(Seconds(0.25));
        Wait(ledger, 1, At(0.75)).RetryAfter.Should().Be(Seconds(1.25));
    }

    [Fact]
    public void Ledger_CancelledAfterItsInstant_GivesNothingBack()
    {
        var ledger = NewLedger(perSecond: 2, burst: 1);
        Try(ledger, 1, At(0));
        var late = _node.Next();
        ledger.Acquire(new TokenRequest(late, 1, true), At(0)).IsGranted.Should().BeTrue();
        Try(ledger, 1, At(1)).IsGranted.Should().BeTrue();

        ledger.Cancel(new TokenCancellation(late), At(1));

        Try(ledger, 1, At(1)).IsGranted.Should().BeFalse();
    }

    [Fact]
    public void Ledger_CancellationThatOvertakesItsRequest_IsHonoured()
    {
        var ledger = NewLedger(perSecond: 1, burst: 1);
        var id = _node.Next();

        ledger.Cancel(new TokenCancellation(id), At(0));
        ledger.Acquire(new TokenRequest(id, 1, true), At(0)).IsGranted.Should().BeFalse();

        Try(ledger, 1, At(0)).IsGranted.Should().BeTrue("nothing was spent");
    }

    [Fact]
    public void Ledger_RepeatedRequest_SpendsOnceAndTellsWhatIsLeftOfTheWait()
    {
        var ledger = NewLedger(perSecond: 2, burst: 2);
        var spent = new TokenRequest(_node.Next(), 2, false);
        ledger.Acquire(spent, At(0)).IsGranted.Should().BeTrue();
        ledger.Acquire(spent, At(0)).IsGranted.Should().BeTrue();
        var waiting = new TokenRequest(_node.Next(), 1, true);
        ledger.Acquire(waiting, At(0)).ReadyAfter.Should().Be(Seconds(0.5));
        ledger.Acquire(waiting, At(0.25)).ReadyAfter.Should().Be(Seconds(0.25));
        ledger.Acquire(waiting, At(5)).ReadyAfter.Should().Be(TimeSpan.Zero);

        Wait(ledger, 1, At(0.25)).ReadyAfter.Should().Be(Seconds(0.75), "the repetitions took nothing");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(6)]
    [InlineData(int.MaxValue)]
    [InlineData(int.MinValue)]
    public void Ledger_TokensOutsideOneToBurst_ThrowsAndChangesNothing(int tokens)
    {
        var ledger = NewLedger(perSecond: 1, burst: 5);
        foreach (var mayWait in new[] { false, true })
            ledger.Invoking(l => l.Acquire(new TokenRequest(_node.Next(), tokens, mayWait), At(0)))
                .Should().Throw<ArgumentOutOfRangeException>().WithParameterName(nameof(tokens));
        ledger.Describe(At(0)).Should().Be(new RateLimiterStatus(AvailableTokens: 5, Burst: 5, TokensPerPeriod: 1, Period: Seconds(1), Waiting: 0));
    }

    [Fact]
    public void Ledger_ClockThatStepsBack_EarnsNothing()
    {
        var ledger = NewLedger(perSecond: 1, burst: 1);
        Try(ledger, 1, At(10)).IsGranted.Should().BeTrue();
        Try(ledger, 1, At(5)).IsGranted.Should().BeFalse();
        Try(ledger, 1, At(10.9)).IsGranted.Should().BeFalse();
        Try(ledger, 1, At(11)).IsGranted.Should().BeTrue();
    }

    [Fact]
    public void Ledger_Reset_FillsTheBucketAndKeepsInstants()
    {
        var ledger = NewLedger(perSecond: 10, burst: 3);
        Try(ledger, 3, At(0));
        Wait(ledger, 2, At(0)).ReadyAfter.Should().Be(Seconds(0.2));
        var reset = _node.Next();
        ledger.Reset(reset, At(0.1)).IsDone.Should().BeTrue();
        ledger.Reset(reset, At(0.1)).IsDone.Should().BeTrue();

        Try(ledger, 1, At(0.1)).RetryAfter.Should().Be(Seconds(0.1), "he overtakes nobody");
        Try(ledger, 1, At(0.2)).IsGranted.Should().BeTrue();
        Try(ledger, 1, At(0.2)).IsGranted.Should().BeFalse();
    }

    [Theory]
    [InlineData(10, 4, 4)] // grows: the four that are there stay, the new room is empty
    [InlineData(3, 4, 3)]  // shrinks: what it cannot hold is lost
    public void Ledger_PolicyChange_KeepsTheTokensThatAreThere(int newBurst, int before, int after)
    {
        var ledger = NewLedger(perSecond: 1, burst: 5);
        Try(ledger, 5 - before, At(0));
        ledger.ChangeTo(new RateLimiterPolicy { TokensPerPeriod = 7, Period = Seconds(60), Burst = newBurst }, At(0));
        ledger.Describe(At(0)).AvailableTokens.Should().Be(after);
    }

    [Fact]
    public void Ledger_PolicyChange_KeepsThePromisedInstants()
    {
        var ledger = NewLedger(perSecond: 10, burst: 1);
        Try(ledger, 1, At(0));
        Wait(ledger, 1, At(0)).ReadyAfter.Should().Be(Seconds(0.1));
        ledger.ChangeTo(new RateLimiterPolicy { TokensPerPeriod = 2, Period = Seconds(1), Burst = 1 }, At(0));
        Wait(ledger, 1, At(0)).ReadyAfter.Should().Be(Seconds(0.6), "the first keeps its tenth, the next pays the new price");
    }

    [Fact]
    public void Ledger_LargestPolicies_DoNotOverflow()
    {
        foreach (var policy in new RateLimiterPolicy[]
        {
            new() { TokensPerPeriod = 1_000_000_000, Period = TimeSpan.FromSeconds(100), Burst = 1_000_000_000, QueueLimit = 100_000 },
            new() { TokensPerPeriod = 1, Period = TimeSpan.FromDays(1), Burst = 30, QueueLimit = 100_000 },
            new() { TokensPerPeriod = 1, Period = TimeSpan.FromMilliseconds(1), Burst = 1_000_000_000, QueueLimit = 100_000 },
        })
        {
            policy.Validate().Should().BeEmpty();
            var ledger = new TokenDesk(policy, At(0));
            Try(ledger, policy.Burst, At(0)).IsGranted.Should().BeTrue();
            var (last, waiting) = (TimeSpan.Zero, 0);
            for (var i = 0; i < policy.QueueLimit; i++)
            {
                var answer = Wait(ledger, policy.Burst, At(0));
                if (answer.AskAgainAfter == TimeSpan.Zero)
                {
                    answer.RetryAfter.Should().BeGreaterThan(TokenLedger.Horizon);
                    break;
                }

                answer.RetryAfter.Should().BeGreaterThan(last);
                (last, waiting) = (answer.RetryAfter, waiting + 1);
            }

            ledger.ChangeTo(new RateLimiterPolicy { TokensPerPeriod = 1, Period = TimeSpan.FromDays(1), Burst = 30 }, At(1));
            ledger.Describe(At(1)).Waiting.Should().Be(waiting);
        }
    }

    [Fact]
    public void Ledger_ThatMayFollowAnother_HasItsBurstAndEarnsNothingForATerm()
    {
        // What its predecessor lent may earn the whole rate for as long: together they admit one burst too many, and no more.
        var ledger = new TokenLedger(new RateLimiterPolicy { TokensPerPeriod = 1_000, Burst = 10 }, At(0), new(2, Predecessor.Possible));
        ledger.Acquire(new TokenRequest(_node.Next(), 10, false), At(0)).IsGranted.Should().BeTrue();
        ledger.Acquire(new TokenRequest(_node.Next(), 1, false), At(0.749)).RetryAfter.Should().Be(Seconds(0.002));
        ledger.Acquire(new TokenRequest(_node.Next(), 1, false), At(0.751)).IsGranted.Should().BeTrue();
    }

    [Fact]
    public void Ledger_ThatHearsOfItsPredecessor_HasNothingForATerm()
    {
        var ledger = new TokenLedger(new RateLimiterPolicy { TokensPerPeriod = 1_000, Burst = 10 }, At(0), new(2, Predecessor.Possible));
        ledger.Acquire(new TokenRequest(_node.Next(), 1, false, Epoch: 1), At(0.5)).IsGranted.Should().BeFalse();
        ledger.Acquire(new TokenRequest(_node.Next(), 1, false), At(1.249)).IsGranted.Should().BeFalse();
        ledger.Acquire(new TokenRequest(_node.Next(), 3, false), At(1.252)).IsGranted.Should().BeFalse("it began with nothing");
        ledger.Acquire(new TokenRequest(_node.Next(), 1, false, Epoch: 1), At(1.252)).IsGranted.Should().BeTrue("once is enough");
    }

    private static TokenDesk NewLedger(int perSecond, int burst, int queueLimit = 1000) =>
        new(new RateLimiterPolicy { TokensPerPeriod = perSecond, Period = TimeSpan.FromSeconds(1), Burst = burst, QueueLimit = queueLimit }, At(0));

    private TokenGrant Try(TokenDesk ledger, int tokens, Instant now) => ledger.Acquire(new TokenRequest(_node.Next(), tokens, false), now);

    private TokenGrant Wait(TokenDesk ledger, int tokens, Instant now) => ledger.Acquire(new TokenRequest(_node.Next(), tokens, true), now);

    [Fact]
    public void Ledger_ResetWhileAPartIsLent_FillsTheRestOnly()
    {
        var ledger = new TokenLedger(new RateLimiterPolicy { TokensPerPeriod = 1_000, Burst = 100 }, default);
        var request = new PartRequest(new Borrower(Guid.AllBitsSet, 1), 1, 0, 0, 0, 0, 0, 0, Demand: 500, Asked: 0, AtTheDoor: 1);
        var room = ledger.Renew(request, default).Room;
        room.Should().BeGreaterThan(0);
        ledger.Reset(default);
        ledger.Rest.Tokens.Should().Be(100 - room, "what is lent is not the rest's, and comes back when its term ends");
        ledger.Reset(At(0) + LeaseTerm.OfPart);
        ledger.Rest.Tokens.Should().Be(100);
    }

    [Fact]
    public void Ledger_NodeThatGivesAllBack_HasNoRateAndLosesNoToken()
    {
        var ledger = new TokenLedger(new RateLimiterPolicy { TokensPerPeriod = 1_000, Burst = 100 }, default);
        var request = new PartRequest(new Borrower(Guid.AllBitsSet, 1), 1, 0, 0, 0, 0, 0, 0, Demand: 500, Asked: 0, AtTheDoor: 0);
        var grant = ledger.Renew(request, default);
        grant.Tokens.Should().BeGreaterThan(0);
        ledger.Renew(request with { Sequence = 2, Taken = 1, GivenBack = grant.Tokens, Demand = 0 }, default);
        ledger.Rest.Tokens.Should().Be(100);
        ((long)ledger.Parts.LentRate).Should().Be(0);
    }

    [Fact]
    public void Ledger_SlowRateAndAFullBurst_LetsASparseNodeAskAsItLikes()
    {
        var policy = new RateLimiterPolicy { TokensPerPeriod = 1, Period = TimeSpan.FromDays(1), Burst = 10 };
        var ledger = new TokenLedger(policy, default);
        for (var i = 0; i < 10; i++)
        {
            var grant = ledger.Acquire(new TokenRequest(_node.Next(), 1, false, Demand: 100, Asked: 1), At(10 * i));
            grant.IsGranted.Should().BeTrue();
            (grant.AskEvery == TimeSpan.Zero || i == 9).Should().BeTrue("nobody is kept from asking for what is there");
        }
    }

    [Theory]
    [InlineData(1e30)]
    [InlineData(double.PositiveInfinity)]
    [InlineData(double.NaN)]
    [InlineData(-1)]
    public void Ledger_WhoeverDecidesTheShares_LendsNoMoreThanThereIs(double wish)
    {
        var policy = new RateLimiterPolicy { TokensPerPeriod = 1_000, Burst = 100 };
        var ledger = new TokenLedger(policy, default, shares: new Wishes(wish));
        for (var i = 1; i <= 3; i++)
        {
            var request = new PartRequest(new Borrower(Guid.AllBitsSet, i), 1, 0, 0, 0, 0, 0, 0, wish, Asked: 0, AtTheDoor: 1);
            var grant = ledger.Renew(request, default);
            grant.Rate.Should().BeGreaterThanOrEqualTo(0);
            grant.Tokens.Should().BeInRange(0, grant.Room);
            ((long)ledger.Parts.LentRate).Should().BeInRange(0, ledger.Rest.FullRate);
            ledger.Parts.LentRoom.Should().BeInRange(0, 100);
        }
    }

    private sealed class Wishes(double wish) : TokenShares
    {
        public override int Room(double demand, int roomBefore, long lentToOthers) => 40;

        public override double Rate(double demand, int room, int level, double rateBefore, double lentToOthers) => wish;

        public override long TopUp(long rest, double demand, int room, int level) => long.MaxValue;
    }
}
