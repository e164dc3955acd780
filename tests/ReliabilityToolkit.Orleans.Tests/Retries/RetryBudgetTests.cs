using System.Threading.RateLimiting;
using CsCheck;
using Microsoft.Extensions.Time.Testing;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>How many retries there may be, and which errors are worth one.</summary>
public sealed class RetryBudgetTests
{
    private static readonly Gen<(int Calls, int Wanted, int Milliseconds)[]> Steps =
        Gen.Select(Gen.Int[0, 30], Gen.Int[0, 3], Gen.Int[0, 2_000]).Array[1, 100];

    private readonly FakeTimeProvider _time = new();

    [Fact]
    public async Task Budget_OfAnOutage_AddsAFifthOfTheLoadAndNotTwiceIt()
    {
        // 1,000 calls a second for a minute, all of which fail: 3 attempts each would be 180,000 attempts.
        var attempts = 0;
        var retry = NewRetry(new RetryBudget(timeProvider: _time));
        for (var second = 0; second < 60; second++)
        {
            for (var i = 0; i < 1_000; i++)
                await FailAsync(retry, () => attempts++);
            _time.Advance(TimeSpan.FromSeconds(1));
        }

        (attempts - 60_000).Should().BeInRange(12_000, 100 + 12_000 + 600);
    }

    [Fact]
    public void Budget_OverAnyTime_IsItsReserveAndItsShareAndItsRate() =>
        Gen.Select(Gen.Double[0, 1], Gen.Double[0, 50], Steps).Sample((share, perSecond, steps) =>
        {
            var time = new FakeTimeProvider();
            var clock = new NodeClock(time);
            var budget = new RetryBudget(share, perSecond, timeProvider: time);
            var (calls, given, elapsed) = (0L, 0L, 0.0);
            foreach (var (made, wanted, ms) in steps)
            {
                for (var i = 0; i < made; i++, calls++)
                    budget.NoteCall();
                for (var i = 0; i < wanted; i++)
                    given += budget.TryTake(clock.Now) ? 1 : 0;
                time.Advance(TimeSpan.FromMilliseconds(ms));
                elapsed += ms / 1_000.0;
                given.Should().BeLessThanOrEqualTo((long)(Math.Max(1, perSecond * 10) + (share * calls) + (perSecond * elapsed) + 1e-6));
            }
        }, iter: 1_000);

    [Fact]
    public async Task Budget_ThatIsUsedUp_LetsTheErrorThroughUnchangedAndComesBack()
    {
        var retry = NewRetry(new RetryBudget(share: 0, perSecond: 0.1, timeProvider: _time)); // a reserve of one
        var attempts = 0;
        (await FailAsync(retry, () => attempts++)).Message.Should().Be("2", "one retry is in it");
        (await FailAsync(retry, () => attempts++)).Message.Should().Be("3", "and not another");
        _time.Advance(TimeSpan.FromSeconds(10));
        (await FailAsync(retry, () => attempts++)).Message.Should().Be("5");
    }

    [Fact]
    public async Task Budget_SharedByALimiter_IsThatOfAll()
    {
        using var shared = new TokenBucketRateLimiter(new TokenBucketRateLimiterOptions
        {
            TokenLimit = 3,
            TokensPerPeriod = 1,
            ReplenishmentPeriod = TimeSpan.FromHours(1),
            AutoReplenishment = false,
            QueueLimit = 0,
        });
        Retry[] nodes = [NewRetry(new RetryBudget(shared: shared)), NewRetry(new RetryBudget(shared: shared))];
        var attempts = 0;
        foreach (var node in nodes)
        {
            await FailAsync(node, () => attempts++);
            await FailAsync(node, () => attempts++);
        }

        attempts.Should().Be(4 + 3);
    }

    [Fact]
    public async Task Budget_WhoseSharedLimiterIsSilentOrBroken_IsTheNodesOwn()
    {
        var log = new LogBook<RetryBudget>();
        foreach (var shared in new[] { new Refusing(RefusalReason.AuthorityUnavailable), new Refusing(null) })
        {
            var attempts = 0;
            var retry = NewRetry(new RetryBudget(shared: shared), options => options.Logger = log);
            (await FailAsync(retry, () => attempts++)).Message.Should().Be("3");
        }

        log.Lines.Should().ContainSingle().Which.Should().StartWith("Error: The limiter of the shared retry budget has thrown");
        var refused = 0;
        await FailAsync(NewRetry(new RetryBudget(shared: new Refusing(RefusalReason.RateLimited))), () => refused++);
        refused.Should().Be(1);
    }

    [Fact]
    public async Task Retry_WhatCannotSucceed_IsNotRepeatedByDefault()
    {
        foreach (var hopeless in new Exception[]
        {
            new UnknownPolicyException("bulkhead", "x", []),
            new ArgumentOutOfRangeException("permitCount"),
            new NotSupportedException(),
            new NotImplementedException(),
        })
        {
            var attempts = 0;
            await NewRetry(new RetryBudget()).Awaiting(retry => retry.RunAsync(ValueTask (_) =>
            {
                attempts++;
                throw hopeless;
            }).AsTask()).Should().ThrowAsync<Exception>();
            attempts.Should().Be(1, hopeless.GetType().Name);
        }

        RetryOptions.CanSucceed(new TimeoutException()).Should().BeTrue();
        RetryOptions.CanSucceed(new CircuitOpenException("payments", CircuitState.Open, null)).Should().BeTrue();
    }

    [Fact]
    public async Task Retry_PredicateThatThrows_IsLoggedOnce()
    {
        var log = new LogBook<Retry>();
        var retry = NewRetry(
            new RetryBudget(), options => (options.RetryIf, options.Logger) = (static _ => throw new InvalidOperationException("a bug"), log));
        var attempts = 0;
        await FailAsync(retry, () => attempts++);
        await FailAsync(retry, () => attempts++);
        log.Lines.Should().Equal("Error: RetryIf has thrown; the error is not retried. Not logged again for this retry.");
    }

    [Theory]
    [InlineData(-0.1, 1, "share")]
    [InlineData(1.1, 1, "share")]
    [InlineData(double.NaN, 1, "share")]
    [InlineData(0.1, -1, "perSecond")]
    [InlineData(0.1, double.PositiveInfinity, "perSecond")]
    public void Budget_ThatIsNone_IsRefused(double share, double perSecond, string parameter) =>
        FluentActions.Invoking(() => new RetryBudget(share, perSecond)).Should().Throw<ArgumentOutOfRangeException>().WithParameterName(parameter);

    private static async Task<Exception> FailAsync(Retry retry, Func<int> attempt) =>
        (await retry.Awaiting(it => it.RunAsync(ValueTask (_) => throw new TimeoutException($"{attempt() + 1}")).AsTask())
            .Should().ThrowAsync<TimeoutException>()).Which;

    private static Retry NewRetry(RetryBudget budget, Action<RetryOptions>? configure = null)
    {
        var options = new RetryOptions { BaseDelay = TimeSpan.Zero, MaxDelay = TimeSpan.Zero, Budget = budget };
        configure?.Invoke(options);
        return new Retry(options);
    }

    /// <summary>Refuses for a reason, or throws.</summary>
    private sealed class Refusing(RefusalReason? reason) : RateLimiter
    {
        public override TimeSpan? IdleDuration => null;

        public override RateLimiterStatistics? GetStatistics() => null;

        protected override RateLimitLease AttemptAcquireCore(int permitCount) => throw new NotSupportedException();

        protected override ValueTask<RateLimitLease> AcquireAsyncCore(int permitCount, CancellationToken cancellationToken) => reason is { } why
            ? new(new TokenLease(new ResourceName("retries", null), why))
            : throw new UnknownPolicyException("rate limiter", "retries", []);
    }
}
