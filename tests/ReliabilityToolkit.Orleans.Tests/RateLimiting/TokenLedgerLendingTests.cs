namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>What an authority makes of the nodes' views of their parts, message by message; what comes of it in all, the simulator shows.</summary>
public sealed class TokenLedgerLendingTests
{
    private static readonly Borrower Node = new(Guid.AllBitsSet, 1);

    private readonly TokenLedger _ledger = new(new RateLimiterPolicy { TokensPerPeriod = 1_000, Burst = 100 }, default);

    private static PartRequest First => new(Node, 1, 0, 0, 0, 0, 0, 0, Demand: 500, Asked: 0, AtTheDoor: 0);

    public static TheoryData<string> Nonsense => ["sequence", "room", "level", "want", "door", "alone"];

    [Theory]
    [MemberData(nameof(Nonsense))]
    public void View_ThatNoNodeHas_IsRejectedAndChangesNothing(string what)
    {
        var request = what switch
        {
            "sequence" => First with { Sequence = 0 },
            "room" => First with { Room = -1 },
            "level" => First with { Level = -1 },
            "want" => First with { Want = -1 },
            "door" => First with { AtTheDoor = -1 },
            _ => First with { Alone = -1 },
        };
        _ledger.Invoking(it => it.Renew(request, default)).Should().Throw<ArgumentException>();
        (_ledger.Rest.Tokens, _ledger.Parts.LentRoom).Should().Be((100, 0));
        _ledger.Parts.Known.Should().BeEmpty();
    }

    [Fact]
    public void TokensAdmittedWithoutTheAuthority_AreChargedToTheRestOnce()
    {
        var request = First with { Demand = 0, Alone = 5 };
        _ledger.Renew(request, default);
        _ledger.Rest.Tokens.Should().Be(95);
        _ledger.Renew(request, default);
        _ledger.Rest.Tokens.Should().Be(95, "that is the same request");
        _ledger.Renew(request with { Sequence = 2, Alone = 8 }, default);
        _ledger.Rest.Tokens.Should().Be(92, "it has not heard the answer, and says the five again");
        _ledger.Renew(request with { Sequence = 3, Alone = 2 }, default);
        _ledger.Rest.Tokens.Should().Be(90, "it has heard, and counts anew");
        _ledger.Renew(request with { Sequence = 4, Alone = 1_000 }, default);
        _ledger.Rest.Tokens.Should().Be(0, "more than there is nobody can be charged");
        _ledger.Rest.ReadyAt(1).Should().Be(new Instant(TimeSpan.TicksPerMillisecond));
    }

    [Fact]
    public void TokensAdmittedWithoutTheAuthority_WhileCallersWait_TouchNoPromise()
    {
        var asker = new Asker(2);
        _ledger.Acquire(new TokenRequest(asker.Next(), 100, MayWait: false), default);
        var promise = _ledger.Acquire(new TokenRequest(asker.Next(), 50, MayWait: true), default);
        promise.ReadyAfter.Should().Be(TimeSpan.FromMilliseconds(50));
        var grant = _ledger.Renew(First with { Alone = 20, AtTheDoor = 5 }, At(40));
        (grant.Room, grant.Tokens, grant.Served, _ledger.Rest.Tokens).Should().Be((0, 0, 0, 40), "what there is has been promised");
        _ledger.Describe(At(40)).Should().Match<RateLimiterStatus>(it => it.Waiting == 1 && it.AvailableTokens == 0);
        _ledger.Describe(At(50)).Should().Match<RateLimiterStatus>(it => it.Waiting == 0);
    }

    [Fact]
    public void View_OlderThanOneThatWasTaken_IsAnsweredByNothing()
    {
        _ledger.Renew(First with { Sequence = 5 }, default).Sequence.Should().Be(5);
        var before = (_ledger.Rest.Tokens, _ledger.Parts.LentRoom);
        _ledger.Renew(First with { Sequence = 4 }, default).Sequence.Should().Be(0);
        (_ledger.Rest.Tokens, _ledger.Parts.LentRoom).Should().Be(before);
    }

    [Fact]
    public void Part_OfANodeThatFallsSilent_ComesBackWhenItsTermEnds()
    {
        var room = _ledger.Renew(First, default).Room;
        room.Should().BeGreaterThan(3);
        _ledger.HasLent.Should().BeTrue();
        var endsAt = LeaseTerm.LentUntil(default, LeaseTerm.OfPart);
        _ledger.MemorableUntil.Should().BeGreaterThanOrEqualTo(endsAt);
        _ledger.Describe(new Instant(endsAt.Ticks - 1));
        _ledger.Parts.LentRoom.Should().Be(room);
        _ledger.Describe(endsAt);
        (_ledger.Parts.LentRoom, _ledger.HasLent).Should().Be((0, false));
    }

    [Fact]
    public void Node_SilentForTwoMinutes_IsForgottenAndOthersAreNot()
    {
        _ledger.Renew(First, At(0));
        _ledger.Renew(First with { Holder = Other }, At(0));
        _ledger.Renew(First with { Holder = Other, Sequence = 2, Demand = 0 }, At(60_000));
        _ledger.Renew(First with { Holder = Third }, At(119_000));
        _ledger.Parts.Known.Should().HaveCount(3);
        _ledger.Renew(First with { Holder = Third, Sequence = 2 }, At(121_000));
        _ledger.Parts.Find(Node).Should().BeNull();
        _ledger.Parts.Find(Other).Should().NotBeNull("it was heard of a minute ago");
        Ask(1, At(190_000), demand: 1);
        _ledger.Parts.Find(Other).Should().BeNull();
    }

    [Fact]
    public void View_OfAnAnswerThatNodeNeverHad_MeansThatItHoldsNothing()
    {
        var first = _ledger.Renew(First, At(0));
        var second = _ledger.Renew(First with { Sequence = 2, Taken = 1, Room = first.Room, Level = first.Tokens }, At(1));
        second.Room.Should().BeGreaterThanOrEqualTo(first.Room);

        // It did not get the second answer, and says so: it still holds the first.
        _ledger.Renew(First with { Sequence = 3, Taken = 1, Room = first.Room, Demand = 0, Level = 0 }, At(2));
        _ledger.Parts.LentRoom.Should().Be(first.Room, "what it holds is its own until it says otherwise");
        _ledger.Renew(First with { Sequence = 4, Taken = 99, Room = first.Room, Demand = 0 }, At(3)).Room.Should().Be(0);
        (_ledger.Parts.LentRoom, (long)_ledger.Parts.LentRate).Should().Be((0, 0L));
    }

    [Fact]
    public void TokensGivenBack_AreTheRestsOnceAndNoMoreThanTheRoomInWhichTheyStood()
    {
        var first = _ledger.Renew(First, At(0));
        var rest = _ledger.Rest.Tokens;
        var view = First with { Sequence = 2, Taken = 1, Room = first.Room - 5, GivenBack = 3, Demand = 0 };
        _ledger.Renew(view, At(0));
        _ledger.Rest.Tokens.Should().Be(rest + 3);
        _ledger.Renew(view with { Sequence = 3, Room = first.Room - 6, GivenBack = 4 }, At(0));
        _ledger.Rest.Tokens.Should().Be(rest + 4, "three of them were said before");
        _ledger.Renew(view with { Sequence = 4, Room = first.Room - 7, GivenBack = 50 }, At(0));
        _ledger.Rest.Tokens.Should().Be(rest + 5, "in the room of one token stood one");
    }

    [Theory]
    [InlineData(2_000, 2, true)]
    [InlineData(100, 1, false)]
    public void PolicyChange_KeepsWhatIsLentInTheNewUnits(int tokensPerPeriod, int seconds, bool isSameRate)
    {
        _ledger.Renew(First, At(0));
        var share = (double)_ledger.Parts.LentRate / _ledger.Rest.FullRate;
        share.Should().BeInRange(0.3, 0.6);
        _ledger.ChangeTo(new RateLimiterPolicy { TokensPerPeriod = tokensPerPeriod, Period = TimeSpan.FromSeconds(seconds), Burst = 100 }, At(0));
        var after = (double)_ledger.Parts.LentRate / _ledger.Rest.FullRate;
        after.Should().BeApproximately(isSameRate ? share : 1, 1e-6, "a node goes on with what it has, but not with more than all");
        _ledger.Acquire(new TokenRequest(new Asker(2).Next(), 1, MayWait: false), At(0)).IsGranted.Should().BeTrue();
        _ledger.Rest.Room.Should().Be(100 - _ledger.Parts.LentRoom);
    }

    [Fact]
    public void Parts_OfTwoNodes_AreRememberedUntilTheLastEnds()
    {
        _ledger.Renew(First with { Demand = 40 }, At(0));
        _ledger.Renew(First with { Holder = Other, Demand = 40 }, At(500));
        _ledger.MemorableUntil.Should().BeGreaterThanOrEqualTo(LeaseTerm.LentUntil(At(500), LeaseTerm.OfPart));
        _ledger.Describe(At(800));
        (_ledger.HasLent, _ledger.Parts.Find(Node)!.IsEnded, _ledger.Parts.Find(Other)!.IsEnded).Should().Be((true, true, false));
        _ledger.Describe(At(1_250));
        _ledger.HasLent.Should().BeFalse();
    }

    [Fact]
    public void Authority_ThatMayFollowAnother_LendsRoomAndNoRateForATerm()
    {
        var careful = new TokenLedger(new RateLimiterPolicy { TokensPerPeriod = 1_000, Burst = 100 }, At(0), new(5, Predecessor.Possible));
        Ask(1, At(0), demand: 500, careful).MayHavePart.Should().BeFalse("there is no hurry to get one without a rate");
        var grant = careful.Renew(First, At(0));
        (grant.Rate, grant.Room > 0, grant.Tokens > 0, grant.Epoch).Should().Be((0, true, true, 5));
        careful.Parts.Find(Node)!.IsEnded.Should().BeFalse("a room alone is lent, too");
        careful.Renew(First with { Sequence = 2, Taken = 1, Room = grant.Room, Epoch = 5 }, At(751)).Rate.Should().BePositive();
    }

    [Fact]
    public void Authority_ThatHearsOfItsPredecessor_LendsNothingForATermAndSaysUntilWhen()
    {
        var ledger = new TokenLedger(new RateLimiterPolicy { TokensPerPeriod = 1_000, Burst = 100 }, At(0), new(5, Predecessor.None));
        var grant = ledger.Renew(First with { Sequence = 7, Epoch = 3 }, At(100));
        (grant.Sequence, grant.Epoch, grant.Term, grant.ReadyAfter, grant.Burst).Should()
            .Be((7, 5, TimeSpan.Zero, LeaseTerm.OfPart, 100));
        ledger.Renew(First with { Sequence = 8, Epoch = 3 }, At(600)).ReadyAfter.Should().Be(TimeSpan.FromMilliseconds(250), "once is enough");
        Ask(1, At(849), demand: 500, ledger).IsGranted.Should().BeFalse();
        ledger.Renew(First with { Sequence = 9, Epoch = 5 }, At(850)).Term.Should().Be(LeaseTerm.OfPart);
    }

    [Fact]
    public void Authority_ThatHearsOfItsSuccessor_AdmitsAndLendsNothingAnyMore()
    {
        var ledger = new TokenLedger(new RateLimiterPolicy { TokensPerPeriod = 1_000, Burst = 100 }, At(0), new(5, Predecessor.None));
        foreach (var epoch in new[] { 6L, 0L, 5L })
        {
            var refused = ledger.Acquire(new TokenRequest(new Asker(2).Next(), 1, MayWait: false, Epoch: epoch), At(epoch));
            (refused.IsGranted, refused.Reason, refused.Epoch).Should().Be((false, RefusalReason.AuthorityUnavailable, 5));
        }

        ledger.Renew(First with { Epoch = 5 }, At(10)).Term.Should().Be(TimeSpan.Zero);
        ledger.Parts.Known.Should().BeEmpty();
    }

    [Fact]
    public void Answer_ToOneWhoAsksForATokenAtATime_TellsWhetherAPartIsToBeHad()
    {
        Ask(1, At(0), demand: 500).MayHavePart.Should().BeTrue();
        Ask(1, At(0), demand: 5).MayHavePart.Should().BeFalse("it is not worth its messages");
        _ledger.Acquire(new TokenRequest(new Asker(9).Next(), 97, MayWait: false), At(0));
        _ledger.Acquire(new TokenRequest(new Asker(8).Next(), 60, MayWait: true), At(0)).IsGranted.Should().BeTrue();
        Ask(1, At(1), demand: 500).MayHavePart.Should().BeFalse("somebody waits, and no part grows");
    }

    [Fact]
    public void Answer_ToOneWhoAsksForATokenAtATime_TellsWhenItIsWorthAskingAgain()
    {
        Ask(1, At(0), demand: 50).ComeBackAfter.Should().Be(TimeSpan.Zero, "he was granted, and may ask as he likes");
        _ledger.Acquire(new TokenRequest(new Asker(9).Next(), 99, MayWait: false), At(0));
        var refused = Ask(10, At(0), demand: 50);
        (refused.RetryAfter, refused.ComeBackAfter).Should()
            .Be((TimeSpan.FromMilliseconds(10), TimeSpan.FromMilliseconds(1)), "somebody else's one token is there sooner");
        _ledger.Acquire(new TokenRequest(new Asker(8).Next(), 100, MayWait: true), At(0));
        _ledger.Acquire(new TokenRequest(new Asker(7).Next(), 100, MayWait: true), At(0));
        for (byte i = 1; i < 9; i++)
            _ledger.Acquire(new TokenRequest(new Asker((byte)(20 + i)).Next(), 100, MayWait: true), At(0));
        var inLine = _ledger.Acquire(new TokenRequest(new Asker(6).Next(), 100, MayWait: true, Demand: 50), At(0));
        (inLine.AskAgainAfter > TimeSpan.Zero, inLine.ComeBackAfter).Should().Be((true, TimeSpan.Zero));
    }

    [Fact]
    public void Refusal_OfMoreThanTheRestCanHold_TellsWhenWhatIsLentIsBack()
    {
        var room = _ledger.Renew(First, At(0)).Room;
        room.Should().BeGreaterThan(10);
        var most = Ask(100, At(0), demand: 0);
        var refill = TimeSpan.FromMilliseconds(100 - _ledger.Rest.Tokens);
        most.RetryAfter.Should().Be(LeaseTerm.OfPart + refill, "the room is back then, and is filled; before that the rest never holds so many");
        Ask(100 - room, At(0), demand: 0).IsGranted.Should().BeTrue();
        Ask(1, At(0), demand: 0).RetryAfter.Should().BeLessThan(TimeSpan.FromMilliseconds(3));
    }

    [Fact]
    public void Part_WhileSomebodyWaits_DoesNotGrowAndShrinksForOneWhoWantsMore()
    {
        var first = _ledger.Renew(First with { Demand = 100 }, At(0));
        var view = First with { Sequence = 2, Taken = 1, Room = first.Room, Level = first.Tokens, Want = 0, Demand = 900 };
        _ledger.Acquire(new TokenRequest(new Asker(9).Next(), (int)_ledger.Rest.Tokens, MayWait: false), At(0));
        _ledger.Acquire(new TokenRequest(new Asker(8).Next(), 5, MayWait: true), At(0));
        var second = _ledger.Renew(view, At(1));
        (second.Room, second.Rate <= first.Rate).Should().Be((first.Room, true), "instants were promised from the rest as it was");
        _ledger.Acquire(new TokenRequest(new Asker(7).Next(), 100, MayWait: true), At(1));
        var third = _ledger.Renew(view with { Sequence = 3, Taken = 2 }, At(20));
        third.Room.Should().BeLessThan(first.Room, "the next in line wants all of it");
    }

    private static readonly Borrower Other = new(Guid.AllBitsSet, 2);
    private static readonly Borrower Third = new(Guid.AllBitsSet, 3);

    private static Instant At(double milliseconds) => new(TimeSpan.FromMilliseconds(milliseconds).Ticks);

    private int _asker = 100;

    private TokenGrant Ask(int tokens, Instant now, double demand, TokenLedger? ledger = null) => (ledger ?? _ledger).Acquire(
        new TokenRequest(new Asker((byte)_asker++).Next(), tokens, MayWait: false, Demand: demand, Asked: demand > 0 ? 1 : 0), now);
}
