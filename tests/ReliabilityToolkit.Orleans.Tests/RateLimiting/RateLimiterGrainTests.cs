using Microsoft.Extensions.Time.Testing;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>What the shell of the limiter's authority adds to its machine, without a silo.</summary>
public sealed class RateLimiterGrainTests : IDisposable
{
    private readonly FakeTimeProvider _time = new();
    private readonly PolicySource _source;
    private readonly Departures _departures;
    private readonly Asker _asker = new(1);
    private FakeActivation _activation;
    private RateLimiterGrain _grain;

    public RateLimiterGrainTests()
    {
        var settings = new PolicyMonitor
        {
            Write = policies => policies.RateLimiters["api"] = new RateLimiterPolicy { Burst = 100, TokensPerPeriod = 100, QueueLimit = 10 },
        };
        _source = new PolicySource(settings, new LogBook<PolicySource>());
        _departures = new Departures(new NodeClock(_time));
        (_activation, _grain) = Activate();
    }

    private IRateLimiterProtocol Protocol => _grain;

    private static PartRequest Wish => new(new Borrower(Guid.AllBitsSet, 1), 1, 0, 0, 0, 0, 0, 0, Demand: 100, Asked: 0, AtTheDoor: 0);

    public void Dispose() => _source.Dispose();

    [Fact]
    public async Task DirectCaller_IsServedExactlyAndNeverRemembered()
    {
        (await TryAcquireAsync(100)).Should().BeTrue();
        (await TryAcquireAsync(1)).Should().BeFalse();
        _time.Advance(TimeSpan.FromMilliseconds(10));
        (await TryAcquireAsync(1)).Should().BeTrue();
    }

    [Fact]
    public async Task DirectCaller_WhoWaits_HasHisTokenAfterTheWaitAndNotBefore()
    {
        await TryAcquireAsync(100);
        var wait = AcquireAsync(20, default);
        (await StatusAsync()).Waiting.Should().Be(1);
        _time.Advance(TimeSpan.FromMilliseconds(199));
        wait.IsCompleted.Should().BeFalse();
        _time.Advance(TimeSpan.FromMilliseconds(2));
        (await wait.WaitAsync(TimeSpan.FromSeconds(20))).Should().BeTrue();
    }

    [Fact]
    public async Task DirectCaller_WhoWouldWaitTooLong_IsRefusedAndKeepsNoPlace()
    {
        await TryAcquireAsync(100);
        (await AcquireAsync(60, default)).Should().BeFalse("600 ms is more than a held call may last");
        (await AcquireAsync(100, default)).Should().BeFalse("so is a second, which is not even promised yet");
        (await StatusAsync()).Waiting.Should().Be(0);
        _time.Advance(TimeSpan.FromMilliseconds(100));
        (await TryAcquireAsync(10)).Should().BeTrue("nothing has been kept for them");
    }

    [Fact]
    public async Task DirectCaller_WhoIsRefusedForAFullLine_HearsNo()
    {
        await TryAcquireAsync(100);
        var waits = Enumerable.Range(0, 10).Select(_ => AcquireAsync(1, default)).ToArray();
        (await AcquireAsync(1, default)).Should().BeFalse();
        _time.Advance(TimeSpan.FromMilliseconds(101));
        (await Task.WhenAll(waits).WaitAsync(TimeSpan.FromSeconds(20))).Should().OnlyContain(isAdmitted => isAdmitted);
    }

    [Fact]
    public async Task DirectCaller_WhoLeaves_LeavesHisTokensToTheNext()
    {
        await TryAcquireAsync(100);
        using var gone = new CancellationTokenSource();
        var wait = AcquireAsync(30, gone.Token);
        (await StatusAsync()).Waiting.Should().Be(1);
        await gone.CancelAsync();
        await FluentActions.Awaiting(() => wait).Should().ThrowAsync<OperationCanceledException>();
        (await StatusAsync()).Waiting.Should().Be(0);
    }

    [Fact]
    public async Task Grain_ThatHearsOfASuccessor_LetsItselfGo()
    {
        // It refused everybody for as long as it was asked.
        await AskAsync(new TokenRequest(_asker.Next(), 1, MayWait: false));
        _activation.LetGo.Should().Be(0);
        (await _activation.TurnAsync(() => Protocol.RenewAsync(Wish with { Epoch = long.MaxValue }))).Term.Should().Be(default);
        _activation.LetGo.Should().BeGreaterThan(0);
    }

    [Fact]
    public async Task Request_ThatComesAgainOrWasTakenBack_IsNotDoneAgain()
    {
        var (request, command) = (new TokenRequest(_asker.Next(), 40, MayWait: false), _asker.Next());
        (await AskAsync(request)).IsGranted.Should().BeTrue();
        (await AskAsync(request)).IsGranted.Should().BeTrue();
        (await StatusAsync()).AvailableTokens.Should().Be(60);

        var early = new TokenRequest(_asker.Next(), 40, MayWait: false);
        (await _activation.TurnAsync(() => Protocol.CancelAsync(new TokenCancellation(early.Id)))).Should().Be(Acknowledgement.Done);
        (await AskAsync(early)).Should().Be(default(TokenGrant));
        (await StatusAsync()).AvailableTokens.Should().Be(60);

        (await _activation.TurnAsync(() => Protocol.ResetAsync(command))).Should().Be(Acknowledgement.Done);
        (await StatusAsync()).AvailableTokens.Should().Be(100);
        await TryAcquireAsync(10);
        await _activation.TurnAsync(() => Protocol.ResetAsync(command)); // a late copy
        (await StatusAsync()).AvailableTokens.Should().Be(90);
    }

    [Fact]
    public async Task Reset_ByADirectCaller_FillsTheBucket()
    {
        await TryAcquireAsync(100);
        await _activation.TurnAsync(async () =>
        {
            await _grain.ResetAsync();
            return true;
        });
        (await StatusAsync()).AvailableTokens.Should().Be(100);
    }

    [Fact]
    public async Task Activation_WithAPartLent_EndsNoSoonerThanThat()
    {
        (await RenewAsync(Wish)).Room.Should().BePositive();
        _activation.Delays.Should().NotBeEmpty("until then it is not collected for being idle");
        var end = DeactivateAsync();
        end.IsCompleted.Should().BeFalse();
        _time.Advance(LeaseTerm.OfPart - TimeSpan.FromMilliseconds(1));
        end.IsCompleted.Should().BeFalse("its successor will know nothing of that part");
        _time.Advance(TimeSpan.FromMilliseconds(2));
        await end.WaitAsync(TimeSpan.FromSeconds(20));
    }

    [Fact]
    public async Task Activation_WithNothingLent_EndsAtOnce()
    {
        DeactivateAsync().IsCompletedSuccessfully.Should().BeTrue("it never had anything");
        await TryAcquireAsync(1);
        DeactivateAsync().IsCompletedSuccessfully.Should().BeTrue();
        await RenewAsync(Wish);
        await RenewAsync(Wish with { Sequence = 2, Taken = 1, Demand = 0 });
        DeactivateAsync().IsCompletedSuccessfully.Should().BeTrue("all has been given back");
    }

    [Fact]
    public async Task Activation_AfterASiloWasLost_IsCarefulForATerm()
    {
        ((ISiloStatusListener)_departures).SiloStatusChangeNotification(SiloAddress.Zero, SiloStatus.Dead);
        (await TryAcquireAsync(100)).Should().BeTrue("that is the one burst that a loss may cost");
        _time.Advance(LeaseTerm.OfPart - TimeSpan.FromMilliseconds(1));
        (await TryAcquireAsync(1)).Should().BeFalse("it earns nothing while parts of the lost one may still live");
        _time.Advance(TimeSpan.FromMilliseconds(12));
        (await TryAcquireAsync(1)).Should().BeTrue();
    }

    [Fact]
    public async Task Activation_NumbersItselfHigherThanThoseBefore()
    {
        var first = (await RenewAsync(Wish)).Epoch;
        _time.Advance(TimeSpan.FromMilliseconds(2));
        (_activation, _grain) = Activate();
        (await RenewAsync(Wish)).Epoch.Should().BeGreaterThan(first);
    }

    private (FakeActivation Activation, RateLimiterGrain Grain) Activate()
    {
        var activation = new FakeActivation("rt.limiter", "api/key", _time);
        var clock = new NodeClock(_time);
        return (activation, activation.Create(() => new RateLimiterGrain(
            FakeActivation.Around(clock, _source, departures: _departures), new LogBook<RateLimiterGrain>())));
    }

    private Task<bool> TryAcquireAsync(int tokens) => _activation.TurnAsync(() => _grain.TryAcquireAsync(tokens));

    private Task<bool> AcquireAsync(int tokens, CancellationToken cancellationToken) =>
        _activation.TurnAsync(() => _grain.AcquireAsync(tokens, cancellationToken));

    private Task<RateLimiterStatus> StatusAsync() => _activation.TurnAsync(() => Protocol.GetStatusAsync());

    private Task<TokenGrant> AskAsync(TokenRequest request) => _activation.TurnAsync(() => Protocol.AcquireAsync(request));

    private Task<PartGrant> RenewAsync(PartRequest request) => _activation.TurnAsync(() => Protocol.RenewAsync(request));

    private Task DeactivateAsync() => _grain.OnDeactivateAsync(new DeactivationReason(DeactivationReasonCode.ApplicationRequested, ""), default);
}
