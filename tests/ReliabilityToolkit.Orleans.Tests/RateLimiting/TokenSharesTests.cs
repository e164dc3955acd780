using CsCheck;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class TokenSharesTests
{
    private static readonly Gen<double[]> Demands = Gen.Double[0.5, 5_000].Array[1, 30];

    /// <summary>Max-min: all that is to be had is given, nobody gets more than he wants, and nobody less than another unless he wants less.</summary>
    [Fact]
    public void FairRate_OfAnyDemands_IsMaxMin() =>
        Demands.Select(Gen.Double[1, 10_000]).Sample((demands, rate) =>
        {
            var shares = Reckon(demands, rate, 1_000);
            var fair = demands.Select(shares.FairRate).ToArray();
            fair.Sum().Should().BeApproximately(Math.Min(rate, demands.Sum()), rate * 1e-9);
            for (var i = 0; i < demands.Length; i++)
            {
                fair[i].Should().BeLessThanOrEqualTo(demands[i]);
                if (fair[i] < demands[i])
                    fair[i].Should().BeApproximately(fair.Max(), rate * 1e-9);
            }
        });

    /// <summary>However parts are asked for, 97 % of the rate is lent at most, and half of the room.</summary>
    [Fact]
    public void Parts_OfAnyDemands_LeaveARest() =>
        Demands.Select(Gen.Double[1, 10_000], Gen.Int[1, 20_000]).Sample((demands, rate, burst) =>
        {
            var shares = Reckon(demands, rate, burst);
            var (lentRate, lentRoom) = (0.0, 0L);
            foreach (var demand in demands)
            {
                var room = shares.Room(demand, 0, lentRoom);
                room.Should().BeGreaterThanOrEqualTo(0);
                lentRoom += room;
                lentRate += shares.Rate(demand, room, 0, 0, lentRate);
            }

            lentRoom.Should().BeLessThanOrEqualTo(burst / 2);
            lentRate.Should().BeLessThanOrEqualTo(rate * 0.97 * (1 + 1e-9));
        });

    [Theory]
    [InlineData(double.NaN)]
    [InlineData(double.PositiveInfinity)]
    [InlineData(-5)]
    public void FairRate_WhereOneSaysNonsense_IsThatOfTheOthers(double nonsense) =>
        Reckon([100, nonsense, 50], 120, 1_000).FairRate(100).Should().Be(70);

    /// <summary>What each may go by while it hears nothing: together no more than the limit, and all of it.</summary>
    [Fact]
    public void Share_OfAnyDemands_AddsUpToTheWhole() =>
        Demands.Select(Gen.Double[1, 10_000]).Sample((demands, rate) =>
        {
            var shares = Reckon(demands, rate, 1_000);
            demands.Sum(demand => shares.Share(demand).Rate).Should().BeApproximately(rate, rate * 1e-9);
            demands.Sum(demand => shares.Share(demand).Burst).Should().BeApproximately(1_000, 1e-6);
            shares.Share(0).Should().Be(default(FairShare));
            shares.Share(1e9).Rate.Should().BeLessThanOrEqualTo(rate, "also of one who was not reckoned with");
        });

    [Fact]
    public void Room_OfOneWhoWantsLittle_IsNone()
    {
        var shares = Reckon([10, 100], 1_000, 1_000);
        shares.Room(10, 0, 0).Should().Be(0, "he gets two tokens between two renewals");
        shares.Room(100, 0, 0).Should().BeGreaterThan(50);
    }

    [Fact]
    public void Room_OfOneWhoHasAPart_IsKeptForHalfOfWhatItTakesToGetOne()
    {
        var shares = Reckon([15], 1_000, 1_000);
        shares.Room(15, 0, 0).Should().Be(0);
        shares.Room(15, 16, 0).Should().Be(16);
    }

    [Fact]
    public void Rate_ThatDiffersByChanceOnly_StaysAsItIs()
    {
        var shares = Reckon([100], 1_000, 1_000);
        shares.Rate(100, 50, 0, 110, 0).Should().Be(110);
        shares.Rate(100, 50, 0, 200, 0).Should().BeLessThan(100);
        shares.Rate(100, 50, 0, 10, 0).Should().BeGreaterThan(90);
    }

    [Fact]
    public void Rate_OfAPartThatIsFull_IsOnlyWhatIsSpent()
    {
        var shares = Reckon([100], 1_000, 1_000);
        shares.Rate(100, 50, 50, 110, 0).Should().BeApproximately(100, 1e-9, "more would have no room");
    }

    [Fact]
    public void Overload_IsMoreThanChanceExplains()
    {
        var shares = Reckon([400, 400], 1_000, 1_000);
        Count(shares, 950);
        shares.IsRationed(0).Should().BeFalse();
        shares.AskEvery(400, 100, At(7)).Should().Be(TimeSpan.Zero);
        Count(shares, 1_500);
        shares.IsRationed(0).Should().BeTrue();
        shares.IsRationed(1_000).Should().BeFalse("the rest has plenty");
    }

    [Fact]
    public void AskEvery_InOverload_IsAsOftenAsTokensComeAndAQuarterMore()
    {
        var shares = Reckon([1_000, 10], 100, 1_000);
        Count(shares, 1_010);
        shares.AskEvery(1_000, 1_000, At(7)).Should().Be(TimeSpan.Zero, "nobody has been refused yet");
        shares.NoteDry(At(6.5));
        shares.AskEvery(10, 1_000, At(7)).Should().Be(TimeSpan.Zero, "who wants less than his share asks as he likes");
        var between = shares.AskEvery(1_000, 1_000, At(7)) + TimeSpan.FromSeconds(1.0 / 1_000); // until the next comes
        (1 / between.TotalSeconds).Should().BeApproximately(1.25 * 90, 1);
        shares.AskEvery(1_000, 1, At(7)).Should().BeLessThan(between, "where a single token fills the rest, it would be full in between");
    }

    // For six seconds, in tenths.
    private static void Count(TokenShares shares, double perSecond)
    {
        for (var i = 0; i < 60; i++)
            shares.Count((long)(perSecond / 10), At(1 + (i / 10.0)));
    }

    private static Instant At(double seconds) => new(TimeSpan.TicksPerDay + (long)(seconds * TimeSpan.TicksPerSecond));

    private static TokenShares Reckon(double[] demands, double rate, int burst)
    {
        var (parts, shares, now) = (new TokenParts(), new TokenShares(), At(0));
        for (var i = 0; i < demands.Length; i++)
            parts.Hear(new Borrower(new Guid(i, 0, 0, new byte[8]), 1), demands[i], now);
        shares.Reckon(parts, rate, burst, 0, now);
        return shares;
    }
}
