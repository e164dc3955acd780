namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>What an authority makes of the nodes' views of their parts, message by message; what comes of it in all, the simulator shows.</summary>
public sealed class TokenLedgerLendingTests
{
    private static readonly PartHolder Node = new(Guid.AllBitsSet, 1);

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
        var asker = new Asker(1);
        _ledger.Acquire(new TokenRequest(asker.Next(), 100, MayWait: false), default);
        var promise = _ledger.Acquire(new TokenRequest(asker.Next(), 50, MayWait: true), default);
        promise.ReadyAfter.Should().Be(TimeSpan.FromMilliseconds(50));
        _ledger.Renew(First with { Demand = 0, Alone = 20 }, new Instant(TimeSpan.FromMilliseconds(40).Ticks));
        _ledger.Describe(new Instant(TimeSpan.FromMilliseconds(50).Ticks)).Should().Match<RateLimiterStatus>(it => it.Waiting == 0);
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
}
