namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>Every setting's range: both ends are legal, one step beyond is not, and the fault says the property, the value and the range.</summary>
public sealed class PolicyBoundsTests
{
    private static readonly TimeSpan Tick = TimeSpan.FromTicks(1);

    [Fact]
    public void RateLimiterPolicy_Ranges_AreThoseOfItsDocumentation()
    {
        Check(
            1,
            1_000_000_000,
            value => new RateLimiterPolicy { TokensPerPeriod = value, Period = TimeSpan.FromSeconds(1) }.Validate(),
            "TokensPerPeriod",
            "1 to 1,000,000,000");
        Check(1, 1_000_000_000, value => new RateLimiterPolicy { Burst = value, TokensPerPeriod = 1_000 }.Validate(), "Burst", "1 to 1,000,000,000");
        Check(0, 100_000, value => new RateLimiterPolicy { QueueLimit = value }.Validate(), "QueueLimit", "0 to 100,000");
        Check(
            TimeSpan.FromMilliseconds(1),
            TimeSpan.FromDays(1),
            value => new RateLimiterPolicy { Period = value }.Validate(),
            "Period",
            "1 ms to 1 day");
    }

    [Fact]
    public void RateLimiterPolicy_BucketAndTimeToFill_AreBounded()
    {
        // Burst · Period in ticks: 2^60 is legal, and every product of the ledger fits.
        var period = TimeSpan.FromTicks(1L << 32);
        new RateLimiterPolicy { Burst = 1 << 28, Period = period, TokensPerPeriod = 1_000_000_000 }.Validate().Should().BeEmpty();
        new RateLimiterPolicy { Burst = (1 << 28) + 1, Period = period, TokensPerPeriod = 1_000_000_000 }.Validate()
            .Should().Equal("Burst · Period is 1152921508901814272 ticks; legal: at most 2^60 ticks of 100 ns.");

        new RateLimiterPolicy { Burst = 30, Period = TimeSpan.FromDays(1), TokensPerPeriod = 1 }.Validate().Should().BeEmpty();
        new RateLimiterPolicy { Burst = 31, Period = TimeSpan.FromDays(1), TokensPerPeriod = 1 }.Validate()
            .Should().Equal("Burst · Period / TokensPerPeriod is 31.00:00:00; legal: at most 30 days.");
        new RateLimiterPolicy { Burst = 62, Period = TimeSpan.FromDays(1), TokensPerPeriod = 2 }.Validate().Should().ContainSingle();
        new RateLimiterPolicy { Burst = 60, Period = TimeSpan.FromDays(1), TokensPerPeriod = 2 }.Validate().Should().BeEmpty();
        new RateLimiterPolicy { Burst = 1_000_000_000, Period = TimeSpan.FromDays(1), TokensPerPeriod = 1 }.Validate()
            .Should().HaveCount(2).And.Contain($"Burst · Period / TokensPerPeriod is {TimeSpan.MaxValue}; legal: at most 30 days.");
    }

    [Fact]
    public void CircuitBreakerPolicy_Ranges_AreThoseOfItsDocumentation()
    {
        Check(1, 1_000_000, value => new CircuitBreakerPolicy { FailureThreshold = value }.Validate(), "FailureThreshold", "1 to 1,000,000");
        Check(1, 1_000, value => new CircuitBreakerPolicy { HalfOpenMaxCalls = value }.Validate(), "HalfOpenMaxCalls", "1 to 1,000");
        Check(
            TimeSpan.FromMilliseconds(1),
            TimeSpan.FromDays(1),
            value => new CircuitBreakerPolicy { CoolDown = value }.Validate(),
            "CoolDown",
            "1 ms to 1 day");
        Check(
            TimeSpan.FromMilliseconds(1),
            TimeSpan.FromDays(1),
            value => new CircuitBreakerPolicy { TrialLease = value }.Validate(),
            "TrialLease",
            "1 ms to 1 day");
        Check(1, 1_000_000, value => new CircuitBreakerPolicy { MinimumThroughput = value }.Validate(), "MinimumThroughput", "1 to 1,000,000");
        Check(1, 1_000, value => new CircuitBreakerPolicy { QuorumNodes = value }.Validate(), "QuorumNodes", "1 to 1,000");
        Check(
            TimeSpan.FromMilliseconds(100),
            TimeSpan.FromHours(1),
            value => new CircuitBreakerPolicy { SamplingWindow = value }.Validate(),
            "SamplingWindow",
            "100 ms to 1 hour");
        Check(
            TimeSpan.FromMilliseconds(1),
            TimeSpan.FromDays(1),
            value => new CircuitBreakerPolicy { SlowCallDuration = value }.Validate(),
            "SlowCallDuration",
            "1 ms to 1 day");
        Check(0.0, 1, value => new CircuitBreakerPolicy { FailureRatio = value }.Validate(), "FailureRatio", "0 to 1");
        Check(1.0, 10, value => new CircuitBreakerPolicy { CoolDownGrowth = value }.Validate(), "CoolDownGrowth", "1 to 10");
        Check(0.0, 1, value => new CircuitBreakerPolicy { CoolDownJitter = value }.Validate(), "CoolDownJitter", "0 to 1");
        Check(1.01, 100, value => new CircuitBreakerPolicy { SheddingFactor = value }.Validate(), "SheddingFactor", "1.01 to 100");
    }

    [Fact]
    public void CircuitBreakerPolicy_WhereOneValueBoundsAnother_SaysSo()
    {
        const string range = "1 ms to 1 day, and at least CoolDown where that grows";
        Check(
            TimeSpan.FromMilliseconds(1),
            TimeSpan.FromDays(1),
            value => new CircuitBreakerPolicy { MaxCoolDown = value }.Validate(),
            "MaxCoolDown",
            range);
        Check(
            TimeSpan.FromSeconds(30),
            TimeSpan.FromDays(1),
            value => new CircuitBreakerPolicy { MaxCoolDown = value, CoolDownGrowth = 2 }.Validate(),
            "MaxCoolDown",
            range);
        new CircuitBreakerPolicy { SheddingFactor = 2, QuorumNodes = 2 }.Validate()
            .Should().Equal("QuorumNodes is 2; legal: 1 where calls are shed: no failure opens it then.");
    }

    [Fact]
    public void BulkheadPolicy_Ranges_AreThoseOfItsDocumentation()
    {
        Check(1, 1_000_000, value => new BulkheadPolicy { Capacity = value }.Validate(), "Capacity", "1 to 1,000,000");
        Check(0, 100_000, value => new BulkheadPolicy { QueueLimit = value }.Validate(), "QueueLimit", "0 to 100,000");
        Check(
            TimeSpan.FromSeconds(2),
            TimeSpan.FromHours(1),
            value => new BulkheadPolicy { Lease = value }.Validate(),
            "Lease",
            "2 s to 1 hour");
        Check(
            TimeSpan.FromMilliseconds(1),
            TimeSpan.FromDays(1),
            value => new BulkheadPolicy { MaxWait = value }.Validate(),
            "MaxWait",
            "1 ms to 1 day, or null");
    }

    [Fact]
    public void ClientOptions_Ranges_AreThoseOfTheirDocumentation()
    {
        Check(
            TimeSpan.FromMilliseconds(10),
            TimeSpan.FromMinutes(1),
            value => new ReliabilityToolkitClientOptions { CallTimeout = value }.Validate(),
            "CallTimeout",
            "10 ms to 1 minute");
        Check(
            1,
            10_000_000,
            value => new ReliabilityToolkitClientOptions { MaxCachedInstances = value }.Validate(),
            "MaxCachedInstances",
            "1 to 10,000,000");
        var options = new ReliabilityToolkitClientOptions();
        options.CircuitFallback["payments"] = (CircuitFallback)7;
        options.Validate().Should().Equal("CircuitFallback[\"payments\"] is 7; legal: LocalBreaker, Reject.");
    }

    [Fact]
    public void RetryOptions_Ranges_AreThoseOfTheirDocumentation()
    {
        Check(1, int.MaxValue, value => new RetryOptions { MaxAttempts = value }.Validate(), "MaxAttempts", "1 and above");
        Check(TimeSpan.Zero, TimeSpan.FromDays(1), value => new RetryOptions { BaseDelay = value }.Validate(), "BaseDelay", "0 to 1 day");
        Check(TimeSpan.Zero, TimeSpan.FromDays(1), value => new RetryOptions { MaxDelay = value }.Validate(), "MaxDelay", "0 to 1 day");
        new RetryOptions { TimeProvider = null!, Random = null! }.Validate()
            .Should().Equal("TimeProvider is null; legal: a TimeProvider.", "Random is null; legal: a Random.");
    }

    private static void Check(int least, int most, Func<int, IReadOnlyList<string>> validate, string property, string range)
    {
        validate(least).Should().BeEmpty();
        validate(most).Should().BeEmpty();
        validate(least - 1).Should().Equal(FormattableString.Invariant($"{property} is {least - 1}; legal: {range}."));
        if (most < int.MaxValue)
            validate(most + 1).Should().Equal(FormattableString.Invariant($"{property} is {most + 1}; legal: {range}."));
    }

    private static void Check(double least, double most, Func<double, IReadOnlyList<string>> validate, string property, string range)
    {
        validate(least).Should().BeEmpty();
        validate(most).Should().BeEmpty();
        foreach (var beyond in new[] { least - 0.001, most + 0.001, double.NaN })
            validate(beyond).Should().Equal(FormattableString.Invariant($"{property} is {beyond}; legal: {range}."));
    }

    private static void Check(TimeSpan least, TimeSpan most, Func<TimeSpan, IReadOnlyList<string>> validate, string property, string range)
    {
        validate(least).Should().BeEmpty();
        validate(most).Should().BeEmpty();
        validate(least - Tick).Should().Equal($"{property} is {least - Tick}; legal: {range}.");
        validate(most + Tick).Should().Equal($"{property} is {most + Tick}; legal: {range}.");
    }
}
