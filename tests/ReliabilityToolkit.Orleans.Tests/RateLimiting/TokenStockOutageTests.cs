namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>What a node decides by itself while the authority does not answer, and how it comes back.</summary>
public sealed class TokenStockOutageTests
{
    private static readonly Borrower Me = new(Guid.AllBitsSet, 1);

    [Theory]
    [InlineData(CallerPatience.None)]
    [InlineData(CallerPatience.ForAnAnswer)]
    [InlineData(CallerPatience.ForTokens)]
    internal void Caller_InAKnownOutage_IsDecidedAtOnce(CallerPatience patience)
    {
        var stock = InAnOutage(WhenUnavailable.Reject);
        var rejected = stock.Acquire(1, patience, At(1_001));
        (rejected.Fate, rejected.Reason).Should().Be((CallerFate.Refused, RefusalReason.AuthorityUnavailable));
        rejected.Source.Should().Be(DecisionSource.Fallback);
        InAnOutage(WhenUnavailable.Admit).Acquire(1, patience, At(1_001)).Fate.Should().Be(CallerFate.AdmittedAlone);
        InAnOutage(WhenUnavailable.LocalShare).Acquire(1, patience, At(1_001)).Reason.Should()
            .Be(RefusalReason.AuthorityUnavailable, "it never heard of a share");
    }

    [Fact]
    public void Probe_OfAUsedLimiter_GoesOutOncePerIntervalAndNobodyWaitsForIt()
    {
        var stock = InAnOutage(WhenUnavailable.Reject);
        var probes = 0;
        for (var ms = 1_001; ms < 11_000; ms++)
        {
            stock.Acquire(1, CallerPatience.ForTokens, At(ms)).Fate.Should().Be(CallerFate.Refused);
            if (!stock.TryAsk(At(ms), 0.5, out var probe))
                continue;
            probes++;
            stock.Fail(probe.Sequence, isSilent: true, At(ms));
        }

        probes.Should().BeInRange(9, 12);
    }

    [Fact]
    public void Outage_OfAnUnusedLimiter_IsForgottenAndNotProbed()
    {
        var stock = InAnOutage(WhenUnavailable.Reject);
        stock.TryAsk(At(2_001), 0, out var probe).Should().BeTrue("somebody was there when it began");
        stock.Fail(probe.Sequence, isSilent: true, At(3_001));
        stock.NextDueAt.Should().Be(Instant.Never);
        stock.TryAsk(At(4_500), 0, out _).Should().BeFalse();
        stock.Acquire(1, CallerPatience.ForAnAnswer, At(4_500)).Fate.Should().Be(CallerFate.AsksThere);
    }

    [Fact]
    public void Answer_ToAProbe_EndsTheOutage()
    {
        var stock = InAnOutage(WhenUnavailable.Admit);
        stock.Acquire(2, CallerPatience.ForTokens, At(1_001)).Fate.Should().Be(CallerFate.AdmittedAlone);
        stock.TryAsk(At(2_001), 0, out var probe).Should().BeTrue();
        probe.Alone.Should().Be(3, "the one before asked in vain");
        stock.Acquire(1, CallerPatience.ForTokens, At(2_002)).Fate.Should().Be(CallerFate.AdmittedAlone);
        stock.Take(Grant(probe, default), At(2_003));
        stock.Acquire(1, CallerPatience.ForTokens, At(2_004)).Fate.Should().Be(CallerFate.AsksThere);
        stock.Acquire(1, CallerPatience.None, At(2_400));
        stock.TryAsk(At(2_400), 0, out var next).Should().BeTrue();
        next.Alone.Should().Be(1, "the rest has been told");
    }

    [Fact]
    public void AnswerThatSaysNothing_IsNoOutage()
    {
        var stock = new TokenStock(Me, At(0));
        var caller = stock.Acquire(1, CallerPatience.ForAnAnswer, At(0));
        stock.Fail(caller, isSilent: false, At(10));
        caller.Reason.Should().Be(RefusalReason.AuthorityUnavailable);
        stock.Acquire(1, CallerPatience.ForAnAnswer, At(11)).Fate.Should().Be(CallerFate.AsksThere);
    }

    [Fact]
    public void LocalShare_InAnOutage_AdmitsItsRateAndNoBurstBeyondWhatWasLeft()
    {
        var stock = new TokenStock(Me, At(0), WhenUnavailable.LocalShare);
        HearOf(new FairShare(100, 50), stock, At(0));
        for (var ms = 100; ms < 2_000; ms += 5) // all that is admitted is charged, twice the share here
            HearOf(new FairShare(100, 50), stock, At(ms));
        var admitted = Admitted(stock, from: 3_000, until: 8_000, out _);
        admitted.Should().BeInRange(500, 551, "it was idle for a second before, and of what that brought its burst is left");
    }

    [Fact]
    public void LocalShare_WhenSpent_TellsWhenThereIsMore()
    {
        var stock = new TokenStock(Me, At(0), WhenUnavailable.LocalShare);
        HearOf(new FairShare(100, 50), stock, At(0));
        Admitted(stock, from: 1_000, until: 2_000, out var last);
        last.Reason.Should().Be(RefusalReason.RateLimited);
        last.RetryAfter.Should().BePositive().And.BeLessThan(TimeSpan.FromMilliseconds(11));
        stock.Acquire(51, CallerPatience.ForTokens, At(2_000)).Reason.Should().Be(RefusalReason.AuthorityUnavailable, "so many it never has");
    }

    private static int Admitted(TokenStock stock, int from, int until, out TokenCaller last)
    {
        var inVain = stock.Acquire(1, CallerPatience.ForAnAnswer, At(from));
        stock.Fail(inVain, isSilent: true, At(from));
        var admitted = 0;
        last = inVain;
        for (var ms = from; ms < until; ms++)
        {
            last = stock.Acquire(1, CallerPatience.ForTokens, At(ms));
            admitted += last.Fate == CallerFate.AdmittedAlone ? 1 : 0;
        }

        return admitted;
    }

    private static void HearOf(FairShare share, TokenStock stock, Instant now)
    {
        var caller = stock.Acquire(1, CallerPatience.ForAnAnswer, now);
        stock.Hear(caller, new TokenGrant(true, default, default, default, 100) { Share = share, Epoch = 1 }, now);
    }

    private static TokenStock InAnOutage(WhenUnavailable choice)
    {
        var stock = new TokenStock(Me, At(0), choice);
        var caller = stock.Acquire(1, CallerPatience.ForAnAnswer, At(0));
        caller.Fate.Should().Be(CallerFate.AsksThere);
        stock.Fail(caller, isSilent: true, At(1_000));
        return stock;
    }

    private static PartGrant Grant(in PartRequest request, FairShare share) =>
        new(request.Sequence, 1, 0, 0, 0, 0, 1, LeaseTerm.OfPart, default, default, 100, 10, share);

    private static Instant At(double milliseconds) => new(TimeSpan.FromMilliseconds(milliseconds).Ticks);
}
