namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>What a node measures, exactly, under fake time; and what its health check makes of it.</summary>
public sealed class NodeTelemetryTests : IDisposable
{
    private static readonly string[] AllowedTags = ["kind", "policy", "outcome", "source", "state", "cause"];

    private readonly FakeNode _node = new();
    private readonly MeterBook _book;

    public NodeTelemetryTests() => _book = new MeterBook(_node.Meter.Source);

    public void Dispose()
    {
        _book.Dispose();
        _node.Meter.Dispose();
    }

    [Fact]
    public async Task Limiter_CountsWhatWasDecidedWhereAndEveryTokenOfItsPart()
    {
        var ledger = new TokenLedger(new RateLimiterPolicy { Burst = 1_000, TokensPerPeriod = 1_000 }, _node.Clock.Now, new(1, Predecessor.None));
        _node.Authority.OnAcquireTokens = request => new(ledger.Acquire(request, _node.Clock.Now));
        _node.Authority.OnRenewPart = request => new(ledger.Renew(request, _node.Clock.Now));
        var limiter = _node.NewLimiter();
        (await limiter.Limiter.TryAcquireAsync()).IsAcquired.Should().BeTrue();
        _book.Of("limiter.decisions outcome=admitted policy=api source=authority").Should().Be(1, "nothing was lent yet");

        var taken = 0;
        for (var i = 0; i < 1_000; i++)
        {
            taken += limiter.Limiter.AttemptAcquire().IsAcquired ? 1 : 0;
            _node.Time.Advance(TimeSpan.FromMilliseconds(1));
        }

        await limiter.LetGoAsync();
        taken.Should().BeGreaterThan(900);
        _book.Of("limiter.decisions outcome=admitted policy=api source=part").Should().Be(taken);
        var refused = _book.Of("limiter.decisions outcome=no_local_stock policy=api source=part")
            + _book.Of("limiter.decisions outcome=rate_limited policy=api source=part");
        refused.Should().Be(1_000 - taken);
        _book.Of("limiter.tokens outcome=lent policy=api").Should().Be(
            taken + _book.Of("limiter.tokens outcome=returned policy=api"), "what was lent was taken, or went back");
        _book.Of("calls kind=limiter policy=api").Should().BeInRange(2, 30);
    }

    [Fact]
    public async Task Limiter_PartThatEndsUnused_HasRunOut()
    {
        var ledger = new TokenLedger(new RateLimiterPolicy { Burst = 1_000, TokensPerPeriod = 1_000 }, _node.Clock.Now, new(1, Predecessor.None));
        _node.Authority.OnRenewPart = request => new(ledger.Renew(request, _node.Clock.Now));
        var limiter = _node.NewLimiter();
        limiter.Limiter.AttemptAcquire();
        var held = limiter.Levels.Tokens;
        held.Should().BeGreaterThan(0);
        limiter.Limiter.AttemptAcquire();
        _node.Authority.OnRenewPart = null; // nobody answers any more
        for (var i = 0; i < 40; i++)
            await Task.Run(() => _node.Time.Advance(TimeSpan.FromMilliseconds(50)));
        limiter.Limiter.AttemptAcquire();
        _book.Of("limiter.tokens outcome=run_out policy=api").Should().Be(_book.Of("limiter.tokens outcome=lent policy=api") - 1);
    }

    [Fact]
    public async Task Limiter_Waits_AreMeasured()
    {
        _node.Authority.OnAcquireTokens = _ => new(new TokenGrant(true, TimeSpan.FromSeconds(2), default, default, 10));
        var wait = _node.NewLimiter().Limiter.AcquireAsync().AsTask();
        _node.Time.Advance(TimeSpan.FromSeconds(2));
        await wait;
        _book.Of("limiter.wait policy=api").Should().Be(2);
    }

    [Fact]
    public async Task Breaker_CountsWhatWasDecidedWhere()
    {
        var circuit = new Circuit(new CircuitBreakerPolicy { FailureThreshold = 1 }, _node.Clock.Now, new(1, Predecessor.None));
        _node.Authority.OnRenewVerdict = request => new(circuit.Renew(request, _node.Clock.Now));
        var breaker = _node.NewBreaker();
        for (var i = 0; i < 5; i++)
            await breaker.Breaker.CallAsync(static _ => new ValueTask<int>(1));
        _book.Of("breaker.decisions outcome=admitted policy=api source=part").Should().Be(4);
        _book.Of("breaker.decisions outcome=admitted policy=api source=authority").Should().Be(1, "nothing was known yet");
        await breaker.Breaker.Awaiting(it => it.CallAsync(static _ => ValueTask.FromException<int>(new TimeoutException())).AsTask())
            .Should().ThrowAsync<TimeoutException>();
        await breaker.Breaker.Awaiting(it => it.CallAsync(static _ => new ValueTask<int>(1)).AsTask()).Should().ThrowAsync<CircuitOpenException>();
        _book.Of("breaker.decisions outcome=admitted policy=api source=part").Should().Be(5);
        _book.Of("breaker.decisions outcome=open policy=api source=part").Should().Be(1);

        _node.Authority.OnRenewVerdict = null;
        _node.Time.Advance(TimeSpan.FromSeconds(10));
        await _node.FinishAsync(async () => (await breaker.Breaker.TryEnterAsync()).IsAdmitted);
        _book.Of("breaker.decisions outcome=open policy=api source=fallback").Should().Be(1);
    }

    [Fact]
    public async Task Bulkhead_CountsWhatWasDecidedWhereAndWhatItHandsOver()
    {
        var ledger = new SlotLedger(new BulkheadPolicy { Capacity = 2 }, _node.Clock.Now, new(1, Predecessor.None));
        _node.Authority.OnRenewSlots = request => new(ledger.Renew(request, _node.Clock.Now));
        var bulkhead = _node.NewBulkhead();
        using (await bulkhead.Bulkhead.AcquireAsync())
            bulkhead.Levels.Should().Be((0, 1, 1));
        using (await bulkhead.Bulkhead.AcquireAsync())
            bulkhead.Levels.Should().Be((0, 1, 1));
        bulkhead.Bulkhead.AttemptAcquire(2).IsAcquired.Should().BeFalse();
        await bulkhead.LetGoAsync();
        bulkhead.Levels.Should().Match<(int, int Held, int)>(levels => levels.Held <= 2);
        _book.Of("bulkhead.decisions outcome=admitted policy=api source=authority").Should().Be(1);
        _book.Of("bulkhead.decisions outcome=admitted policy=api source=part").Should().Be(1);
        _book.Of("bulkhead.decisions outcome=no_local_stock policy=api source=part").Should().Be(1);
        _book.Of("bulkhead.slots.returned policy=api").Should().BeGreaterThan(0);
    }

    [Fact]
    public async Task Bulkhead_PermitsThatAreLost_AreCounted()
    {
        var ledger = new SlotLedger(new BulkheadPolicy { Capacity = 2 }, _node.Clock.Now, new(1, Predecessor.None));
        _node.Authority.OnRenewSlots = request => new(ledger.Renew(request, _node.Clock.Now));
        var bulkhead = _node.NewBulkhead();
        var permit = await bulkhead.Bulkhead.AcquireAsync(2);
        _node.Authority.OnRenewSlots = null;
        for (var i = 0; i < 100; i++)
            await Task.Run(() => _node.Time.Advance(TimeSpan.FromMilliseconds(200)));
        permit.IsHeld.Should().BeFalse();
        _book.Of("bulkhead.permits.lost policy=api").Should().Be(2);
    }

    [Fact]
    public async Task Everything_HasTagsOfFewValuesAndNeverTheKey()
    {
        await Limiter_CountsWhatWasDecidedWhereAndEveryTokenOfItsPart();
        await Breaker_CountsWhatWasDecidedWhere();
        await Bulkhead_CountsWhatWasDecidedWhereAndWhatItHandsOver();
        var names = _book.Read().Keys;
        names.Should().HaveCountGreaterThan(10);
        foreach (var name in names)
        {
            name.Should().StartWith("reliability_toolkit.").And.NotContain("api/key").And.NotContain("=key");
            name.Split(' ').Skip(1).Select(static tag => tag.Split('=')[0]).Should().BeSubsetOf(AllowedTags);
        }
    }

    [Fact]
    public async Task Limiter_RefusedHereAndAdmittedThere_IsOneDecision()
    {
        var ledger = new TokenLedger(new RateLimiterPolicy { Burst = 10, TokensPerPeriod = 1 }, _node.Clock.Now, new(1, Predecessor.None));
        _node.Authority.OnAcquireTokens = request => new(ledger.Acquire(request, _node.Clock.Now));
        var limiter = _node.NewLimiter().Limiter;
        limiter.AttemptAcquire().IsAcquired.Should().BeFalse();
        (await limiter.TryAcquireAsync()).IsAcquired.Should().BeTrue();
        _book.Of("limiter.decisions outcome=no_local_stock policy=api source=part").Should().Be(0);
        _book.Of("limiter.decisions outcome=admitted policy=api source=authority").Should().Be(1);
    }

    [Fact]
    public void Policies_ThatStrangersThinkOf_AreOneBeyondAThousand()
    {
        for (var i = 0; i < 2 * PolicyNames.Most; i++)
            _node.Meter.Limiters.Of($"policy-{i}").Add(DecisionSource.Part, DecisionOutcome.Admitted);
        _book.Read().Keys.Count(static name => name.Contains("decisions", StringComparison.Ordinal)).Should().Be(PolicyNames.Most + 1);
        _book.Of("limiter.decisions outcome=admitted policy=other source=part").Should().Be(PolicyNames.Most);
    }

    [Fact]
    public void StripedCount_OfManyThreads_LosesNothing()
    {
        var count = new StripedCount();
        Parallel.For(0, 64, _ =>
        {
            for (var i = 0; i < 1_000; i++)
                count.Add();
        });
        count.Sum.Should().Be(64_000);
    }

    [Fact]
    public void Words_AreThoseOfTheEnumeration() =>
        ReliabilityToolkitTelemetry.WordsOf<DecisionOutcome>().Should().Equal(
            "unspecified", "rate_limited", "queue_full", "no_free_slot", "authority_unavailable", "no_local_stock", "wait_expired", "admitted",
            "open", "half_open", "isolated", "shed", "closed");
}
