using System.Diagnostics.Metrics;
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

        using var counted = new Count();
        for (var i = 0; i < 50; i++)
        {
            Task<RateLimitLease>[] acquires = [limiter.TryAcquireAsync().AsTask(), limiter.AcquireAsync().AsTask()];
            acquires.Should().OnlyContain(acquire => acquire.IsCompletedSuccessfully);
            foreach (var acquire in acquires)
                (await acquire).IsAcquired.Should().Be(isAdmitted);
        }

        limiter.AttemptAcquire().IsAcquired.Should().Be(isAdmitted);
        (_node.Elapsed - foundOutAfter).Should().Be(TimeSpan.Zero);
        counted.Of("admitted").Should().Be(isAdmitted ? 101 : 0);
        counted.Of("refused").Should().Be(isAdmitted ? 0 : 101);
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

    // Of what happens on this thread; other tests count at the same meter.
    private sealed class Count : IDisposable
    {
        private readonly MeterListener _listener = new();
        private readonly Dictionary<string, long> _byOutcome = [];
        private readonly int _thread = Environment.CurrentManagedThreadId;

        public Count()
        {
            _listener.InstrumentPublished = static (instrument, listener) =>
            {
                if (instrument.Name == "reliability_toolkit.limiter.decided_alone")
                    listener.EnableMeasurementEvents(instrument);
            };
            _listener.SetMeasurementEventCallback<long>((_, count, tags, _) =>
            {
                if (Environment.CurrentManagedThreadId == _thread)
                    _byOutcome[(string)tags[0].Value!] = Of((string)tags[0].Value!) + count;
            });
            _listener.Start();
        }

        public long Of(string outcome) => _byOutcome.GetValueOrDefault(outcome);

        public void Dispose() => _listener.Dispose();
    }
}
