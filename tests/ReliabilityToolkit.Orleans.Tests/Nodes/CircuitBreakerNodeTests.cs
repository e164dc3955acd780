namespace ReliabilityToolkit.Orleans.Tests;

public sealed class CircuitBreakerNodeTests
{
    private static readonly CircuitBreakerPolicy Policy = new() { CoolDown = TimeSpan.FromSeconds(10), FailureThreshold = 2 };

    private readonly FakeNode _node = new();
    private readonly List<VerdictRequest> _requests = [];
    private VerdictGrant _verdict = new(
        0, 1, 1, 3, CircuitState.Closed, LeaseTerm.OfVerdict, false, null, default, 1, 0, 0, CircuitCause.None, null, Policy);

    public CircuitBreakerNodeTests() => Authority.OnRenewVerdict = request =>
    {
        _requests.Add(request);
        return new(_verdict with { Sequence = request.Sequence, Trials = Math.Min(_verdict.Trials, request.AtTheDoor), TrialGeneration = 3 });
    };

    private FakeAuthority Authority => _node.Authority;

    private IEnumerable<CircuitNews> Told => _requests.SelectMany(static request => request.Outcomes ?? []);

    [Fact]
    public async Task Call_Healthy_AsksOnceAndTellsNothing()
    {
        var breaker = _node.NewBreaker().Breaker;
        for (var i = 0; i < 100; i++)
            (await breaker.CallAsync(_ => ValueTask.FromResult(42))).Should().Be(42);
        _requests.Should().ContainSingle().Which.Outcomes.Should().BeNull();
    }

    [Fact]
    public async Task Call_Healthy_IsRenewedInTheBackgroundWhileUsed()
    {
        var breaker = _node.NewBreaker().Breaker;
        for (var i = 0; i < 100; i++)
        {
            var call = breaker.CallAsync(_ => ValueTask.FromResult(1));
            call.IsCompleted.Should().BeTrue();
            await call;
            _node.Time.Advance(TimeSpan.FromMilliseconds(100));
        }

        _requests.Should().HaveCountGreaterThanOrEqualTo(14).And.HaveCountLessThanOrEqualTo(16, "10 s at a renewal every 667 ms");
        _node.Time.Advance(TimeSpan.FromSeconds(3));
        var before = _requests.Count;
        _node.Time.Advance(TimeSpan.FromMinutes(1));
        _requests.Should().HaveCount(before, "nobody uses it");
    }

    [Fact]
    public async Task Call_SuccessWhileSomethingFails_IsTold()
    {
        _verdict = _verdict with { IsFailing = true };
        await _node.NewBreaker().Breaker.CallAsync(_ => ValueTask.FromResult(42));
        _node.Time.Advance(CircuitView.SuccessesEvery);
        Told.Should().Equal(new CircuitNews(3, 0, CircuitOutcome.Succeeded, 1));
    }

    [Fact]
    public async Task Call_Failure_IsToldBeforeItsCallerHasHisException()
    {
        var breaker = _node.NewBreaker().Breaker;
        await breaker.CallAsync(_ => ValueTask.FromResult(42));
        var told = new TaskCompletionSource<VerdictGrant>();
        VerdictRequest telling = default;
        Authority.OnRenewVerdict = request =>
        {
            telling = request;
            return new(told.Task);
        };
        var call = breaker.CallAsync(ValueTask<int> (_) => throw new TimeoutException("downstream")).AsTask();
        call.IsCompleted.Should().BeFalse();
        telling.Outcomes.Should().Equal(new CircuitNews(3, 0, CircuitOutcome.Failed, 1));
        told.SetResult(_verdict with { Sequence = telling.Sequence });
        await call.Awaiting(task => task).Should().ThrowAsync<TimeoutException>().WithMessage("downstream");
    }

    [Fact]
    public async Task Call_Rejected_IsNotMadeAndSaysWhenToComeBack()
    {
        _verdict = _verdict with { State = CircuitState.Open, RetryAfter = TimeSpan.FromSeconds(8) };
        var isInvoked = false;
        var breaker = _node.NewBreaker().Breaker;
        var thrown = (
            await breaker.Awaiting(it => it.CallAsync(_ => ValueTask.FromResult(isInvoked = true)).AsTask())
                .Should().ThrowAsync<CircuitOpenException>()).Which;
        (thrown.Name, thrown.State, thrown.RetryAfter).Should().Be(("api/key", CircuitState.Open, TimeSpan.FromSeconds(8)));
        isInvoked.Should().BeFalse();

        _node.Time.Advance(TimeSpan.FromSeconds(1));
        (await breaker.TryEnterAsync()).RetryAfter.Should().Be(TimeSpan.FromSeconds(7), "what is left, without another call");
        _requests.Should().HaveCountLessThanOrEqualTo(2);
    }

    [Theory]
    [InlineData(CircuitState.Isolated, "Circuit \"api/key\" is isolated until it is reset.")]
    [InlineData(CircuitState.HalfOpen, "Circuit \"api/key\" is half open, and its trials are under way.")]
    public async Task Call_Rejected_SaysInWhichState(CircuitState state, string message)
    {
        _verdict = _verdict with { State = state, ComeBackAfter = Circuit.ComeBackAfter };
        await _node.NewBreaker().Breaker.Awaiting(it => it.CallAsync(_ => ValueTask.CompletedTask).AsTask())
            .Should().ThrowAsync<CircuitOpenException>().WithMessage(message);
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
        Told.Should().BeEmpty();
    }

    [Fact]
    public async Task Call_ErrorOfACallerWhoHasGone_IsAFailure()
    {
        using var cancellation = new CancellationTokenSource();
        await _node.NewBreaker().Breaker.Awaiting(it => it.CallAsync(
            async _ =>
            {
                await cancellation.CancelAsync();
                throw new TimeoutException("downstream, and not because he has gone");
            },
            cancellation.Token).AsTask()).Should().ThrowAsync<TimeoutException>();
        Told.Should().Equal(new CircuitNews(3, 0, CircuitOutcome.Failed, 1));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Call_ThatTimesOutByItself_IsAFailure(bool hasAToken)
    {
        // An HttpClient's time-out is an OperationCanceledException too: the downstream hangs, and nobody cancelled.
        using var cancellation = new CancellationTokenSource();
        await _node.NewBreaker().Breaker.Awaiting(it => it.CallAsync(
            ValueTask (_) => throw new TaskCanceledException("its own clock"), hasAToken ? cancellation.Token : default).AsTask())
            .Should().ThrowAsync<TaskCanceledException>();
        Told.Should().Equal(new CircuitNews(3, 0, CircuitOutcome.Failed, 1));
    }

    [Fact]
    public async Task Call_WhatIsNoFailureByThePredicate_IsASuccess()
    {
        _verdict = _verdict with { IsFailing = true };
        await _node.NewBreaker(e => e is not KeyNotFoundException).Breaker.Awaiting(
            it => it.CallAsync(ValueTask (_) => throw new KeyNotFoundException()).AsTask()).Should().ThrowAsync<KeyNotFoundException>();
        _node.Time.Advance(CircuitView.SuccessesEvery);
        Told.Should().Equal(new CircuitNews(3, 0, CircuitOutcome.Succeeded, 1));
    }

    [Fact]
    public async Task Call_PredicateThatThrows_HidesNothingAnswersTheTrialAndIsLoggedOnce()
    {
        var log = new LogBook<FakeNode>();
        var node = new FakeNode(logger: log);
        node.Authority.OnRenewVerdict = request =>
        {
            _requests.Add(request);
            var halfOpen = _verdict with { State = CircuitState.HalfOpen, FirstTrial = 9, TrialGeneration = 3 };
            return new(halfOpen with { Sequence = request.Sequence, Trials = request.AtTheDoor });
        };
        var breaker = node.NewBreaker(_ => throw new InvalidOperationException("a bug in the predicate")).Breaker;
        for (var i = 0; i < 2; i++)
        {
            await breaker.Awaiting(it => it.CallAsync(ValueTask (_) => throw new TimeoutException("downstream")).AsTask())
                .Should().ThrowAsync<TimeoutException>().WithMessage("downstream");
        }

        Told.Should().Equal(new CircuitNews(3, 9, CircuitOutcome.Failed, 1), new CircuitNews(3, 9, CircuitOutcome.Failed, 1));
        log.Lines.Count(line => line.Contains("predicate", StringComparison.Ordinal)).Should().Be(1);
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
        _verdict = _verdict with { IsFailing = true };
        var breaker = _node.NewBreaker().Breaker;
        await breaker.CallAsync(_ => ValueTask.FromResult(1));
        Authority.OnRenewVerdict = _ => throw failure;
        (await _node.FinishAsync(() => breaker.CallAsync(_ => ValueTask.FromResult(42)))).Should().Be(42);
        await this.Awaiting(_ => _node.FinishAsync(() => breaker.CallAsync(ValueTask<int> (_) => throw new TimeoutException("downstream"))))
            .Should().ThrowAsync<TimeoutException>();
    }

    [Fact]
    public async Task Call_UnknownPolicy_IsNotMadeAndSaysSo()
    {
        Authority.OnRenewVerdict = _ => throw new UnknownPolicyException("circuit breaker", "api", ["other"]);
        var isInvoked = false;
        var breaker = _node.NewBreaker().Breaker;
        for (var i = 0; i < 2; i++)
        {
            await breaker.Awaiting(it => it.CallAsync(_ => ValueTask.FromResult(isInvoked = true)).AsTask())
                .Should().ThrowAsync<UnknownPolicyException>();
        }

        isInvoked.Should().BeFalse();
    }

    [Fact]
    public async Task Call_SilentAuthorityOfWhichNothingIsKnown_GoesByABreakerOfTheNode()
    {
        Authority.OnRenewVerdict = null;
        var breaker = _node.NewBreaker().Breaker;
        (await _node.FinishAsync(() => breaker.CallAsync(_ => ValueTask.FromResult(1)))).Should().Be(1);
        for (var i = 0; i < 5; i++)
        {
            await breaker.Awaiting(it => it.CallAsync(ValueTask (_) => throw new TimeoutException("downstream")).AsTask())
                .Should().ThrowAsync<TimeoutException>();
        }

        await breaker.Awaiting(it => it.CallAsync(_ => ValueTask.CompletedTask).AsTask()).Should().ThrowAsync<CircuitOpenException>();
    }

    [Fact]
    public async Task Call_SilentAuthorityWhereThatIsToReject_IsNotMade()
    {
        Authority.OnRenewVerdict = null;
        var isInvoked = false;
        var breaker = _node.NewBreaker(fallback: CircuitFallback.Reject).Breaker;
        await this.Awaiting(_ => _node.FinishAsync(() => breaker.CallAsync(_ => ValueTask.FromResult(isInvoked = true))))
            .Should().ThrowAsync<AuthorityUnavailableException>();
        var second = breaker.CallAsync(_ => ValueTask.FromResult(isInvoked = true));
        second.IsFaulted.Should().BeTrue("the second is decided at once");
        isInvoked.Should().BeFalse();
    }

    [Fact]
    public async Task Enter_CallerWhoGoes_GivesHisTrialBack()
    {
        var answer = new TaskCompletionSource<VerdictGrant>();
        Authority.OnRenewVerdict = request =>
        {
            _requests.Add(request);
            return _requests.Count == 1 ? new(answer.Task) : new(_verdict with { Sequence = request.Sequence, State = CircuitState.HalfOpen });
        };
        using var cancellation = new CancellationTokenSource();
        var call = _node.NewBreaker().EnterAsync(cancellation.Token).AsTask();
        await cancellation.CancelAsync();
        await call.Awaiting(task => task).Should().ThrowAsync<OperationCanceledException>();
        answer.SetResult(_verdict with { Sequence = 1, State = CircuitState.HalfOpen, FirstTrial = 17, Trials = 1, TrialGeneration = 3 });
        await ToolkitCluster.EventuallyAsync(() => Task.FromResult(_requests.Count == 2), "the trial is given back");
        _requests[1].Trials.Should().BeNull("what is not named is not in hand");
    }

    [Fact]
    public async Task Enter_TrialWhoseAnswerWasLost_IsGivenBackAsSoonAsTheAuthorityAnswers()
    {
        // The answer was lost for the whole call time-out: the place was taken until the trial's lease ended.
        Authority.OnRenewVerdict = request =>
        {
            _requests.Add(request);
            return FakeAuthority.Never<VerdictGrant>();
        };
        var call = Task.Run(() =>
        {
            var call = _node.NewBreaker(fallback: CircuitFallback.Reject).EnterAsync(default).AsTask();
            for (var i = 0; i < 11; i++)
                _node.Time.Advance(TimeSpan.FromMilliseconds(100));
            return call;
        });
        await call.Awaiting(it => it).Should().ThrowAsync<AuthorityUnavailableException>();
        var lost = _requests[^1];
        Authority.OnRenewVerdict = request =>
        {
            _requests.Add(request);
            return new(_verdict with { Sequence = request.Sequence });
        };
        _node.Time.Advance(Outage.ProbeInterval);
        _requests[^1].Should().Match<VerdictRequest>(request => request.Sequence > lost.Sequence && request.Trials == null && request.AtTheDoor == 0);
    }

    [Fact]
    public async Task Enter_CancelledBefore_AsksNobody()
    {
        await this.Awaiting(_ => _node.NewBreaker().EnterAsync(new CancellationToken(true)).AsTask())
            .Should().ThrowAsync<OperationCanceledException>();
        _requests.Should().BeEmpty();
    }

    [Fact]
    public async Task Hint_OfSomethingNew_IsAskedAboutAtOnce()
    {
        var breaker = _node.NewBreaker().Breaker;
        await breaker.CallAsync(_ => ValueTask.FromResult(1));
        _node.Observer.Changed(1, 1, 1, 0);
        _requests.Should().HaveCount(2, "the authority has not heard yet that this is known");
        _node.Observer.Changed(1, 1, 1, 0);
        _requests.Should().HaveCount(2, "and now it has");
        _verdict = _verdict with { Version = 2, Generation = 4, State = CircuitState.Isolated };
        _node.Observer.Changed(1, 1, 2, 0);
        _requests.Should().HaveCount(3);
        _requests[2].Version.Should().Be(2, "what is older it does not believe");
        (await breaker.TryEnterAsync()).State.Should().Be(CircuitState.Isolated);
    }

    [Fact]
    public async Task Switches_AreAskedForAgainUntilTheyAreObeyed()
    {
        var orders = new List<CircuitOrder>();
        Authority.OnOrder = order =>
        {
            orders.Add(order);
            return new(new Obedience(true, 2 - orders.Count, 5, orders.Count, TimeSpan.FromSeconds(2 - orders.Count)));
        };
        (await _node.NewBreaker().Breaker.TripAsync("a test")).Should().Be(new KillSwitchResult(5, 2));
        orders.Should().HaveCount(2).And.OnlyContain(order => order.Id == orders[0].Id && order.Reason == "a test");
    }

    [Fact]
    public async Task Switches_ThatAreNotThrown_DoNotReturnAsIfTheyWere()
    {
        var commands = new List<CircuitCommand>();
        Authority.OnOrder = order =>
        {
            commands.Add(order.Command);
            return default;
        };
        var breaker = _node.NewBreaker().Breaker;
        await breaker.Awaiting(it => it.TripAsync()).Should().ThrowAsync<AuthorityUnavailableException>();
        commands.Should().Equal(CircuitCommand.Trip, CircuitCommand.Trip);
        Authority.OnOrder = order =>
        {
            commands.Add(order.Command);
            return new(new Obedience(true, 0, 0, 0, default));
        };
        await breaker.TripAsync();
        await breaker.IsolateAsync();
        await breaker.ResetAsync();
        commands.Skip(2).Should().Equal(CircuitCommand.Trip, CircuitCommand.Isolate, CircuitCommand.Reset);
    }

    [Fact]
    public async Task Switches_ReasonThatIsTooLong_IsRefused()
    {
        var breaker = _node.NewBreaker().Breaker;
        await breaker.Awaiting(it => it.TripAsync(new string('x', CircuitOrder.LongestReason + 1))).Should().ThrowAsync<ArgumentException>()
            .WithParameterName("reason");
    }

    [Fact]
    public async Task Ticket_IsDecidedOnce()
    {
        var breaker = _node.NewBreaker().Breaker;
        var ticket = await breaker.TryEnterAsync();
        (ticket.IsAdmitted, ticket.State, ticket.RetryAfter).Should().Be((true, CircuitState.Closed, null));
        await ticket.Fail();
        await ticket.Succeed();
        await ticket.DisposeAsync();
        Told.Should().Equal(new CircuitNews(3, 0, CircuitOutcome.Failed, 1));

        _verdict = _verdict with { State = CircuitState.Open, RetryAfter = TimeSpan.FromSeconds(8) };
        var rejected = await _node.NewBreaker().Breaker.TryEnterAsync();
        (rejected.IsAdmitted, rejected.State, rejected.RetryAfter).Should().Be((false, CircuitState.Open, TimeSpan.FromSeconds(8)));
        await rejected.Fail();
        Told.Should().HaveCount(1, "nothing was admitted");
    }

    [Fact]
    public async Task Ticket_UndecidedTrial_IsGivenBackWhenDisposed()
    {
        _verdict = _verdict with { State = CircuitState.HalfOpen, FirstTrial = 9, Trials = 1 };
        (await _node.NewBreaker().Breaker.TryEnterAsync()).Dispose();
        Told.Should().Equal(new CircuitNews(3, 9, CircuitOutcome.Ignored, 1));
    }

    [Fact]
    public async Task Call_SlowerThanThePolicyAllows_IsAFailure()
    {
        _verdict = _verdict with { Policy = new CircuitBreakerPolicy { SlowCallDuration = TimeSpan.FromSeconds(1) } };
        var breaker = _node.NewBreaker().Breaker;
        foreach (var milliseconds in new[] { 999, 1_000 })
        {
            Told.Should().BeEmpty();
            await breaker.CallAsync(_ =>
            {
                _node.Time.Advance(TimeSpan.FromMilliseconds(milliseconds));
                return ValueTask.CompletedTask;
            });
        }

        Told.Should().Equal(new CircuitNews(3, 0, CircuitOutcome.Failed, 1));
    }

    [Fact]
    public async Task Call_EveryShape_ReturnsItsResultAndTellsItsFailure()
    {
        var breaker = _node.NewBreaker().Breaker;
        for (var round = 0; round < 2; round++)
        {
            // The first goes by the answer to a question, all others by the verdict.
            (await breaker.CallAsync(static (state, _) => ValueTask.FromResult(state + 1), 1)).Should().Be(2);
            (await breaker.CallAsync(static _ => ValueTask.FromResult(3))).Should().Be(3);
            (await breaker.CallAsync(static _ => Task.FromResult(4))).Should().Be(4);
            (await breaker.CallAsync(static async _ =>
            {
                await Task.Yield();
                return 5;
            })).Should().Be(5);
            var ran = 0;
            await breaker.CallAsync((state, _) => AddLater(state), 6);
            await breaker.CallAsync((state, _) => Add(state), 7);
            await breaker.CallAsync(_ => Add(8));
            await breaker.CallAsync(_ => AddLater(9).AsTask());
            ran.Should().Be(30);

            ValueTask Add(int more)
            {
                ran += more;
                return default;
            }

            async ValueTask AddLater(int more)
            {
                await Task.Yield();
                ran += more;
            }
        }

        Told.Should().BeEmpty();
        var error = new TimeoutException("downstream");
        (await breaker.Awaiting(it => it.CallAsync(ValueTask (_) => throw error).AsTask()).Should().ThrowAsync<TimeoutException>()).Which
            .Should().BeSameAs(error);
        (await breaker.Awaiting(it => it.CallAsync(ValueTask<int> (_) => ValueTask.FromException<int>(error)).AsTask())
            .Should().ThrowAsync<TimeoutException>()).Which.Should().BeSameAs(error);
        (await breaker.Awaiting(it => it.CallAsync(async (_, _) =>
        {
            await Task.Yield();
            throw error;
        }, 1).AsTask()).Should().ThrowAsync<TimeoutException>()).Which.Should().BeSameAs(error);
        Told.Sum(static news => news.Calls).Should().Be(3);
        Told.Should().OnlyContain(news => news.Outcome == CircuitOutcome.Failed && news.Generation == 3);
    }

    [Fact]
    public void Call_WithoutAnOperation_IsRefused()
    {
        var breaker = _node.NewBreaker().Breaker;
        breaker.Invoking(it => it.CallAsync((Func<int, CancellationToken, ValueTask<int>>)null!, 1)).Should().Throw<ArgumentNullException>();
        breaker.Invoking(it => it.CallAsync((Func<int, CancellationToken, ValueTask>)null!, 1)).Should().Throw<ArgumentNullException>();
        breaker.Invoking(it => it.CallAsync((Func<CancellationToken, ValueTask<int>>)null!)).Should().Throw<ArgumentNullException>();
        breaker.Invoking(it => it.CallAsync((Func<CancellationToken, ValueTask>)null!)).Should().Throw<ArgumentNullException>();
        breaker.Invoking(it => it.CallAsync((Func<CancellationToken, Task<int>>)null!)).Should().Throw<ArgumentNullException>();
        breaker.Invoking(it => it.CallAsync((Func<CancellationToken, Task>)null!)).Should().Throw<ArgumentNullException>();
        _requests.Should().BeEmpty();
    }

    [Fact]
    public async Task Call_CancelledBefore_IsNotMade()
    {
        var breaker = _node.NewBreaker().Breaker;
        await breaker.CallAsync(_ => ValueTask.CompletedTask);
        var isInvoked = false;
        await breaker.Awaiting(it => it.CallAsync(_ => ValueTask.FromResult(isInvoked = true), new CancellationToken(true)).AsTask())
            .Should().ThrowAsync<OperationCanceledException>();
        isInvoked.Should().BeFalse();
    }

    [Fact]
    public void Observer_HasOneReference_UntilItIsReleased()
    {
        var (made, released) = (0, new List<INodeObserver>());
        var observer = new NodeObserver(
            self =>
            {
                made++;
                return self;
            },
            released.Add);
        observer.Reference.Should().BeSameAs(observer.Reference).And.BeSameAs(observer);
        made.Should().Be(1);
        observer.Changed(99, 1, 1, 0); // of a breaker that has gone
        observer.Release();
        observer.Release();
        released.Should().Equal(observer);
        observer.Reference.Should().BeNull();
        new NodeObserver().Reference.Should().BeNull("nobody can reach it");
    }

    [Fact]
    public async Task StateChanged_TellsEachChangeInOrderWithItsCause_WhateverAnotherListenerThrows()
    {
        var breaker = _node.NewBreaker().Breaker;
        var changes = new List<CircuitStateChange>();
        var isTold = new TaskCompletionSource();
        breaker.StateChanged += (_, _) => throw new InvalidOperationException("a bug of another listener");
        breaker.StateChanged += (sender, change) =>
        {
            sender.Should().BeSameAs(breaker);
            changes.Add(change);
            if (changes.Count == 2)
                isTold.SetResult();
        };
        await breaker.CallAsync(_ => ValueTask.CompletedTask);
        _verdict = _verdict with { Version = 2, Generation = 4, State = CircuitState.Open, Cause = CircuitCause.Tripped, Reason = "by hand" };
        _node.Observer.Changed(1, 1, 2, 0);
        _verdict = _verdict with { Version = 3, Generation = 5, State = CircuitState.Closed, Cause = CircuitCause.Reset, Reason = null };
        _node.Observer.Changed(1, 1, 3, 0);
        await isTold.Task.WaitAsync(TimeSpan.FromSeconds(10));
        changes.Should().Equal(
            new CircuitStateChange(CircuitState.Closed, CircuitState.Open, CircuitCause.Tripped, "by hand", false),
            new CircuitStateChange(CircuitState.Open, CircuitState.Closed, CircuitCause.Reset, null, false));
    }
}
