namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>When a node asks its authority, for whom, and what it makes of the answer.</summary>
public sealed class TokenStockAskingTests
{
    private const long Cost = 1_000_000_000;

    private readonly TokenStock _stock = new(new Borrower(Guid.AllBitsSet, 1), At(0));

    [Fact]
    public void Answer_ToOneCaller_DecidesHim()
    {
        Answered(new TokenGrant(true, default, default, default, 100), At(1)).Fate.Should().Be(CallerFate.AdmittedThere);
        var promised = Answered(new TokenGrant(true, Ms(30), default, default, 100), At(1));
        (promised.Fate, promised.At).Should().Be((CallerFate.Promised, At(31)));
        var inLine = Answered(new TokenGrant(false, default, default, default, 100) { AskAgainAfter = Ms(100) }, At(1));
        (inLine.Fate, inLine.At).Should().Be((CallerFate.AsksThere, At(101)));
        var refused = Answered(new TokenGrant(false, default, Ms(40), RefusalReason.QueueFull, 100), At(1));
        (refused.Fate, refused.Reason, refused.RetryAfter).Should().Be((CallerFate.Refused, RefusalReason.QueueFull, Ms(40)));
    }

    [Fact]
    public void Answer_ToOneWhoHasLeft_ChangesNothingForHim()
    {
        var caller = _stock.Acquire(1, CallerPatience.ForTokens, At(0));
        _stock.Leave(caller);
        caller.Fate.Should().Be(CallerFate.Gone);
        _stock.Hear(caller, new TokenGrant(true, default, default, default, 100) { Epoch = 1 }, At(1));
        caller.Fate.Should().Be(CallerFate.Gone);
    }

    [Fact]
    public void Answer_OfAnAuthorityThatHasASuccessor_IsNotListenedTo()
    {
        Answered(new TokenGrant(true, default, default, default, 100), At(1), epoch: 5);
        var caller = Answered(new TokenGrant(true, default, default, default, 100) { MayHavePart = true }, At(2), epoch: 4);
        (caller.Fate, caller.Reason).Should().Be((CallerFate.Refused, RefusalReason.AuthorityUnavailable));
        _stock.TryAsk(At(3), 0, out _).Should().BeFalse("what it says of parts is nothing, too");
        _stock.Ask(caller, default, At(1_500)).Epoch.Should().Be(5);
        _stock.Ask(caller, default, At(1_502)).Epoch.Should().Be(0, "what that one lent has ended long ago");
        Answered(new TokenGrant(true, default, default, default, 100), At(1_600), epoch: 4).Fate.Should().Be(CallerFate.AdmittedThere);
    }

    [Fact]
    public void Refused_UntilTheTimeThatHeWasTold_OthersWhoWantNoMoreAreNotAskedFor()
    {
        Answered(Refusal(retryAfter: 90, comeBackAfter: 50), At(0), tokens: 3);
        foreach (var tokens in new[] { 1, 3 })
        {
            var refused = _stock.Acquire(tokens, CallerPatience.ForAnAnswer, At(49.9));
            (refused.Fate, refused.Reason, refused.RetryAfter).Should().Be((CallerFate.Refused, RefusalReason.RateLimited, Ms(40.1)));
        }

        _stock.Acquire(4, CallerPatience.ForAnAnswer, At(49.9)).Fate.Should().Be(CallerFate.AsksThere, "of so many nothing is known");
        _stock.Acquire(1, CallerPatience.ForTokens, At(49.9)).Fate.Should().Be(CallerFate.AsksThere, "he waits in the line there");
        _stock.Acquire(1, CallerPatience.ForAnAnswer, At(50)).Fate.Should().Be(CallerFate.AsksThere);
    }

    [Fact]
    public void Refused_ForFewerThanBefore_DoesNotShortenWhatIsKnownOfMore()
    {
        Answered(Refusal(retryAfter: 90, comeBackAfter: 50), At(0), tokens: 3);
        var one = _stock.Acquire(1, CallerPatience.ForTokens, At(1));
        _stock.Hear(one, Refusal(retryAfter: 5, comeBackAfter: 5) with { Epoch = 1 }, At(1));
        _stock.Acquire(3, CallerPatience.ForAnAnswer, At(10)).Fate.Should().Be(CallerFate.Refused);
        var more = _stock.Acquire(4, CallerPatience.ForAnAnswer, At(11));
        _stock.Hear(more, Refusal(retryAfter: 5, comeBackAfter: 5) with { Epoch = 1 }, At(11));
        _stock.Acquire(4, CallerPatience.ForAnAnswer, At(15)).Fate.Should().Be(CallerFate.Refused);
        _stock.Acquire(4, CallerPatience.ForAnAnswer, At(16)).Fate.Should().Be(CallerFate.AsksThere);
    }

    [Fact]
    public void Granted_InOverload_TheNextAsksAreSpaced()
    {
        Answered(new TokenGrant(true, default, default, default, 100) { AskEvery = Ms(20) }, At(0));
        _stock.Acquire(1, CallerPatience.ForAnAnswer, At(1)).Fate.Should().Be(CallerFate.AsksThere);
        var spaced = _stock.Acquire(1, CallerPatience.ForAnAnswer, At(2));
        (spaced.Fate, spaced.Reason, spaced.RetryAfter).Should().Be((CallerFate.Refused, RefusalReason.RateLimited, Ms(19)));
        _stock.Acquire(2, CallerPatience.ForAnAnswer, At(2)).Fate.Should().Be(CallerFate.AsksThere);
        _stock.Acquire(1, CallerPatience.ForTokens, At(3)).Fate.Should().Be(CallerFate.AsksThere);
        _stock.Acquire(1, CallerPatience.ForAnAnswer, At(23)).Fate.Should().Be(CallerFate.AsksThere, "twenty after the last that was sent");
        _stock.Acquire(1, CallerPatience.ForAnAnswer, At(24)).Fate.Should().Be(CallerFate.Refused);
        var late = _stock.Acquire(1, CallerPatience.ForTokens, At(25));
        _stock.Hear(late, new TokenGrant(true, default, default, default, 100) { Epoch = 1 }, At(25));
        _stock.Acquire(1, CallerPatience.ForAnAnswer, At(26)).Fate.Should().Be(CallerFate.AsksThere, "the overload is over");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Part_IsAskedFor_WhereTheAuthoritySaysThatOneIsToBeHad(bool mayHavePart)
    {
        Answered(new TokenGrant(true, default, default, default, 100) { MayHavePart = mayHavePart }, At(0));
        _stock.TryAsk(At(0), 0, out _).Should().Be(mayHavePart);
    }

    [Fact]
    public void Part_IsNotAskedFor_WhereThereIsOne()
    {
        Lend(At(0), room: 10, tokens: 10, perSecond: 100);
        var many = _stock.Acquire(50, CallerPatience.ForAnAnswer, At(1));
        _stock.Hear(many, new TokenGrant(true, default, default, default, 100) { Epoch = 1, MayHavePart = true }, At(1));
        _stock.TryAsk(At(60), 0, out _).Should().BeFalse();
    }

    [Fact]
    public void ThoseAtTheDoor_AreToldAsFarAsTheyWantOneEachAndServedInTurn()
    {
        Lend(At(0), room: 10, tokens: 0, perSecond: 10);
        var (first, second) = (Acquire(1, CallerPatience.ForAnAnswer, 60), Acquire(1, CallerPatience.ForTokens, 60));
        var (third, fourth) = (Acquire(1, CallerPatience.ForAnAnswer, 60), Acquire(2, CallerPatience.ForTokens, 60));
        var fifth = Acquire(1, CallerPatience.ForTokens, 60);
        _stock.Waiting.Should().Be(5);
        _stock.TryAsk(At(60), 0, out var request).Should().BeTrue("somebody waits for an answer");
        request.AtTheDoor.Should().Be(3, "the fourth wants more than one");
        var late = _stock.Acquire(1, CallerPatience.ForAnAnswer, At(61));
        _stock.Take(Grant(request.Sequence, 10, 0, 10, served: 2), At(62));
        (first.Fate, second.Fate).Should().Be((CallerFate.AdmittedThere, CallerFate.AdmittedThere));
        (third.Fate, third.Reason).Should().Be((CallerFate.Refused, RefusalReason.RateLimited));
        (fourth.Fate, fifth.Fate, late.Fate).Should().Be((CallerFate.InLine, CallerFate.InLine, CallerFate.InLine));
        _stock.Waiting.Should().Be(3);
    }

    [Fact]
    public void ThoseAtTheDoor_OfARequestThatFails_AreDecidedAndThoseWhoCameLaterAreNot()
    {
        Lend(At(0), room: 10, tokens: 0, perSecond: 10);
        var (answer, tokens) = (Acquire(1, CallerPatience.ForAnAnswer, 60), Acquire(1, CallerPatience.ForTokens, 60));
        _stock.TryAsk(At(60), 0, out var request).Should().BeTrue();
        _stock.Fail(request.Sequence, isSilent: false, At(70));
        (answer.Fate, answer.Reason).Should().Be((CallerFate.Refused, RefusalReason.AuthorityUnavailable));
        tokens.Fate.Should().Be(CallerFate.InLine, "the part earns on");
        _stock.Acquire(1, CallerPatience.ForAnAnswer, At(119)).Reason.Should().Be(RefusalReason.RateLimited, "it is not asked again at once");
        _stock.Advance(At(170));
        tokens.Fate.Should().Be(CallerFate.AdmittedHere);
    }

    [Fact]
    public void Part_ThatIsRationed_RefusesWithoutACallUntilThen()
    {
        Lend(At(0), room: 10, tokens: 0, perSecond: 10, rationedFor: 100);
        var refused = _stock.Acquire(1, CallerPatience.ForAnAnswer, At(50));
        (refused.Fate, refused.Reason, refused.RetryAfter).Should().Be((CallerFate.Refused, RefusalReason.RateLimited, refused.RetryAfter));
        refused.RetryAfter.Should().BeCloseTo(Ms(50), Ms(1), "then the part has earned it");
        _stock.Acquire(1, CallerPatience.None, At(51)).Reason.Should().Be(RefusalReason.RateLimited);
        _stock.Acquire(2, CallerPatience.ForAnAnswer, At(51)).Fate.Should().Be(CallerFate.AsksThere, "several at once are an exact call");
        Acquire(1, CallerPatience.ForAnAnswer, 99.5).Fate.Should().Be(CallerFate.Refused);
        Acquire(3, CallerPatience.ForTokens, 99.5).Fate.Should().Be(CallerFate.InLine);
        Acquire(1, CallerPatience.ForAnAnswer, 100).Fate.Should().Be(CallerFate.InLine);
    }

    [Fact]
    public void Line_ThatWaitsForTokens_AsksOncePerFiftyMilliseconds()
    {
        Lend(At(0), room: 10, tokens: 0, perSecond: 10);
        Acquire(5, CallerPatience.ForTokens, 10);
        _stock.TryAsk(At(49), 0, out _).Should().BeFalse();
        _stock.NextDueAt.Should().BeLessThanOrEqualTo(At(50));
        _stock.TryAsk(At(50), 0, out var request).Should().BeTrue();
        _stock.Take(Grant(request.Sequence, 10, 0, 10) with { ReadyAfter = Ms(70) }, At(52));
        _stock.TryAsk(At(121), 0, out _).Should().BeFalse("there is nothing to be had before");
        _stock.TryAsk(At(122), 0, out _).Should().BeTrue();
    }

    [Fact]
    public void Line_WhosePartBecomesSmaller_SendsThoseWhoWantMoreToTheAuthority()
    {
        Lend(At(0), room: 10, tokens: 0, perSecond: 10);
        var (few, many) = (Acquire(2, CallerPatience.ForTokens, 60), Acquire(5, CallerPatience.ForTokens, 60));
        _stock.TryAsk(At(60), 0, out var request).Should().BeTrue();
        _stock.Take(Grant(request.Sequence, 3, 0, 10), At(61));
        (few.Fate, many.Fate, many.At).Should().Be((CallerFate.InLine, CallerFate.AsksThere, At(61)));
        var three = Acquire(3, CallerPatience.ForTokens, 62);
        three.Fate.Should().Be(CallerFate.InLine, "so many the part comes to hold");
        _stock.Advance(LeaseTerm.HeldUntil(At(60), LeaseTerm.OfPart));
        three.Fate.Should().Be(CallerFate.AsksThere, "there is no part any more");
        _stock.Waiting.Should().Be(0);
    }

    [Fact]
    public void Line_WhosePartEndsInAnOutage_IsDecidedHere()
    {
        Lend(At(0), room: 10, tokens: 0, perSecond: 1);
        var waits = Acquire(5, CallerPatience.ForTokens, 240);
        _stock.TryAsk(At(250), 0, out var request).Should().BeTrue();
        _stock.Fail(request.Sequence, isSilent: true, At(500));
        waits.Fate.Should().Be(CallerFate.InLine);
        _stock.Acquire(1, CallerPatience.None, At(700)); // it is in use
        _stock.Advance(LeaseTerm.HeldUntil(At(0), LeaseTerm.OfPart));
        (waits.Fate, waits.Reason).Should().Be((CallerFate.Refused, RefusalReason.AuthorityUnavailable));
    }

    [Fact]
    public void Renewal_IsDueAfterAThirdOfTheTermOrWhenThePartIsLow()
    {
        Lend(At(0), room: 10, tokens: 10, perSecond: 0);
        _stock.NextDueAt.Should().Be(At(250));
        for (var i = 0; i < 9; i++)
            _stock.Acquire(1, CallerPatience.ForTokens, At(10)).Fate.Should().Be(CallerFate.AdmittedHere);
        _stock.TryAsk(At(49), 0, out _).Should().BeFalse("it has asked just now");
        _stock.TryAsk(At(50), 0, out var request).Should().BeTrue();
        (request.Level, request.Asked, request.Room).Should().Be((1, 9, 10));
        _stock.Fail(request.Sequence, isSilent: false, At(600));
        _stock.NextDueAt.Should().Be(LeaseTerm.HeldUntil(At(0), LeaseTerm.OfPart), "the part ends before it is asked again");
    }

    [Fact]
    public void Renewal_TellsWhatHitsHaveTakenOnce()
    {
        Lend(At(0), room: 100, tokens: 50, perSecond: 100);
        Hit(At(0.1));
        Hit(At(0.1));
        _stock.Advance(At(1));
        Hit(At(1.1));
        _stock.TryAsk(At(250), 0, out var request).Should().BeTrue();
        request.Asked.Should().Be(3);
        _stock.Hits.Should().Be(3);
        _stock.Take(Grant(request.Sequence, 100, 0, 100), At(251));
        _stock.TryAsk(At(500), 0, out var next).Should().BeTrue();
        next.Asked.Should().Be(0);
    }

    [Fact]
    public void Renewal_ThatTellsAMuchLowerRateInOverload_IsConfirmedSoon()
    {
        Lend(At(0), room: 100, tokens: 0, perSecond: 1_000);
        Hit(At(1));
        _stock.TryAsk(At(250), 0, out var request).Should().BeTrue();
        _stock.Take(Grant(request.Sequence, 100, 0, 500, rationedFor: 200), At(250));
        _stock.TryAsk(At(299), 0, out _).Should().BeFalse();
        _stock.TryAsk(At(300), 0, out var confirms).Should().BeTrue("the difference is nobody's until then");
        _stock.Take(Grant(confirms.Sequence, 100, 0, 495, rationedFor: 200), At(300));
        _stock.TryAsk(At(351), 0, out _).Should().BeFalse("that is hardly less");
        _stock.TryAsk(At(550), 0, out var third).Should().BeTrue();
        _stock.Take(Grant(third.Sequence, 100, 0, 100), At(550));
        _stock.TryAsk(At(601), 0, out _).Should().BeFalse("without overload there is no hurry");
    }

    [Fact]
    public void Renewal_ThatTakesThePartAway_IsConfirmedAtOnceAndAnotherIsNotAskedForForAWhile()
    {
        Lend(At(0), room: 10, tokens: 5, perSecond: 100);
        _stock.TryAsk(At(250), 0, out var request).Should().BeTrue();
        _stock.Take(Grant(request.Sequence, 0, 0, 0), At(251));
        _stock.TryAsk(At(251), 0, out var confirms).Should().BeTrue("until then nobody else has what it had");
        (confirms.Room, confirms.GivenBack > 5).Should().Be((0, true));
        _stock.Take(Grant(confirms.Sequence, 0, 0, 0), At(252));
        _stock.NextDueAt.Should().Be(Instant.Never);
        _stock.Acquire(1, CallerPatience.None, At(253)).Reason.Should().Be(RefusalReason.NoLocalStock);
        _stock.TryAsk(At(501), 0, out _).Should().BeFalse();
        _stock.TryAsk(At(502), 0, out _).Should().BeTrue();
    }

    [Fact]
    public void Grant_OfAnotherAuthority_TakesThePlaceOfWhatWasHeld()
    {
        Lend(At(0), room: 10, tokens: 10, perSecond: 0);
        _stock.TryAsk(At(250), 0, out var request).Should().BeTrue();
        _stock.Take(Grant(request.Sequence, 10, 3, 0) with { Epoch = 2 }, At(251));
        _stock.Part.Level.Should().Be(3, "the new one knows nothing of the others");
    }

    [Fact]
    public void Grant_ThatComesAfterItsTerm_IsNothing()
    {
        Lend(At(0), room: 10, tokens: 10, perSecond: 0);
        _stock.TryAsk(At(250), 0, out var request).Should().BeTrue();
        _stock.Take(Grant(request.Sequence, 10, 3, 0), LeaseTerm.HeldUntil(At(250), LeaseTerm.OfPart));
        (_stock.Part.Level, _stock.Part.Room).Should().Be((0, 0));
    }

    [Fact]
    public void Grant_OfAnOlderAuthority_IsNotTaken()
    {
        Answered(new TokenGrant(true, default, default, default, 100) { MayHavePart = true }, At(0), epoch: 5);
        _stock.TryAsk(At(0), 0, out var request).Should().BeTrue();
        _stock.Take(Grant(request.Sequence, 10, 3, 0), At(1));
        (_stock.Part.Room, _stock.Books.Awaited).Should().Be((0, 0L));
        _stock.TryAsk(At(249), 0, out _).Should().BeFalse();
    }

    [Fact]
    public void Room_IsKeptFreeForAsLongAsTheLongestOfTheLastAnswersTook()
    {
        Lend(At(0), room: 100, tokens: 0, perSecond: 1_000);
        Hit(At(1));
        _stock.TryAsk(At(250), 0, out var request).Should().BeTrue();
        var quick = request.Want;
        _stock.Take(Grant(request.Sequence, 100, 0, 1_000), At(290)); // 40 ms later
        _stock.Advance(At(340));
        while (_stock.Part.Level > 0)
            _stock.Acquire(1, CallerPatience.ForTokens, At(340));
        _stock.TryAsk(At(340), 0, out var next).Should().BeTrue();
        quick.Should().Be(0, "it was full of what it had earned");
        next.Want.Should().BeInRange(45, 55, "in 40 ms and a fifth more it earns about fifty by itself");
    }

    private static Instant At(double milliseconds) => new(Ms(milliseconds).Ticks);

    private static TimeSpan Ms(double milliseconds) => TimeSpan.FromTicks((long)Math.Round(milliseconds * TimeSpan.TicksPerMillisecond));

    private static TokenGrant Refusal(double retryAfter, double comeBackAfter) =>
        new(false, default, Ms(retryAfter), RefusalReason.RateLimited, 100) { ComeBackAfter = Ms(comeBackAfter) };

    private static PartGrant Grant(long sequence, int room, int tokens, double perSecond, int served = 0, double rationedFor = 0) => new(
        sequence,
        1,
        room,
        tokens,
        served,
        (long)(perSecond * Cost / TimeSpan.TicksPerSecond * 1.002), // the holder takes a little less
        Cost,
        LeaseTerm.OfPart,
        Ms(rationedFor),
        default,
        1_000,
        10);

    private TokenCaller Answered(in TokenGrant grant, Instant now, int tokens = 1, long epoch = 1)
    {
        var caller = _stock.Acquire(tokens, CallerPatience.ForTokens, now);
        _stock.Hear(caller, grant with { Epoch = epoch }, now);
        return caller;
    }

    private TokenCaller Acquire(int tokens, CallerPatience patience, double milliseconds) => _stock.Acquire(tokens, patience, At(milliseconds));

    private void Hit(Instant now)
    {
        var lot = _stock.Lot;
        if (!lot.TryTake(1, lot.LookAt, now))
            _stock.Acquire(1, CallerPatience.None, now);
    }

    private void Lend(Instant now, int room, int tokens, double perSecond, double rationedFor = 0)
    {
        _stock.Acquire(1, CallerPatience.None, now);
        _stock.TryAsk(now, 0, out var request).Should().BeTrue();
        _stock.Take(Grant(request.Sequence, room, tokens, perSecond, rationedFor: rationedFor), now);
        _stock.Part.Room.Should().Be(room);
    }
}
