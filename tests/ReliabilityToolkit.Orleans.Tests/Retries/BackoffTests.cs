using CsCheck;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class BackoffTests
{
    private static readonly TimeSpan Base = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Max = TimeSpan.FromSeconds(5);

    [Theory]
    [InlineData(1, 100)]
    [InlineData(2, 200)]
    [InlineData(6, 3_200)]
    [InlineData(7, 5_000)]
    [InlineData(63, 5_000)]
    [InlineData(64, 5_000)]
    [InlineData(1_000, 5_000)]
    [InlineData(int.MaxValue, 5_000)]
    public void Cap_DoublesUpToTheMaximumAndNeverOverflows(int failedAttempts, int milliseconds) =>
        Backoff.Cap(Base, Max, failedAttempts).Should().Be(TimeSpan.FromMilliseconds(milliseconds));

    /// <summary>Against the formula in doubles, and at its edges: chance 0 is no delay, the largest chance is the cap itself.</summary>
    [Fact]
    public void Delay_AnyOptions_IsUniformOverZeroToTheCap() =>
        Gen.Select(
            Gen.Long[0, TimeSpan.TicksPerDay],
            Gen.Long[0, TimeSpan.TicksPerDay],
            Gen.Int[1, 2_000],
            Gen.Double[0, 1].Where(chance => chance < 1)).Sample(
            (first, second, failedAttempts, chance) =>
            {
                var (lower, upper) = (TimeSpan.FromTicks(Math.Min(first, second)), TimeSpan.FromTicks(Math.Max(first, second)));
                var cap = Math.Min(upper.Ticks, lower.Ticks * Math.Pow(2, failedAttempts - 1));
                if (lower.Ticks == 0)
                    cap = 0;
                Backoff.Cap(lower, upper, failedAttempts).Ticks.Should().Be((long)cap);
                var delay = Backoff.Delay(lower, upper, failedAttempts, chance);
                delay.Ticks.Should().BeInRange(0, (long)cap);
                (delay.Ticks - (chance * cap)).Should().BeInRange(-1, 1);
                Backoff.Delay(lower, upper, failedAttempts, 0).Should().Be(TimeSpan.Zero);
                Backoff.Delay(lower, upper, failedAttempts, Math.BitDecrement(1.0)).Ticks.Should().BeInRange((long)cap - 1, (long)cap);
            },
            iter: 20_000);
}
