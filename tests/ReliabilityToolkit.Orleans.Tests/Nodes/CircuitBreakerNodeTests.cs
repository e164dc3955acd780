namespace ReliabilityToolkit.Orleans.Tests;

public sealed class CircuitBreakerNodeTests
{
    private readonly FakeNode _node = new();
    private readonly List<CircuitReport> _reports = [];

    public CircuitBreakerNodeTests()
    {
        Authority.OnEnter = (_, _) => new(new CircuitPass(true, 3, 0, null, CircuitState.Closed));
        Authority.OnReport = (report, _) =>
        {
            _reports.Add(report);
            return new(Acknowledgement.Done);
        };
    }

    private FakeAuthority Authority => _node.Authority;

    [Fact]
    public async Task Call_Success_IsReportedInTheGenerationOfItsPass()
    {
        Authority.OnEnter = (_, _) => new(new CircuitPass(true, 3, 9, null, CircuitState.HalfOpen));
        (await _node.NewBreaker().Breaker.CallAsync(_ => ValueTask.FromResult(42))).Should().Be(42);
        _reports.Should().ContainSingle().Which
            .Should().Match<CircuitReport>(report => report.Generation == 3 && report.Trial == 9 && report.Outcome == CircuitOutcome.Succeeded);
    }

    [Fact]
    public async Task Call_Rejected_IsNotMadeAndSaysWhenToComeBack()
    {
        Authority.OnEnter = (_, _) => new(new CircuitPass(false, 3, 0, TimeSpan.FromSeconds(8), CircuitState.Open));
        var isInvoked = false;
        var thrown = (
            await _node.NewBreaker().Breaker.Awaiting(it => it.CallAsync(_ => ValueTask.FromResult(isInvoked = true)).AsTask())
                .Should().ThrowAsync<CircuitOpenException>()).Which;
        (thrown.Name, thrown.RetryAfter).Should().Be(("api/key", TimeSpan.FromSeconds(8)));
        isInvoked.Should().BeFalse();
        _reports.Should().BeEmpty();
    }

    [Fact]
    public async Task Call_EndedByItsOwnCaller_IsNeitherSuccessNorFailure()
    {
        using var cancellation = new CancellationTokenSource();
        await _node.NewBreaker().Breaker.Awaiting(it => it.CallAsync(
            async token =>
            {
                await cancellation.CancelAsync();
                token.ThrowIfCancellationRequested();
            },
            cancellation.Token).AsTask()).Should().ThrowAsync<OperationCanceledException>();
        _reports.Should().ContainSingle().Which.Outcome.Should().Be(CircuitOutcome.Ignored);
    }

    [Fact]
    public async Task Call_ThatTimesOutByItself_IsAFailure()
    {
        // An HttpClient's time-out is an OperationCanceledException too: the downstream hangs, and nobody cancelled.
        await _node.NewBreaker().Breaker.Awaiting(it => it.CallAsync(ValueTask (_) => throw new TaskCanceledException("its own clock")).AsTask())
            .Should().ThrowAsync<TaskCanceledException>();
        _reports.Should().ContainSingle().Which.Outcome.Should().Be(CircuitOutcome.Failed);
    }

    [Fact]
    public async Task Call_WhatIsNoFailureByThePredicate_IsASuccess()
    {
        await _node.NewBreaker(e => e is not KeyNotFoundException).Breaker.Awaiting(
            it => it.CallAsync(ValueTask (_) => throw new KeyNotFoundException()).AsTask()).Should().ThrowAsync<KeyNotFoundException>();
        _reports.Should().ContainSingle().Which.Outcome.Should().Be(CircuitOutcome.Succeeded);
    }

    [Fact]
    public async Task Call_PredicateThatThrows_HidesNothingAndCountsAsAFailure()
    {
        await _node.NewBreaker(_ => throw new InvalidOperationException("a bug in the predicate")).Breaker
            .Awaiting(it => it.CallAsync(ValueTask (_) => throw new TimeoutException("downstream")).AsTask())
            .Should().ThrowAsync<TimeoutException>().WithMessage("downstream");
        _reports.Should().ContainSingle().Which.Outcome.Should().Be(CircuitOutcome.Failed);
    }

    public static TheoryData<Exception> WhatAReportMayRunInto => new(
        new SiloUnavailableException(),
        new ObjectDisposedException("the client's host"),
        new UnknownPolicyException("circuit breaker", "api", []),
        new InvalidOperationException("a bug"));

    [Theory]
    [MemberData(nameof(WhatAReportMayRunInto))]
    public async Task Call_ReportThatFails_NeverReplacesTheCallsResultOrError(Exception failure)
    {
        // The operation returned 42, the host stopped meanwhile, and the caller got an ObjectDisposedException: he may charge again.
        Authority.OnReport = (_, _) => throw failure;
        var breaker = _node.NewBreaker().Breaker;
        (await _node.FinishAsync(() => breaker.CallAsync(_ => ValueTask.FromResult(42)))).Should().Be(42);
        await this.Awaiting(_ => _node.FinishAsync(() => breaker.CallAsync(ValueTask<int> (_) => throw new TimeoutException("downstream"))))
            .Should().ThrowAsync<TimeoutException>();
    }

    [Fact]
    public async Task Call_SilentAuthority_IsNotMade()
    {
        Authority.OnEnter = null;
        var isInvoked = false;
        await this.Awaiting(_ => _node.FinishAsync(() => _node.NewBreaker().Breaker.CallAsync(_ => ValueTask.FromResult(isInvoked = true))))
            .Should().ThrowAsync<AuthorityUnavailableException>();
        isInvoked.Should().BeFalse();
    }

    [Fact]
    public async Task Enter_CallerWhoGoes_GivesHisTrialBack()
    {
        var trial = new TaskCompletionSource<CircuitPass>();
        var entered = new List<RequestId>();
        Authority.OnEnter = (id, token) =>
        {
            entered.Add(id);
            return new(trial.Task.WaitAsync(token));
        };
        using var cancellation = new CancellationTokenSource();
        var call = _node.NewBreaker().EnterAsync(cancellation.Token).AsTask();
        await cancellation.CancelAsync();
        await call.Awaiting(task => task).Should().ThrowAsync<OperationCanceledException>();
        _reports.Should().BeEmpty();
        trial.SetResult(new CircuitPass(true, 5, 17, null, CircuitState.HalfOpen));
        await ToolkitCluster.EventuallyAsync(() => Task.FromResult(_reports.Count == 1), "the trial is given back");
        entered.Should().HaveCount(2).And.OnlyContain(id => id == entered[0], "asked under the same number, to hear what it got");
        _reports[0].Should().Match<CircuitReport>(
            report => report.Generation == 5 && report.Trial == 17 && report.Outcome == CircuitOutcome.Ignored && report.Id != entered[0]);
    }

    [Fact]
    public async Task Enter_CallerWhoGoesWithoutATrial_LeavesNothingToGiveBack()
    {
        using var cancellation = new CancellationTokenSource();
        var asked = 0;
        Authority.OnEnter = (_, token) =>
            ++asked == 1 ? FakeAuthority.Never<CircuitPass>(token) : new(new CircuitPass(true, 3, 0, null, CircuitState.Closed));
        var call = _node.NewBreaker().EnterAsync(cancellation.Token).AsTask();
        await cancellation.CancelAsync();
        await call.Awaiting(task => task).Should().ThrowAsync<OperationCanceledException>();
        asked.Should().Be(2);
        _reports.Should().BeEmpty();
        await this.Awaiting(_ => _node.NewBreaker().EnterAsync(new CancellationToken(true)).AsTask())
            .Should().ThrowAsync<OperationCanceledException>();
        asked.Should().Be(2, "cancelled before it asked");
    }

    [Fact]
    public async Task Switches_ThatAreNotDone_DoNotReturnAsIfTheyWere()
    {
        var commands = new List<string>();
        Authority.OnCommand = (command, _, _) =>
        {
            commands.Add(command);
            return default;
        };
        var breaker = _node.NewBreaker().Breaker;
        await breaker.Awaiting(it => it.TripAsync()).Should().ThrowAsync<AuthorityUnavailableException>();
        commands.Should().Equal("Trip", "Trip");
        Authority.OnCommand = (command, _, _) =>
        {
            commands.Add(command);
            return new(Acknowledgement.Done);
        };
        await breaker.TripAsync();
        await breaker.IsolateAsync();
        await breaker.ResetAsync();
        commands.Skip(2).Should().Equal("Trip", "Isolate", "Reset");
    }

    [Fact]
    public async Task Ticket_IsDecidedOnce()
    {
        var ticket = await _node.NewBreaker().Breaker.TryEnterAsync();
        (ticket.IsAdmitted, ticket.State, ticket.RetryAfter).Should().Be((true, CircuitState.Closed, null));
        await ticket.Fail();
        await ticket.Succeed();
        await ticket.DisposeAsync();
        _reports.Should().ContainSingle().Which.Outcome.Should().Be(CircuitOutcome.Failed);

        (await _node.NewBreaker().Breaker.TryEnterAsync()).Dispose();
        _reports.Should().HaveCount(2);
        _reports[1].Outcome.Should().Be(CircuitOutcome.Ignored);

        Authority.OnEnter = (_, _) => new(new CircuitPass(false, 3, 0, TimeSpan.FromSeconds(8), CircuitState.Open));
        var rejected = await _node.NewBreaker().Breaker.TryEnterAsync();
        (rejected.IsAdmitted, rejected.State, rejected.RetryAfter).Should().Be((false, CircuitState.Open, TimeSpan.FromSeconds(8)));
        await rejected.Succeed();
        _reports.Should().HaveCount(2, "nothing was admitted");
    }
}
