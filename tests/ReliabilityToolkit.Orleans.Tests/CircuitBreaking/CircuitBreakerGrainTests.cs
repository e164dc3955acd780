using System.Collections.Concurrent;
using Microsoft.Extensions.Time.Testing;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>What the shell of the breaker's authority adds to its machine, without a silo.</summary>
public sealed class CircuitBreakerGrainTests : IDisposable, INodeObserver
{
    private readonly FakeTimeProvider _time = new();
    private readonly PolicyMonitor _settings;
    private readonly PolicySource _source;
    private readonly FakeActivation _activation;
    private readonly CircuitBreakerGrain _grain;
    private readonly LogBook<CircuitBreakerGrain> _log = new();
    private readonly List<(int Channel, long Epoch, long Version)> _hints = [];
    private readonly AuthorityMeter _meter = new();
    private readonly CircuitAudit _audit;
    private readonly ConcurrentQueue<CircuitEvent> _events = [];
    private readonly Asker _asker = new(1);
    private readonly LogBook<CircuitAudit> _auditLog = new();
    private readonly TaskCompletionSource _isHearing = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource? _sink;
    private bool _isDeaf;
    private long _sequence;
    private VerdictGrant _grant;

    public CircuitBreakerGrainTests()
    {
        _settings = new PolicyMonitor
        {
            Write = policies =>
                policies.CircuitBreakers["api"] = new CircuitBreakerPolicy { FailureThreshold = 2, CoolDown = TimeSpan.FromSeconds(10) },
        };
        _source = new PolicySource(_settings, new LogBook<PolicySource>());
        _activation = new FakeActivation("rt.breaker", "api/key", _time);
        var clock = new NodeClock(_time);
        _audit = new CircuitAudit([HearAsync], _meter, _auditLog);
        _grain = _activation.Create(() => new CircuitBreakerGrain(FakeActivation.Around(clock, _source, meter: _meter, audit: _audit), _log));
    }

    private ICircuitBreakerProtocol Protocol => _grain;

    public void Dispose()
    {
        _source.Dispose();
        _meter.Dispose();
    }

    void INodeObserver.Changed(int channel, long epoch, long version, int wanted)
    {
        if (_isDeaf)
            throw new InvalidOperationException("nobody is there");
        _hints.Add((channel, epoch, version));
    }

    [Fact]
    public async Task DirectCaller_IsServedExactly()
    {
        var pass = await EnterAsync();
        for (var i = 0; i < 2; i++)
            await ReportAsync(pass, CircuitOutcome.Failed);
        (await EnterAsync()).Should().Match<CircuitPass>(it => !it.IsAdmitted && it.RetryAfter == TimeSpan.FromSeconds(10));
        _time.Advance(TimeSpan.FromSeconds(10));
        var trial = await EnterAsync();
        trial.Trial.Should().NotBe(0);
        await ReportAsync(trial, CircuitOutcome.Succeeded);
        (await StatusAsync()).State.Should().Be(CircuitState.Closed);
    }

    [Fact]
    public async Task Trip_ReturnsWhenTheNodeHasSaidThatItKnows()
    {
        await RenewAsync();
        _time.Advance(TimeSpan.FromSeconds(2));
        await RenewAsync();
        var trip = _activation.TurnAsync(() => _grain.TripAsync("by hand"));
        (await StatusAsync()).Should().Match<CircuitBreakerStatus>(it => it.State == CircuitState.Open && it.Reason == "by hand");
        trip.IsCompleted.Should().BeFalse();
        _hints.Should().ContainSingle().Which.Should().Match<(int Channel, long Epoch, long Version)>(
            hint => hint.Channel == 7 && hint.Epoch == _grant.Epoch && hint.Version > _grant.Version);
        _grant = _grant with { Version = _hints[0].Version };
        await RenewAsync();
        (await trip.WaitAsync(TimeSpan.FromSeconds(20))).Should().Be(new KillSwitchResult(1, 0));
    }

    [Fact]
    public async Task Isolate_OfANodeThatIsSilent_ReturnsWhenItsVerdictHasRunOut()
    {
        await RenewAsync();
        _time.Advance(TimeSpan.FromSeconds(3));
        await RenewAsync();
        var isolate = _activation.TurnAsync(() => _grain.IsolateAsync(null));
        await StatusAsync();
        _time.Advance(TimeSpan.FromMilliseconds(1_999));
        await StatusAsync();
        isolate.IsCompleted.Should().BeFalse();
        _time.Advance(TimeSpan.FromMilliseconds(2));
        (await isolate.WaitAsync(TimeSpan.FromSeconds(20))).Should().Be(new KillSwitchResult(0, 1));
        await _activation.TurnAsync(async () =>
        {
            await _grain.ResetAsync(null);
            return true;
        });
        (await StatusAsync()).State.Should().Be(CircuitState.Closed);
    }

    [Fact]
    public async Task Order_IsAnsweredAfterTheTimeThatItsAskerWillWait()
    {
        await RenewAsync();
        var order = new CircuitOrder(_asker.Next(), CircuitCommand.Trip, null, TimeSpan.FromMilliseconds(250));
        var first = CommandAsync(order);
        await StatusAsync();
        _time.Advance(TimeSpan.FromMilliseconds(250));
        (await first.WaitAsync(TimeSpan.FromSeconds(20))).Should().Match<Obedience>(it => it.IsGiven && !it.IsObeyed && it.Pending == 1);
        var again = CommandAsync(order);
        await StatusAsync();
        _time.Advance(TimeSpan.FromMilliseconds(250));
        await again.WaitAsync(TimeSpan.FromSeconds(20));
        (await StatusAsync()).RetryAfter.Should().Be(TimeSpan.FromSeconds(9.5), "it is not thrown again");
        _time.Advance(TimeSpan.FromMilliseconds(1_500));
        (await CommandAsync(order).WaitAsync(TimeSpan.FromSeconds(20))).IsObeyed.Should().BeTrue();
    }

    [Fact]
    public async Task Policy_TakenOutOfTheConfiguration_LeavesWhatIsUnderWay()
    {
        var pass = await EnterAsync();
        await RenewAsync();
        _settings.Write = static policies => policies.CircuitBreakers.Remove("api");
        _settings.Tell(_settings.CurrentValue);
        for (var i = 0; i < 2; i++)
            await ReportAsync(pass, CircuitOutcome.Failed);
        await RenewAsync();
        _grant.State.Should().Be(CircuitState.Open, "reports and renewals are heard");
        await this.Awaiting(_ => EnterAsync()).Should().ThrowAsync<UnknownPolicyException>();
    }

    [Fact]
    public async Task Activation_WithSomethingToRemember_IsKept()
    {
        await RenewAsync();
        _activation.Delays.Should().BeEmpty();
        await ReportAsync(await EnterAsync(), CircuitOutcome.Failed);
        _activation.Delays.Should().ContainSingle().Which.Should().BeGreaterThan(TimeSpan.FromMinutes(59));
    }

    [Fact]
    public async Task Hint_ThatCannotBeGiven_HurtsNobody()
    {
        _isDeaf = true;
        await RenewAsync();
        _time.Advance(TimeSpan.FromSeconds(3));
        await RenewAsync();
        var trip = _activation.TurnAsync(() => _grain.TripAsync(null));
        (await StatusAsync()).State.Should().Be(CircuitState.Open);
        _log.Lines.Should().ContainSingle(line => line.StartsWith("Debug: A node could not be told", StringComparison.Ordinal));
        _time.Advance(TimeSpan.FromSeconds(2));
        (await trip.WaitAsync(TimeSpan.FromSeconds(20))).RanOut.Should().Be(1);
    }

    [Fact]
    public async Task Changes_AreLoggedCountedAndToldToTheAudit_OnceEach()
    {
        using var book = new MeterBook(_meter.Source);
        var pass = await EnterAsync();
        for (var i = 0; i < 3; i++)
            await ReportAsync(pass, CircuitOutcome.Failed);
        _time.Advance(TimeSpan.FromSeconds(10));
        await ReportAsync(await EnterAsync(), CircuitOutcome.Succeeded);
        var order = new CircuitOrder(_asker.Next(), CircuitCommand.Isolate, "for repair", TimeSpan.FromSeconds(1), "node 7");
        await CommandAsync(order);
        await CommandAsync(order);
        await _audit.DisposeAsync();

        _log.Lines.Should().Equal(
            "Warning: Circuit api/key is Open, and was Closed: Failures. By: itself; reason: none given.",
            "Information: Circuit api/key is half open: its cool-down is over.",
            "Information: Circuit api/key is closed, and was HalfOpen: TrialsSucceeded. By: itself; reason: none given.",
            "Warning: Circuit api/key is Isolated, and was Closed: Isolated. By: node 7; reason: for repair.");
        _events.Select(static it => (it.Policy, it.Key, it.Previous, it.State, it.Cause, it.Reason, it.By)).Should().Equal(
            ("api", "key", CircuitState.Closed, CircuitState.Open, CircuitCause.Failures, null, null),
            ("api", "key", CircuitState.HalfOpen, CircuitState.Closed, CircuitCause.TrialsSucceeded, null, null),
            ("api", "key", CircuitState.Closed, CircuitState.Isolated, CircuitCause.Isolated, "for repair", "node 7"));
        _events.Last().At.Should().Be(_time.GetUtcNow());
        book.Of("breaker.transitions cause=failures policy=api state=open").Should().Be(1);
        book.Of("breaker.transitions cause=isolated policy=api state=isolated").Should().Be(1);
        book.Of("breaker.trials outcome=succeeded policy=api").Should().Be(1);
        book.Of("authority.decisions kind=breaker outcome=admitted policy=api").Should().Be(2);
        book.Of("authority.activations kind=breaker predecessor=none").Should().Be(1);
        book.Of("breaker.unaudited").Should().Be(0);
    }

    [Fact]
    public async Task Trials_ThatNobodyAnswers_AreCountedAsSuch()
    {
        using var book = new MeterBook(_meter.Source);
        var pass = await EnterAsync();
        for (var i = 0; i < 2; i++)
            await ReportAsync(pass, CircuitOutcome.Failed);
        _time.Advance(TimeSpan.FromSeconds(10));
        (await EnterAsync()).Trial.Should().NotBe(0);
        _time.Advance(TimeSpan.FromSeconds(31));
        await StatusAsync();
        book.Of("breaker.trials outcome=unanswered policy=api").Should().Be(1);
    }

    [Fact]
    public async Task AuditSink_ThatThrowsOrHangs_KeepsNobodyAndIsCounted()
    {
        using var book = new MeterBook(_meter.Source);
        _sink = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var order = new CircuitOrder(_asker.Next(), CircuitCommand.Isolate, null, default);
        await CommandAsync(order);
        for (var i = 0; i < CircuitAudit.MostPending + 10; i++)
        {
            await CommandAsync(new CircuitOrder(_asker.Next(), CircuitCommand.Reset, null, default));
            if (i == 0)
                await _isHearing.Task.WaitAsync(TimeSpan.FromSeconds(30));
        }

        book.Of("breaker.unaudited").Should().BeInRange(9, 11, "as many as are pending are kept, besides those in hand");
        _sink.SetException(new InvalidOperationException("the audit is down"));
        await _audit.DisposeAsync();
        _auditLog.Lines.Should().NotBeEmpty().And.OnlyContain(line => line == "Error: An audit sink has thrown; its event is lost.");
    }

    private async ValueTask HearAsync(CircuitEvent what, CancellationToken cancellationToken)
    {
        _isHearing.TrySetResult();
        if (_sink is not null)
            await _sink.Task;
        _events.Enqueue(what);
    }

    private Task<CircuitPass> EnterAsync() => _activation.TurnAsync(() => _grain.EnterAsync());

    private Task<bool> ReportAsync(CircuitPass pass, CircuitOutcome outcome) => _activation.TurnAsync(async () =>
    {
        await _grain.ReportAsync(pass, outcome);
        return true;
    });

    private Task<CircuitBreakerStatus> StatusAsync() => _activation.TurnAsync(() => Protocol.GetStatusAsync());

    private Task<Obedience> CommandAsync(CircuitOrder order) => _activation.TurnAsync(() => Protocol.CommandAsync(order));

    private async Task RenewAsync()
    {
        var request = new VerdictRequest(
            new Borrower(Guid.AllBitsSet, 7), ++_sequence, _grant.Epoch, _grant.Version, 0, null, null, 0, this);
        _grant = await _activation.TurnAsync(() => Protocol.RenewAsync(request));
    }
}
