using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>The shell of a limiter whose authority falls silent and comes back, under fake time.</summary>
public sealed class RateLimiterOutageTests
{
    private readonly FakeNode _node = new();
    private readonly TokenLedger _ledger;
    private int _probes;

    public RateLimiterOutageTests() =>
        _ledger = new TokenLedger(new RateLimiterPolicy { Burst = 1_000, TokensPerPeriod = 1_000 }, _node.Clock.Now, new(1, Predecessor.None));

    [Theory]
    [InlineData(WhenUnavailable.Reject)]
    [InlineData(WhenUnavailable.Admit)]
    [InlineData(WhenUnavailable.LocalShare)]
    public async Task Caller_AfterTheFirstOfAnOutage_IsDecidedAtOnceAndCounted(WhenUnavailable choice)
    {
        var isAdmitted = choice != WhenUnavailable.Reject;
        var limiter = _node.NewLimiter(choice).Limiter;
        await HearOnceAsync(limiter);
        FallSilent();
        (await _node.FinishAsync(() => limiter.TryAcquireAsync(400))).IsAcquired.Should().Be(isAdmitted);
        var foundOutAfter = _node.Elapsed;

        using var book = new MeterBook(_node.Meter.Source);
        for (var i = 0; i < 50; i++)
        {
            Task<RateLimitLease>[] acquires = [limiter.TryAcquireAsync().AsTask(), limiter.AcquireAsync().AsTask()];
            acquires.Should().OnlyContain(acquire => acquire.IsCompletedSuccessfully);
            foreach (var acquire in acquires)
                (await acquire).IsAcquired.Should().Be(isAdmitted);
        }

        limiter.AttemptAcquire().IsAcquired.Should().Be(isAdmitted);
        (_node.Elapsed - foundOutAfter).Should().Be(TimeSpan.Zero);
        book.Of("limiter.decisions outcome=admitted policy=api source=fallback").Should().Be(isAdmitted ? 102 : 0);
        book.Of("limiter.decisions outcome=authority_unavailable policy=api source=fallback").Should().Be(isAdmitted ? 0 : 102);
    }

    [Fact]
    // off the test's own context: what a timer sets free runs at once
    public Task Outage_IsProbedOnceASecondAndEndsWithTheFirstAnswer() => Task.Run(async () =>
    {
        var limiter = _node.NewLimiter().Limiter;
        FallSilent();
        await _node.FinishAsync(() => limiter.AcquireAsync());
        _probes = 0;
        Use(limiter, seconds: 10);
        _probes.Should().BeInRange(8, 30, "each probe is a call, that is made again while it lasts");
        Answer();
        Use(limiter, seconds: 2);
        limiter.AttemptAcquire().IsAcquired.Should().BeTrue();
        (await limiter.AcquireAsync()).IsAcquired.Should().BeTrue();
    });

    [Fact]
    public async Task Caller_OfMoreThanTheBurst_IsToldSoAlsoInAnOutage()
    {
        var limiter = _node.NewLimiter(WhenUnavailable.Admit).Limiter;
        await HearOnceAsync(limiter);
        FallSilent();
        await _node.FinishAsync(() => limiter.TryAcquireAsync(1_000));
        await limiter.Awaiting(it => it.TryAcquireAsync(1_001).AsTask()).Should().ThrowAsync<ArgumentOutOfRangeException>();
    }

    private async Task HearOnceAsync(ClusterRateLimiter limiter)
    {
        Answer();
        _node.Authority.OnRenewPart = null;
        (await limiter.TryAcquireAsync()).IsAcquired.Should().BeTrue();
        await _node.Time.FinishAsync(() => Task.CompletedTask, TimeSpan.FromSeconds(2));
    }

    private void Answer()
    {
        _node.Authority.OnAcquireTokens = request => new(_ledger.Acquire(request, _node.Clock.Now));
        _node.Authority.OnRenewPart = request => new(_ledger.Renew(request, _node.Clock.Now));
    }

    private void FallSilent()
    {
        _node.Authority.OnAcquireTokens = null;
        _node.Authority.OnRenewPart = _ =>
        {
            _probes++;
            return FakeAuthority.Never<PartGrant>();
        };
    }

    private void Use(ClusterRateLimiter limiter, int seconds)
    {
        for (var i = 0; i < seconds * 100; i++)
        {
            limiter.AttemptAcquire();
            _node.Time.Advance(TimeSpan.FromMilliseconds(10));
        }
    }
}
