namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A node's end of a limiter, by hand; against the authority it is proven in the simulator.</summary>
public sealed class TokenStockTests
{
    private const long Cost = 1_000_000_000; // of a token; so many units in a tick are so many tokens in a tick
    private static readonly Borrower Me = new(Guid.AllBitsSet, 1);
    private readonly TokenStock _stock = new(Me, At(0));

    [Fact]
    public void Hit_OfAPart_TakesWhatIsThereAndNoMore()
    {
        Lend(At(0), room: 10, tokens: 2, perSecond: 0);
        Hit(At(1)).Should().BeTrue();
        Hit(At(1)).Should().BeTrue();
        Hit(At(1)).Should().BeFalse();
    }

    [Fact]
    public void Hit_AfterTheTerm_TakesNothing()
    {
        Lend(At(0), room: 10, tokens: 5, perSecond: 0);
        var endsAt = LeaseTerm.HeldUntil(At(0), LeaseTerm.OfPart);
        var lookAt = _stock.Lot.LookAt;
        lookAt.Should().Be(new Instant(endsAt.Ticks - NodeClock.MostBehind.Ticks), "hits go by a clock that may be so far behind");
        Hit(lookAt).Should().BeFalse();
        var last = new Instant(endsAt.Ticks - 1);
        _stock.Acquire(1, CallerPatience.None, last).Fate.Should().Be(CallerFate.AdmittedHere, "who reads the true time may go on");
        Hit(last).Should().BeFalse();
        _stock.Acquire(1, CallerPatience.None, endsAt).Fate.Should().Be(CallerFate.Refused);
    }

    [Fact]
    public void Hit_OfALotThatWasReplaced_TakesNothing()
    {
        Lend(At(0), room: 10, tokens: 5, perSecond: 0);
        var (lot, lookAt) = (_stock.Lot, _stock.Lot.LookAt);
        Lend(At(300), room: 10, tokens: 0, perSecond: 0);
        lot.TryTake(1, lookAt, At(1)).Should().BeFalse("who slept gets nothing of what was there before");
        _stock.Lot.Tokens.Should().Be(5, "but what was in it has gone over");
    }

    [Fact]
    public void Acquire_WhenDry_WaitsInLineAndIsServedInOrderByWhatIsEarned()
    {
        Lend(At(0), room: 100, tokens: 0, perSecond: 100);
        var first = _stock.Acquire(2, CallerPatience.ForTokens, At(1));
        var second = _stock.Acquire(1, CallerPatience.ForTokens, At(1));
        _stock.Advance(At(15));
        second.Fate.Should().Be(CallerFate.InLine, "one token has come, and the first wants two");
        _stock.Advance(At(21));
        first.Fate.Should().Be(CallerFate.AdmittedHere);
        second.Fate.Should().Be(CallerFate.InLine);
        _stock.Advance(At(31));
        second.Fate.Should().Be(CallerFate.AdmittedHere);
    }

    [Fact]
    public void Acquire_WhileOthersAreInLine_DoesNotOvertake()
    {
        Lend(At(0), room: 100, tokens: 1, perSecond: 100);
        _stock.Acquire(2, CallerPatience.ForTokens, At(1));
        Hit(At(1)).Should().BeFalse("the token that is there is for the first in line");
        _stock.Acquire(1, CallerPatience.ForTokens, At(1)).Fate.Should().Be(CallerFate.InLine);
    }

    [Fact]
    public void Leave_OfTheFirstInLine_LeavesNothingBehind()
    {
        Lend(At(0), room: 100, tokens: 0, perSecond: 100);
        var first = _stock.Acquire(1, CallerPatience.ForTokens, At(1));
        var second = _stock.Acquire(1, CallerPatience.ForTokens, At(1));
        _stock.Leave(first);
        _stock.Waiting.Should().Be(1);
        _stock.Advance(At(11));
        second.Fate.Should().Be(CallerFate.AdmittedHere);
        _stock.Waiting.Should().Be(0);
    }

    [Fact]
    public void Acquire_MoreThanQueueLimitInLine_IsRefusedAndToldWhen()
    {
        Lend(At(0), room: 100, tokens: 0, perSecond: 100, queueLimit: 1);
        _stock.Acquire(1, CallerPatience.ForTokens, At(1));
        var refused = _stock.Acquire(1, CallerPatience.ForTokens, At(1));
        refused.Fate.Should().Be(CallerFate.Refused);
        refused.Reason.Should().Be(RefusalReason.QueueFull);
        refused.RetryAfter.Should().BeGreaterThan(TimeSpan.Zero);
    }

    [Fact]
    public void Acquire_WithoutAPart_AsksTheAuthority()
    {
        _stock.Acquire(1, CallerPatience.ForAnAnswer, At(0)).Fate.Should().Be(CallerFate.AsksThere);
        _stock.Acquire(1, CallerPatience.ForTokens, At(0)).Fate.Should().Be(CallerFate.AsksThere);
        var refused = _stock.Acquire(1, CallerPatience.None, At(0));
        refused.Reason.Should().Be(RefusalReason.NoLocalStock);
        _stock.TryAsk(At(0), 0, out var request).Should().BeTrue("who may not ask needs a part");
        request.Demand.Should().BeGreaterThan(20);
    }

    [Fact]
    public void Acquire_MoreThanThePartComesToHold_AsksTheAuthority()
    {
        Lend(At(0), room: 10, tokens: 10, perSecond: 100);
        _stock.Acquire(11, CallerPatience.ForTokens, At(1)).Fate.Should().Be(CallerFate.AsksThere);
    }

    [Fact]
    public void Answer_ToAnOlderRequest_IsNotTaken()
    {
        _stock.Acquire(1, CallerPatience.None, At(0));
        _stock.TryAsk(At(0), 0, out var older).Should().BeTrue();
        _stock.Fail(older.Sequence, isSilent: false, At(1_000));
        _stock.Acquire(1, CallerPatience.None, At(1_000));
        _stock.TryAsk(At(1_000), 0, out var newer).Should().BeTrue();
        _stock.Take(Grant(older.Sequence, 10, 10, 0), At(1_001));
        _stock.Part.Room.Should().Be(0);
        _stock.Take(Grant(newer.Sequence, 10, 10, 0), At(1_002));
        _stock.Part.Room.Should().Be(10);
    }

    [Fact]
    public void Grant_OfLessRoom_GivesBackWhatHasNoRoomAndSaysSoInTheNextRequest()
    {
        Lend(At(0), room: 10, tokens: 10, perSecond: 0);
        Lend(At(250), room: 4, tokens: 0, perSecond: 0);
        _stock.Part.Level.Should().Be(4);
        _stock.Acquire(1, CallerPatience.None, At(251)).Fate.Should().Be(CallerFate.AdmittedHere, "a full part is looked at by each");
        _stock.TryAsk(At(500), 0, out var request).Should().BeTrue();
        request.Room.Should().Be(4);
        request.GivenBack.Should().Be(6);
    }

    [Fact]
    public void Part_UnusedForTwoRenewals_IsGivenBack()
    {
        Lend(At(0), room: 10, tokens: 10, perSecond: 0);
        Lend(At(250), room: 10, tokens: 0, perSecond: 0);
        _stock.TryAsk(At(500), 0, out var request).Should().BeTrue();
        (request.Room, request.GivenBack, request.Demand).Should().Be((0, 10, 0));
        request.Taken.Should().Be(2, "so that the authority knows that these tokens are its own");
        _stock.Take(Grant(request.Sequence, 0, 0, 0), At(501));
        _stock.NextDueAt.Should().Be(Instant.Never, "and then it says nothing more");
    }

    [Fact]
    public void Caller_WhoComesBackWithMorePatience_WantsHisTokensOnce()
    {
        _stock.Acquire(3, CallerPatience.None, At(0));
        _stock.Acquire(3, CallerPatience.ForTokens, At(0), isBack: true).Fate.Should().Be(CallerFate.AsksThere);
        _stock.TryAsk(At(0), 0, out var request).Should().BeTrue();
        request.Asked.Should().Be(3);
    }

    [Fact]
    public void LetGo_OfAPart_GivesItBackByTheNextRequest()
    {
        Lend(At(0), room: 10, tokens: 10, perSecond: 0);
        _stock.HoldsNothing.Should().BeFalse();
        _stock.TryAsk(At(1), 0, out _).Should().BeFalse("nothing is due");
        _stock.LetGo();
        _stock.TryAsk(At(1), 0, out var request).Should().BeTrue();
        (request.Room, request.GivenBack, request.Want, request.Demand, request.Taken).Should().Be((0, 10, 0, 0, 1));
        Hit(At(1)).Should().BeFalse();
        _stock.HoldsNothing.Should().BeFalse("the authority has not heard of it");
        _stock.Take(Grant(request.Sequence, 0, 0, 0), At(2));
        _stock.HoldsNothing.Should().BeTrue();
        _stock.TryAsk(At(400), 0, out _).Should().BeFalse("it is said once");
        _stock.Acquire(1, CallerPatience.None, At(401));
        _stock.TryAsk(At(401), 0, out var anew).Should().BeTrue("callers who come later begin anew");
        anew.Demand.Should().BeGreaterThan(0);
    }

    [Fact]
    public void LetGo_WhileAnAnswerIsAwaited_GivesBackWhatItBrings()
    {
        _stock.Acquire(1, CallerPatience.None, At(0));
        _stock.TryAsk(At(0), 0, out var first).Should().BeTrue();
        _stock.LetGo();
        _stock.TryAsk(At(1), 0, out _).Should().BeFalse("one request is open at a time");
        _stock.Take(Grant(first.Sequence, 10, 7, 0), At(1));
        _stock.TryAsk(At(1), 0, out var second).Should().BeTrue();
        (second.Room, second.GivenBack).Should().Be((0, 7));
    }

    [Fact]
    public void LetGo_OfNothing_SaysNothing()
    {
        _stock.LetGo();
        _stock.TryAsk(At(1), 0, out _).Should().BeFalse();
    }

    [Fact]
    public void Request_WhileTokensAreOnTheirWay_KeepsRoomForThem()
    {
        Lend(At(0), room: 100, tokens: 0, perSecond: 200);
        _stock.Acquire(1, CallerPatience.ForAnAnswer, At(250)); // uses it
        _stock.TryAsk(At(251), 0, out var request).Should().BeTrue();
        request.Want.Should().BeGreaterThan(0);
        _stock.Advance(At(500));
        _stock.Part.Level.Should().BeLessThanOrEqualTo(100 - request.Want);
        _stock.Take(Grant(request.Sequence, 100, request.Want, 200), At(500));
        _stock.Part.Level.Should().BeLessThanOrEqualTo(100);
    }

    private static Instant At(double milliseconds) => new(TimeSpan.FromMilliseconds(milliseconds).Ticks);

    private static PartGrant Grant(long sequence, int room, int tokens, double perSecond, int queueLimit = 10) => new(
        sequence,
        1,
        room,
        tokens,
        0,
        (long)(perSecond * Cost / TimeSpan.TicksPerSecond * 1.002), // the holder takes a little less
        Cost,
        LeaseTerm.OfPart,
        default,
        default,
        1_000,
        queueLimit);

    private bool Hit(Instant now)
    {
        var lot = _stock.Lot;
        return lot.TryTake(1, lot.LookAt, now);
    }

    private void Lend(Instant now, int room, int tokens, double perSecond, int queueLimit = 10)
    {
        if (_stock.Part.Sequence == 0)
            _stock.Acquire(1, CallerPatience.None, now);
        _stock.TryAsk(now, 0, out var request).Should().BeTrue();
        _stock.Take(Grant(request.Sequence, room, tokens, perSecond, queueLimit), now);
        _stock.Part.Room.Should().Be(room);
    }
}
