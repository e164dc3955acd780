using Microsoft.Extensions.Time.Testing;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>What each client object does when the authority does not answer: within a second, and in words.</summary>
public sealed class SilentAuthorityTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly NodeClock _clock;
    private readonly AuthorityCaller _caller;

    public SilentAuthorityTests()
    {
        _clock = new NodeClock(_time);
        _caller = new AuthorityCaller(_clock, new Chance(new Random(1)), TimeSpan.FromSeconds(1), Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
    }

    [Fact]
    public async Task Limiter_SilentAuthority_RefusesWithTheReason()
    {
        var limiter = NewLimiter(new Silence());
        foreach (var ask in new Func<Task<System.Threading.RateLimiting.RateLimitLease>>[] { () => limiter.TryAcquireAsync().AsTask(), () => limiter.AcquireAsync().AsTask() })
        {
            var startedAt = _time.GetUtcNow();
            System.Threading.RateLimiting.RateLimitLease? lease = null;
            await _time.FinishAsync(async () => lease = await ask(), TimeSpan.FromMilliseconds(10));
            lease!.TryGetMetadata(ToolkitMetadata.Reason, out var reason).Should().BeTrue();
            reason.Should().Be(RefusalReason.AuthorityUnavailable);
            (_time.GetUtcNow() - startedAt).Should().BeLessThan(TimeSpan.FromSeconds(1.1));
        }

        limiter.GetStatistics()!.TotalFailedLeases.Should().Be(2);
        await limiter.Awaiting(it => _time.FinishAsync(() => it.GetStatusAsync().AsTask(), TimeSpan.FromMilliseconds(10))).Should().ThrowAsync<AuthorityUnavailableException>();
    }

    [Fact]
    public async Task Breaker_SilentAuthority_ThrowsWithoutInvokingTheOperation()
    {
        var breaker = NewBreaker(new Silence());
        var isInvoked = false;
        await breaker.Awaiting(it => _time.FinishAsync(() => it.CallAsync(_ => ValueTask.FromResult(isInvoked = true)).AsTask(), TimeSpan.FromMilliseconds(10))).Should().ThrowAsync<AuthorityUnavailableException>();
        isInvoked.Should().BeFalse();
    }

    [Fact]
    public async Task Breaker_AuthorityThatFallsSilentDuringTheCall_LosesTheReportAndNotTheResult()
    {
        var authority = new Silence { AnswersEnter = true };
        var breaker = NewBreaker(authority);
        var result = 0;
        await _time.FinishAsync(async () => result = await breaker.CallAsync(_ => ValueTask.FromResult(42)), TimeSpan.FromMilliseconds(10));
        result.Should().Be(42);
    }

    [Fact]
    public async Task Bulkhead_SilentAuthority_RefusesWithTheReason()
    {
        var bulkhead = NewBulkhead(new Silence());
        BulkheadPermit? permit = null;
        await _time.FinishAsync(async () => permit = await bulkhead.TryAcquireAsync(), TimeSpan.FromMilliseconds(10));
        permit!.TryGetMetadata(ToolkitMetadata.Reason, out var reason).Should().BeTrue();
        reason.Should().Be(RefusalReason.AuthorityUnavailable);
        await _time.FinishAsync(async () => permit = await bulkhead.AcquireAsync(), TimeSpan.FromMilliseconds(10));
        permit.IsAcquired.Should().BeFalse();
    }

    [Fact]
    public async Task Switches_AnsweredWithTheVoidAnswer_AreNotTakenForDone()
    {
        // So the authority answers a request that lags too far behind to be done: a kill switch must not return as if it had been thrown.
        var authority = new Silence { AnswersCommands = true };
        await NewBreaker(authority).Awaiting(it => it.TripAsync()).Should().ThrowAsync<AuthorityUnavailableException>();
        await NewBulkhead(authority).Awaiting(it => it.CloseAsync()).Should().ThrowAsync<AuthorityUnavailableException>();
        await NewLimiter(authority).Awaiting(it => it.ResetAsync()).Should().ThrowAsync<AuthorityUnavailableException>();
    }

    [Fact]
    public async Task Permit_OfAnAuthorityThatFellSilent_IsLostBeforeTheLeaseEnds()
    {
        var bulkhead = NewBulkhead(new Silence { AnswersAcquire = true });
        var permit = await bulkhead.AcquireAsync();
        _time.Advance(TimeSpan.FromSeconds(14.84));
        permit.Lost.IsCancellationRequested.Should().BeFalse();
        _time.Advance(TimeSpan.FromMilliseconds(10));
        permit.Lost.IsCancellationRequested.Should().BeTrue("it asked at 0 s for 15 s, and clocks may differ by 1 %");
        permit.Dispose();
        permit.Dispose();
    }

    [Fact]
    public async Task Permit_AnsweredAfterItsLease_IsNotHandedOut()
    {
        var authority = new Silence { AnswersAcquire = true, Delay = () => _time.Advance(TimeSpan.FromSeconds(15)) };
        var permit = await NewBulkhead(authority).AcquireAsync();
        permit.IsAcquired.Should().BeFalse();
    }

    private ClusterRateLimiter NewLimiter(Silence authority) => new RateLimiterNode(Talk<IRateLimiterProtocol>(authority)).Limiter;

    private ClusterCircuitBreaker NewBreaker(Silence authority) => new CircuitBreakerNode(Talk<ICircuitBreakerProtocol>(authority), null).Breaker;

    private ClusterBulkhead NewBulkhead(Silence authority) => new BulkheadNode(Talk<IBulkheadProtocol>(authority)).Bulkhead;

    private Conversation<TAuthority> Talk<TAuthority>(TAuthority authority) => new("api", authority, _caller, new RequestChannel(Guid.NewGuid(), 1));

    private sealed class Silence : IRateLimiterProtocol, ICircuitBreakerProtocol, IBulkheadProtocol
    {
        public bool AnswersEnter { get; init; }

        public bool AnswersAcquire { get; init; }

        public bool AnswersCommands { get; init; }

        public Action? Delay { get; init; }

        public ValueTask<TokenGrant> AcquireAsync(TokenRequest request, CancellationToken cancellationToken) => Never<TokenGrant>(cancellationToken);

        public ValueTask<Acknowledgement> CancelAsync(TokenCancellation cancellation, CancellationToken cancellationToken) => Never<Acknowledgement>(cancellationToken);

        public ValueTask<Acknowledgement> ResetAsync(RequestId id, CancellationToken cancellationToken) => AnswersCommands ? default : Never<Acknowledgement>(cancellationToken);

        ValueTask<RateLimiterStatus> IRateLimiterProtocol.GetStatusAsync(CancellationToken cancellationToken) => Never<RateLimiterStatus>(cancellationToken);

        public ValueTask<CircuitPass> EnterAsync(RequestId id, CancellationToken cancellationToken) =>
            AnswersEnter ? new(new CircuitPass(true, 1, 0, null, CircuitState.Closed)) : Never<CircuitPass>(cancellationToken);

        public ValueTask<Acknowledgement> ReportAsync(CircuitReport report, CancellationToken cancellationToken) => Never<Acknowledgement>(cancellationToken);

        public ValueTask<Acknowledgement> CommandAsync(CircuitOrder order, CancellationToken cancellationToken) => AnswersCommands ? default : Never<Acknowledgement>(cancellationToken);

        ValueTask<CircuitBreakerStatus> ICircuitBreakerProtocol.GetStatusAsync(CancellationToken cancellationToken) => Never<CircuitBreakerStatus>(cancellationToken);

        public ValueTask<SlotGrant> AcquireAsync(SlotRequest request, CancellationToken cancellationToken)
        {
            Delay?.Invoke();
            return AnswersAcquire ? new(new SlotGrant(SlotVerdict.Granted, 1, TimeSpan.FromSeconds(15), default)) : Never<SlotGrant>(cancellationToken);
        }

        public ValueTask<Acknowledgement> ReleaseAsync(SlotRelease release, CancellationToken cancellationToken) => Never<Acknowledgement>(cancellationToken);

        public ValueTask<SlotRenewal> RenewAsync(SlotRenewalRequest request, CancellationToken cancellationToken) => Never<SlotRenewal>(cancellationToken);

        public ValueTask<Acknowledgement> CommandAsync(SlotOrder order, CancellationToken cancellationToken) => AnswersCommands ? default : Never<Acknowledgement>(cancellationToken);

        ValueTask<BulkheadStatus> IBulkheadProtocol.GetStatusAsync(CancellationToken cancellationToken) => Never<BulkheadStatus>(cancellationToken);

        private static ValueTask<TAnswer> Never<TAnswer>(CancellationToken cancellationToken) => new(new TaskCompletionSource<TAnswer>().Task.WaitAsync(cancellationToken));
    }
}
