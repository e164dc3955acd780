using CsCheck;
using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>Estimates and what they turn out to have cost: refunds into the part or to the authority, and debts that are repaid by and by.</summary>
public sealed class SettlementTests : IDisposable
{
    private readonly FakeNode _node = new();
    private readonly MeterBook _book;
    private readonly TokenLedger _ledger;
    private readonly RateLimiterNode _limiter;
    private readonly List<TokenRefund> _refunds = [];

    public SettlementTests()
    {
        _book = new MeterBook(_node.Meter.Source);
        _ledger = new TokenLedger(new RateLimiterPolicy { Burst = 100, TokensPerPeriod = 10 }, _node.Clock.Now, new(1, Predecessor.None));
        _node.Authority.OnAcquireTokens = request => new(_ledger.Acquire(request, _node.Clock.Now));
        _node.Authority.OnRefund = refund =>
        {
            _refunds.Add(refund);
            _ledger.Refund(refund.Tokens, _node.Clock.Now);
            return new(Acknowledgement.Done);
        };
        _limiter = _node.NewLimiter();
    }

    private ClusterRateLimiter Limiter => _limiter.Limiter;

    private long Rest => _ledger.Describe(_node.Clock.Now).AvailableTokens;

    public void Dispose()
    {
        _book.Dispose();
        _node.Meter.Dispose();
    }

    [Fact]
    public async Task Settle_BelowTheEstimate_GivesTheDifferenceBackToTheAuthority()
    {
        var lease = await Limiter.AcquireEstimatedAsync(80);
        (lease.IsAcquired, lease.Estimate, Rest).Should().Be((true, 80, 20));
        lease.Settle(30).Should().Be(new Settlement(50, 0, 0));
        Rest.Should().Be(70);
        _refunds.Should().ContainSingle().Which.Tokens.Should().Be(50);
        _book.Of("limiter.tokens outcome=refunded policy=api").Should().Be(50);
    }

    [Fact]
    public async Task Refund_WithoutAnAnswer_IsNotToldAgain()
    {
        // An authority that has moved in between does not remember it, and would give it back twice.
        var lease = await Limiter.AcquireEstimatedAsync(80);
        _node.Authority.OnRefund = refund =>
        {
            _refunds.Add(refund);
            return FakeAuthority.Never<Acknowledgement>();
        };
        lease.Settle(30);
        await PassAsync(seconds: 5);
        _refunds.Should().HaveCount(1);
        _book.Of("calls.untold kind=limiter policy=api").Should().Be(1);
    }

    [Fact]
    public async Task Settle_WhereTheNodeHasAPart_GoesThereFirst()
    {
        var ledger = new TokenLedger(new RateLimiterPolicy { Burst = 1_000, TokensPerPeriod = 1_000 }, _node.Clock.Now, new(1, Predecessor.None));
        _node.Authority.OnRenewPart = request => new(ledger.Renew(request, _node.Clock.Now));
        Limiter.AttemptAcquire().IsAcquired.Should().BeFalse("it only asks for a part");
        var held = _limiter.Levels.Tokens;
        held.Should().BeGreaterThan(4);
        var lease = await Limiter.AcquireEstimatedAsync(4);
        _limiter.Levels.Tokens.Should().Be(held - 4);
        lease.Settle(1);
        _limiter.Levels.Tokens.Should().Be(held - 1);
        _refunds.Should().BeEmpty();
    }

    [Fact]
    public async Task Settle_AboveTheEstimate_IsOwedAndRepaidOverAMinute()
    {
        var lease = await Limiter.AcquireEstimatedAsync(10);
        lease.Settle(70).Should().Be(new Settlement(0, 60, 0));
        Rest.Should().Be(90, "nothing at once");
        _node.Time.Advance(TimeSpan.FromSeconds(1));
        var before = _limiter.Statistics.TotalSuccessfulLeases;
        await PassAsync(seconds: 65);
        (_limiter.Statistics.TotalSuccessfulLeases - before).Should().BeInRange(58, 60, "one token a second");
        await PassAsync(seconds: 30);
        (_limiter.Statistics.TotalSuccessfulLeases - before).Should().BeInRange(59, 60, "and no more");
    }

    [Fact]
    public async Task Settle_FarAboveTheEstimate_OwesABurstAtMost()
    {
        (await Limiter.AcquireEstimatedAsync(1)).Settle(61).Should().Be(new Settlement(0, 60, 0));
        (await Limiter.AcquireEstimatedAsync(1)).Settle(1_000_000_000_000).Should().Be(new Settlement(0, 40, 999_999_999_959));
        (await Limiter.AcquireEstimatedAsync(1)).Settle(2).Should().Be(new Settlement(0, 0, 1));
        _book.Of("limiter.tokens outcome=owed policy=api").Should().Be(100);
    }

    [Fact]
    public async Task Settle_TooLate_RefundsNothing()
    {
        var lease = await Limiter.AcquireEstimatedAsync(80);
        _node.Time.Advance(EstimatedLease.RefundableFor + TimeSpan.FromTicks(1));
        lease.Settle(0).Should().Be(new Settlement(0, 0, 80));
        _refunds.Should().BeEmpty();
    }

    [Fact]
    public async Task Settle_OnceAndWithinReason()
    {
        using var lease = await Limiter.AcquireEstimatedAsync(80);
        lease.Invoking(it => it.Settle(-1)).Should().Throw<ArgumentOutOfRangeException>().WithParameterName("cost");
        lease.Settle(80).Should().Be(default(Settlement));
        lease.Invoking(it => it.Settle(80)).Should().Throw<InvalidOperationException>();
        using var refused = await Limiter.AcquireEstimatedAsync(80);
        refused.IsAcquired.Should().BeFalse();
        refused.Invoking(it => it.EnsureAcquired()).Should().Throw<RateLimitedException>().Which.Policy.Should().Be("api");
        refused.Invoking(it => it.Settle(0)).Should().Throw<InvalidOperationException>();
        await Limiter.Awaiting(it => it.AcquireEstimatedAsync(0).AsTask()).Should().ThrowAsync<ArgumentOutOfRangeException>()
            .WithParameterName("permitCount");
        await Limiter.Awaiting(it => it.AcquireEstimatedAsync(101).AsTask()).Should().ThrowAsync<ArgumentOutOfRangeException>()
            .WithParameterName("permitCount");
    }

    [Fact]
    public async Task Debt_WhileTheAuthorityIsSilent_IsKeptAndRepaidLater()
    {
        (await Limiter.AcquireEstimatedAsync(10)).Settle(70);
        _node.Authority.OnAcquireTokens = null;
        await PassAsync(seconds: 10);
        _node.Authority.OnRenewPart = request => new(_ledger.Renew(request, _node.Clock.Now)); // so it is found out that it is back
        _node.Authority.OnAcquireTokens = request => new(_ledger.Acquire(request, _node.Clock.Now));
        var before = _limiter.Statistics.TotalSuccessfulLeases;
        await PassAsync(seconds: 90);
        (_limiter.Statistics.TotalSuccessfulLeases - before).Should().BeInRange(57, 60);
    }

    [Fact]
    public void Debt_OfAnySettlements_IsRepaidInFullAndNeverFasterThanAMinute() =>
        Gen.Select(Gen.Int[1, 5_000].Array[1, 5], Gen.Int[1, 1_000]).Sample((spent, burst) =>
        {
            var debt = new TokenDebt();
            var owed = 0L;
            foreach (var tokens in spent)
                owed += debt.Owe(tokens, burst, At(0));
            owed.Should().Be(Math.Min(spent.Sum(), burst));
            var (repaid, pieces) = (0L, 0);
            for (var second = 1; debt.Owed > 0; second++)
            {
                debt.TakePiece(burst, At(second - 0.5)).Should().Be(0, "not due yet");
                var piece = debt.TakePiece(burst, At(second));
                debt.TakePiece(burst, At(second)).Should().Be(0, "one at a time");
                piece.Should().BeInRange(1, (int)((owed - 1) / TokenDebt.Pieces) + 1);
                debt.Repaid(piece, isAcquired: second % 3 != 0, At(second));
                repaid += second % 3 != 0 ? piece : 0;
                pieces++;
            }

            repaid.Should().Be(owed);
            debt.NextAt.Should().Be(Instant.Never);
            pieces.Should().BeGreaterThanOrEqualTo((int)Math.Min(owed, TokenDebt.Pieces / 2));
        }, iter: 300);

    [Fact]
    public void Part_Refund_IsNotForAThreadThatReadTheClockBefore()
    {
        // A part without a rate says nothing of when to look again, so the lot itself must be another one: what came back at 2 s would else be taken
        // by a thread that fell asleep at 1 s, and that admission be dated back to a time when the token was not there.
        var part = new HeldPart(At(0));
        part.Replace(new PartGrant(1, 1, Room: 10, Tokens: 3, 0, Rate: 0, TokenCost: 1_000, Seconds(10), default, default, 10, 0), At(9), At(0));
        part.AllowHits(At(0));
        var (lot, lookAt) = (part.Lot, part.Lot.LookAt);
        part.Look(At(2));
        part.TryTake(3).Should().BeTrue();
        part.Refund(2).Should().Be(2);
        part.AllowHits(At(2));
        part.Lot.LookAt.Should().Be(lookAt);
        lot.TryTake(1, lookAt, At(1)).Should().BeFalse();
        part.Lot.TryTake(2, part.Lot.LookAt, At(2)).Should().BeTrue();
    }

    [Fact]
    public void Ledger_Refund_FillsTheRestAndNoMore()
    {
        _ledger.Acquire(new TokenRequest(default, 10, MayWait: false), At(0));
        _ledger.Refund(4, At(0));
        _ledger.Describe(At(0)).AvailableTokens.Should().Be(94);
        _ledger.Refund(1_000, At(0));
        _ledger.Describe(At(0)).AvailableTokens.Should().Be(100);
        _ledger.Invoking(ledger => ledger.Refund(0, At(0))).Should().Throw<ArgumentOutOfRangeException>();
    }

    [Fact]
    public void Ledger_Refund_ServesNobodyLaterThanHeWasPromised()
    {
        _ledger.Acquire(new TokenRequest(default, 100, MayWait: false), At(0));
        var asker = new Asker(1);
        var first = _ledger.Acquire(new TokenRequest(asker.Next(), 5, MayWait: true), At(0));
        first.ReadyAfter.Should().Be(Seconds(0.5));
        _ledger.Refund(5, At(0.1));
        _ledger.Acquire(new TokenRequest(asker.Next(), 1, MayWait: true), At(0.1)).Should().Match<TokenGrant>(
            it => it.IsGranted && it.ReadyAfter < Seconds(0.5), "what came back is for those who come next");
    }

    private async Task PassAsync(int seconds)
    {
        for (var i = 0; i < seconds * 10; i++)
            await Task.Run(() => _node.Time.Advance(TimeSpan.FromMilliseconds(100)));
    }
}
