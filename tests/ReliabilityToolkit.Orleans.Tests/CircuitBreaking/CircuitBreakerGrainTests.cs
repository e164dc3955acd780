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
    private readonly Asker _asker = new(1);
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
        _grain = _activation.Create(() => new CircuitBreakerGrain(clock, _source, new Chance(Random.Shared), FakeActivation.NoRecords(clock), _log));
    }

    private ICircuitBreakerProtocol Protocol => _grain;

    public void Dispose() => _source.Dispose();

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
        _log.Lines.Should().ContainSingle(line => line.Contains("api/key", StringComparison.Ordinal));
        _time.Advance(TimeSpan.FromSeconds(2));
        (await trip.WaitAsync(TimeSpan.FromSeconds(20))).RanOut.Should().Be(1);
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
