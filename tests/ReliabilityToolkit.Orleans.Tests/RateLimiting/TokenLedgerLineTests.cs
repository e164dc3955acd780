namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>Those who wait at the authority for longer than a promise reaches.</summary>
public sealed class TokenLedgerLineTests
{
    private readonly TokenLedger _ledger = new(new RateLimiterPolicy { TokensPerPeriod = 10, Burst = 1, QueueLimit = 100 }, At(0));
    private byte _nodes;

    public TokenLedgerLineTests() => Try(At(0)).IsGranted.Should().BeTrue();

    [Fact]
    public void Line_TellsEachWhenToAskAgain_OnceInATermAtMostAndNotBeforeTheFirst()
    {
        for (var i = 1; i <= 7; i++)
            Wait(At(0)).ReadyAfter.Should().Be(Ms(100 * i));
        var first = Wait(At(0)).AskAgainAfter;
        first.Should().Be(Ms(800) - (LeaseTerm.OfPart / 2), "early enough to be promised it in time");
        Wait(At(0)).AskAgainAfter.Should().Be(first + Ms(100));
        for (var i = 10; i < 20; i++)
            Wait(At(0)).AskAgainAfter.Should().BeLessThanOrEqualTo(LeaseTerm.OfPart).And.BeGreaterThanOrEqualTo(first);
    }

    [Fact]
    public void Line_WhoseFirstAsksAgain_IsPromisedInTurn()
    {
        for (var i = 1; i <= 7; i++)
            Wait(At(0));
        var (eighth, ninth) = (NewRequest(), NewRequest());
        _ledger.Acquire(eighth, At(0)).IsGranted.Should().BeFalse();
        _ledger.Acquire(ninth, At(0)).IsGranted.Should().BeFalse();
        _ledger.Acquire(eighth, At(425)).ReadyAfter.Should().Be(Ms(375));
        _ledger.Acquire(ninth, At(525)).ReadyAfter.Should().Be(Ms(375));
        _ledger.Describe(At(525)).Waiting.Should().Be(4);
    }

    [Fact]
    public void Line_OfSilentOnes_IsForgottenAndCostsTheNextNothing()
    {
        for (var i = 1; i <= 7; i++)
            Wait(At(0));
        var silent = Enumerable.Range(0, 5).Select(_ => NewRequest()).ToArray();
        foreach (var request in silent)
            _ledger.Acquire(request, At(0)).AskAgainAfter.Should().BePositive();
        Try(At(0)).RetryAfter.Should().Be(Ms(1_300), "seven are promised, five in line, and he");
        _ledger.MemorableUntil.Should().BeGreaterThan(At(1_000));

        var late = Wait(At(3_000));
        (late.IsGranted, late.ReadyAfter).Should().Be((true, TimeSpan.Zero), "they have not asked again, and so have lost their places");
        _ledger.Describe(At(3_000)).Waiting.Should().Be(0);
        Try(At(3_000)).RetryAfter.Should().Be(Ms(100));
        _ledger.Acquire(silent[0], At(3_000)).ReadyAfter.Should().Be(Ms(100), "he is a newcomer now");
    }

    [Fact]
    public void Line_WhoseFirstAsksInTime_MovesForThoseBehindHim()
    {
        for (var i = 1; i <= 7; i++)
            Wait(At(0));
        var (first, second) = (NewRequest(), NewRequest());
        _ledger.Acquire(first, At(0));
        _ledger.Acquire(second, At(0));
        _ledger.Acquire(first, At(425)).ReadyAfter.Should().Be(Ms(375));
        _ledger.Acquire(second, At(880)).ReadyAfter.Should().Be(Ms(20), "it was promised when his turn came, and is his however late he asks");
    }

    [Fact]
    public void Line_WhoseFirstHasNotAskedInTime_StopsUntilHeLosesHisPlace()
    {
        for (var i = 1; i <= 7; i++)
            Wait(At(0));
        var (silent, next) = (NewRequest(), NewRequest());
        _ledger.Acquire(silent, At(0)).AskAgainAfter.Should().Be(Ms(425));
        _ledger.Acquire(next, At(0)).AskAgainAfter.Should().Be(Ms(525));
        _ledger.Acquire(next, At(525)).AskAgainAfter.Should().BePositive("nobody overtakes, not even one who is silent");
        _ledger.Acquire(next, At(800)).IsGranted.Should().BeFalse();
        _ledger.Acquire(next, At(801)).IsGranted.Should().BeTrue();
        _ledger.Describe(At(801)).Waiting.Should().Be(0);
    }

    [Fact]
    public void Cancelled_InLine_IsNotWaitedForAnyMore()
    {
        for (var i = 1; i <= 7; i++)
            Wait(At(0));
        var (gone, next) = (NewRequest(), NewRequest());
        _ledger.Acquire(gone, At(0));
        _ledger.Acquire(next, At(0)).AskAgainAfter.Should().Be(Ms(525));
        _ledger.Cancel(gone.Id.Key, At(1));
        Try(At(1)).RetryAfter.Should().Be(Ms(899));
        _ledger.Acquire(next, At(525)).ReadyAfter.Should().Be(Ms(275), "he has the other's turn");
    }

    private static Instant At(double milliseconds) => new(Ms(milliseconds).Ticks);

    private static TimeSpan Ms(double milliseconds) => TimeSpan.FromMilliseconds(milliseconds);

    private TokenRequest NewRequest() => new(new Asker(++_nodes).Next(), 1, MayWait: true);

    private TokenGrant Wait(Instant now) => _ledger.Acquire(NewRequest(), now);

    private TokenGrant Try(Instant now) => _ledger.Acquire(NewRequest() with { MayWait = false }, now);
}
