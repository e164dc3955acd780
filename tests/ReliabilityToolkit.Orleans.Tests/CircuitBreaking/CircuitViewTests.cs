using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A breaker as a node sees it.</summary>
public sealed class CircuitViewTests
{
    private static readonly CircuitBreakerPolicy Policy = new() { FailureThreshold = 2, CoolDown = Seconds(10), TrialLease = Seconds(5) };

    private static readonly VerdictGrant Closed = new(
        0, 7, 1, 3, CircuitState.Closed, LeaseTerm.OfVerdict, false, null, default, 1, 0, 0, CircuitCause.None, null, Policy);

    private static readonly CircuitPass Pass = new(true, 3, 0, null, CircuitState.Closed);

    private readonly CircuitView _view = new(new Borrower(Guid.NewGuid(), 1));
    private VerdictRequest _request;

    [Fact]
    public void Verdict_Closed_AdmitsUntilItsEndForThoseWhoseClockIsBehind()
    {
        Know(Closed, At(0));
        _view.Verdict.Admits(At(1.72)).Should().BeTrue();
        _view.Verdict.Admits(At(1.73)).Should().BeFalse("2 s less 1 % less 250 ms");
        Enter(At(1.97)).Should().Be(CircuitFate.Admitted, "by the exact clock");
        Enter(At(1.98)).Should().Be(CircuitFate.AtTheDoor);
    }

    [Fact]
    public void Verdict_CountsFromBeforeItWasAskedFor()
    {
        _view.Enter(At(0), out _, out var caller);
        Asks(At(0)).Should().BeTrue();
        _view.Take(Closed with { Sequence = 1 }, At(1.5));
        caller!.Fate.Should().Be(CircuitFate.Admitted);
        Enter(At(1.98)).Should().Be(CircuitFate.AtTheDoor);
    }

    [Fact]
    public void Verdict_ThatComesWhenItsTermIsOver_IsNone()
    {
        _view.Enter(At(0), out _, out var caller);
        Asks(At(0));
        _view.Take(Closed with { Sequence = 1 }, At(1.98));
        _view.IsAuthorityHeard.Should().BeFalse();
        caller!.Fate.Should().Be(CircuitFate.Admitted, "by the node's own breaker");
        caller.Pass.Generation.Should().BeNegative();
    }

    [Fact]
    public void Renewal_IsAskedForWhileUsedOnly()
    {
        Know(Closed, At(0));
        _view.NextDueAt.Should().Be(At(0) + LeaseTerm.RenewAfter(LeaseTerm.OfVerdict));
        _view.Advance(At(0.67));
        Asks(At(0.67)).Should().BeFalse("nobody has used it since");
        _view.Verdict.Admits(At(1));
        var second = _view.NextDueAt;
        second.Should().BeGreaterThan(At(1.3)).And.BeLessThan(At(1.4));
        _view.Advance(second);
        Asks(second).Should().BeTrue("somebody has");
        _view.Take(Closed with { Sequence = _request.Sequence }, second);
        for (var now = _view.NextDueAt; now != Instant.Never; now = _view.NextDueAt)
        {
            _view.Advance(now);
            Asks(now).Should().BeFalse();
            now.Should().BeLessThan(At(4), "in the end it lapses");
        }
    }

    [Fact]
    public void Success_WhileNothingFails_StaysOnTheNode()
    {
        Know(Closed, At(0));
        _view.Tell(Pass, CircuitOutcome.Succeeded, default, At(1)).Should().BeNull();
        _view.Untold.Should().Be(0);
        _view.Tell(Pass, CircuitOutcome.Succeeded, default, At(1.98));
        _view.Untold.Should().Be(1, "the verdict has run out: it may be failing by now");
    }

    [Fact]
    public void Successes_WhileSomethingFails_AreToldTogetherAndNotTooOften()
    {
        Know(Closed with { IsFailing = true }, At(0));
        _view.Tell(Pass, CircuitOutcome.Succeeded, default, At(1));
        Asks(At(1)).Should().BeTrue("the first at once");
        _view.Tell(Pass, CircuitOutcome.Succeeded, default, At(1));
        _view.Tell(Pass, CircuitOutcome.Succeeded, default, At(1));
        _view.Take(Closed with { Sequence = _request.Sequence, IsFailing = true }, At(1.001));
        Asks(At(1.01)).Should().BeFalse();
        _view.NextDueAt.Should().Be(At(1) + CircuitView.SuccessesEvery);
        Asks(At(1.025)).Should().BeTrue();
        _request.Outcomes.Should().Equal(new CircuitNews(3, 0, CircuitOutcome.Succeeded, 2));
        _view.Take(Closed with { Sequence = _request.Sequence }, At(1.03));
        _view.Untold.Should().Be(0);
    }

    [Fact]
    public void Outcomes_AreToldInOrder_AndAFailureTakesSuccessesAlong()
    {
        Know(Closed with { IsFailing = true }, At(0));
        Asks(At(0.5));
        _view.Tell(Pass, CircuitOutcome.Succeeded, default, At(1));
        Asks(At(1));
        _view.Tell(Pass, CircuitOutcome.Succeeded, default, At(1));
        var first = _view.Tell(Pass, CircuitOutcome.Failed, default, At(1))!;
        _view.Tell(Pass, CircuitOutcome.Failed, default, At(1)).Should().BeSameAs(first, "those that end one after the other are told as one");
        _view.Tell(Pass, CircuitOutcome.Succeeded, default, At(1));
        _view.Take(Closed with { Sequence = _request.Sequence, IsFailing = true }, At(1.001));
        first.IsOver.Should().BeFalse();
        Asks(At(1.001)).Should().BeTrue("a failure does not wait");
        _request.Outcomes.Should().Equal(
            new CircuitNews(3, 0, CircuitOutcome.Succeeded, 1),
            new CircuitNews(3, 0, CircuitOutcome.Failed, 2),
            new CircuitNews(3, 0, CircuitOutcome.Succeeded, 1));
        _view.Take(Closed with { Sequence = _request.Sequence }, At(1.002));
        first.IsOver.Should().BeTrue();
    }

    [Fact]
    public void Outcome_OnItsWay_IsNotChangedAnyMore()
    {
        Know(Closed, At(0));
        var first = _view.Tell(Pass, CircuitOutcome.Failed, default, At(1))!;
        Asks(At(1));
        var second = _view.Tell(Pass, CircuitOutcome.Failed, default, At(1))!;
        second.Should().NotBeSameAs(first);
        _view.Take(Closed with { Sequence = _request.Sequence, IsFailing = true }, At(1));
        (first.IsOver, second.IsOver).Should().Be((true, false));
    }

    [Fact]
    public void Outcome_OfAnOlderGeneration_IsNotTold()
    {
        Know(Closed, At(0));
        var waiting = _view.Tell(Pass, CircuitOutcome.Failed, default, At(0.5));
        Know(Closed with { Generation = 4, Version = 2 }, At(0.5));
        waiting!.IsOver.Should().BeTrue();
        _view.Tell(Pass, CircuitOutcome.Failed, default, At(1)).Should().BeNull();
        _view.Tell(Pass with { Generation = 4 }, CircuitOutcome.Ignored, default, At(1)).Should().BeNull();
        _view.Untold.Should().Be(0);
    }

    [Theory]
    [InlineData(0.5, null)]
    [InlineData(0, 2.0)]
    public void Successes_ThatAreCounted_GoWithTheNextRequest(double ratio, double? shedding)
    {
        var policy = new CircuitBreakerPolicy { FailureRatio = ratio, SheddingFactor = shedding };
        Know(Closed with { Policy = policy }, At(0));
        _view.Verdict.Tally!.Add();
        _view.Tell(Pass, CircuitOutcome.Succeeded, default, At(1));
        _view.Untold.Should().Be(0);
        _view.Tell(Pass, CircuitOutcome.Failed, default, At(1));
        Asks(At(1));
        _request.Outcomes.Should().Equal(new CircuitNews(3, 0, CircuitOutcome.Succeeded, 2), new CircuitNews(3, 0, CircuitOutcome.Failed, 1));
    }

    [Fact]
    public void Share_OfThoseWhoCome_IsAdmittedEvenly()
    {
        Know(Closed with { Share = 0.25 }, At(0));
        _view.Verdict.Should().BeSameAs(HeldVerdict.None, "each caller is looked at");
        var fates = Enumerable.Range(0, 12).Select(_ => Enter(At(0.1))).ToArray();
        fates.Count(fate => fate == CircuitFate.Admitted).Should().Be(3);
        var first = Array.IndexOf(fates, CircuitFate.Admitted);
        (fates[first + 4], fates[first + 8]).Should().Be((CircuitFate.Admitted, CircuitFate.Admitted));
        Asks(At(0.7)).Should().BeTrue();
        _request.Shed.Should().Be(10, "with the one who asked first");
        _view.Take(Closed with { Sequence = _request.Sequence }, At(0.7));
        Know(Closed, At(1.5));
        _request.Shed.Should().Be(0, "they were told");
    }

    [Fact]
    public void Open_RejectsUntilTheCoolDownIsOver_AndThenAsks()
    {
        Know(Closed with { State = CircuitState.Open, RetryAfter = Seconds(1) }, At(0));
        _view.Enter(At(0.4), out var pass, out _).Should().Be(CircuitFate.Refused);
        pass.RetryAfter.Should().Be(Seconds(0.6));
        Enter(At(1)).Should().Be(CircuitFate.AtTheDoor);
    }

    [Fact]
    public void HalfOpen_WithItsPlacesTaken_RejectsForAWhile()
    {
        Know(Closed with { State = CircuitState.HalfOpen, ComeBackAfter = Seconds(0.05) }, At(0));
        Enter(At(0.04)).Should().Be(CircuitFate.Refused);
        Enter(At(0.05)).Should().Be(CircuitFate.AtTheDoor);
    }

    [Fact]
    public void Trials_GoToThoseWhoAskedFirst_AndTheOthersAreRejected()
    {
        var callers = Enumerable.Range(0, 4).Select(_ => AtTheDoor(At(0))).ToArray();
        Asks(At(0));
        _request.AtTheDoor.Should().Be(4);
        var late = AtTheDoor(At(0));
        _view.Leave(callers[1]);
        _view.Take(HalfOpen(2) with { Sequence = 1 }, At(0.01));
        callers.Select(caller => caller.Fate).Should().Equal(CircuitFate.Admitted, CircuitFate.Gone, CircuitFate.Admitted, CircuitFate.Refused);
        (callers[0].Pass.Trial, callers[2].Pass.Trial).Should().Be((9, 10));
        late.Fate.Should().Be(CircuitFate.AtTheDoor, "there may be a place for him");
        Asks(At(0.01)).Should().BeTrue();
        _request.Trials.Should().Equal(9, 10);
    }

    [Fact]
    public void Trials_ThatNobodyTakes_AreGivenBackAtOnce()
    {
        var caller = AtTheDoor(At(0));
        Asks(At(0));
        _view.Leave(caller);
        _view.Leave(caller);
        _view.Take(HalfOpen(1) with { Sequence = 1 }, At(0.01));
        Asks(At(0.01)).Should().BeTrue();
        _request.Trials.Should().BeNull();
    }

    [Fact]
    public void Trials_WhoseLeaseIsOver_AreNotBegun()
    {
        var caller = AtTheDoor(At(0));
        Asks(At(0));
        _view.Take(HalfOpen(1) with { Sequence = 1, Policy = new CircuitBreakerPolicy { TrialLease = Seconds(1) } }, At(0.99));
        caller.Fate.Should().Be(CircuitFate.Refused);
    }

    [Fact]
    public void Trial_IsNamedUntilTheAuthorityHasCertainlyCountedIt_AndTheAnswerAwaited()
    {
        Trial(At(0));
        _view.Hint(7, 2, At(5.01));
        Asks(At(5.01)).Should().BeTrue();
        _request.Trials.Should().Equal(9);
        _view.Take(HalfOpen(0) with { Sequence = _request.Sequence, Version = 2 }, At(5.02));
        _view.Hint(7, 3, At(5.2));
        Asks(At(5.2)).Should().BeTrue();
        _request.Trials.Should().BeNull();
        _view.Tell(new CircuitPass(true, 3, 9, null, CircuitState.HalfOpen), CircuitOutcome.Failed, default, At(5.2)).Should().BeNull("too late");
    }

    [Fact]
    public void Trial_OutcomeThatWasPerhapsNotHeard_IsToldAgain()
    {
        var pass = Trial(At(0));
        var telling = _view.Tell(pass, CircuitOutcome.Succeeded, default, At(0.1))!;
        Asks(At(0.1)).Should().BeTrue();
        var news = _request.Outcomes;
        news.Should().Equal(new CircuitNews(3, 9, CircuitOutcome.Succeeded, 1));
        _view.Fail(_request.Sequence, isSilent: true, 0.5, At(1.1));
        telling.IsOver.Should().BeTrue("its caller need not wait");
        Asks(At(1.1)).Should().BeFalse();
        _view.NextDueAt.Should().Be(At(1.6), "after half of the interval, by chance");
        Asks(At(1.6)).Should().BeTrue("also where nobody uses it");
        _request.Outcomes.Should().Equal(news);
    }

    [Fact]
    public void Outage_IsDecidedByABreakerOfTheNodesOwn_InTheStateThatItKnew()
    {
        Know(Closed with { State = CircuitState.Open, RetryAfter = Seconds(8) }, At(0));
        Enter(At(0.7));
        Asks(At(0.7));
        _view.Fail(_request.Sequence, isSilent: true, 1, At(1.7));
        _view.Enter(At(3), out var pass, out _).Should().Be(CircuitFate.Refused);
        (pass.State, pass.RetryAfter).Should().Be((CircuitState.Open, Seconds(5)));
        Enter(At(8)).Should().Be(CircuitFate.Admitted, "a trial");
        Enter(At(8)).Should().Be(CircuitFate.Refused, "and one only");
    }

    [Fact]
    public void Outage_CallsThatBeganBefore_CountForTheNodesOwn()
    {
        Know(Closed, At(0));
        var told = _view.Tell(Pass, CircuitOutcome.Failed, default, At(0.1))!;
        Asks(At(0.1));
        _view.Fail(_request.Sequence, isSilent: true, 1, At(1.1));
        told.IsOver.Should().BeTrue();
        Enter(At(1.1)).Should().Be(CircuitFate.Admitted);
        _view.Tell(Pass, CircuitOutcome.Failed, default, At(1.2)).Should().BeNull("nobody is there to be told");
        Enter(At(1.2)).Should().Be(CircuitFate.Refused, "two failures, one of them from before");
        _view.TakeChanges().Should().Equal(new CircuitStateChange(CircuitState.Closed, CircuitState.Open, CircuitCause.Failures, null, true));
        Asks(At(2.09)).Should().BeFalse();
        Asks(At(2.1)).Should().BeTrue("it is used, and asked about once a second");
        _view.Take(Closed with { Sequence = _request.Sequence }, At(2.1));
        Enter(At(2.1)).Should().Be(CircuitFate.Admitted, "by the authority's word");
        _view.TakeChanges().Should().ContainSingle().Which.IsLocal.Should().BeFalse();
    }

    [Fact]
    public void Outage_CallsOfAnEarlierOne_AreNoneOfThisOnes()
    {
        CircuitPass Alone(double at)
        {
            Enter(At(at));
            Asks(At(at));
            _view.Fail(_request.Sequence, isSilent: true, 1, At(at + 1));
            _view.Enter(At(at + 1), out var pass, out _);
            return pass;
        }

        var first = Alone(0);
        Enter(At(2));
        Asks(At(2)).Should().BeTrue();
        _view.Take(Closed with { Sequence = _request.Sequence }, At(2));
        var second = Alone(10);
        second.Generation.Should().BeGreaterThan(first.Generation).And.BeNegative();
        for (var i = 0; i < 5; i++)
            _view.Tell(first, CircuitOutcome.Failed, default, At(11));
        for (var i = 0; i < 5; i++)
            _view.Tell(Pass with { Generation = 2 }, CircuitOutcome.Failed, default, At(11));
        Enter(At(11)).Should().Be(CircuitFate.Admitted, "of an earlier outage, and of an older generation");
        _view.Tell(second, CircuitOutcome.Failed, default, At(11));
        _view.Tell(second, CircuitOutcome.Failed, default, At(11));
        Enter(At(11)).Should().Be(CircuitFate.Refused);
    }

    [Fact]
    public void Outage_TheNodesOwnBreaker_LivesByTime()
    {
        Know(Closed, At(0));
        Enter(At(0.7));
        Asks(At(0.7));
        _view.Fail(_request.Sequence, isSilent: true, 1, At(1.7));
        _view.Enter(At(1.7), out var pass, out _);
        _view.Tell(pass, CircuitOutcome.Failed, default, At(1.7));
        _view.Tell(pass, CircuitOutcome.Failed, default, At(1.7));
        _view.TakeChanges().Should().ContainSingle().Which.State.Should().Be(CircuitState.Open);
        _view.State.Should().Be(CircuitState.Open);

        _view.Advance(At(11.7));
        _view.TakeChanges().Should().Equal(
            new CircuitStateChange(CircuitState.Open, CircuitState.HalfOpen, CircuitCause.CoolDownOver, null, true));
        _view.Enter(At(11.7), out var trial, out _).Should().Be(CircuitFate.Admitted);
        (trial.Trial, trial.RetryAfter).Should().NotBe((0L, null));
        _view.Advance(At(16.7));
        _view.TakeChanges().Should().Equal(
            new CircuitStateChange(CircuitState.HalfOpen, CircuitState.Open, CircuitCause.TrialUnanswered, null, true));
        _view.Enter(At(16.7), out var refused, out _).Should().Be(CircuitFate.Refused);
        refused.RetryAfter.Should().Be(Seconds(10));

        _view.Enter(At(26.7), out trial, out _).Should().Be(CircuitFate.Admitted);
        _view.Tell(trial, CircuitOutcome.Succeeded, default, At(26.8)).Should().BeNull();
        _view.TakeChanges()[^1].Should().Be(
            new CircuitStateChange(CircuitState.HalfOpen, CircuitState.Closed, CircuitCause.TrialsSucceeded, null, true));
        _view.TakeChanges().Should().BeEmpty("each is told once");
    }

    [Fact]
    public void Outage_TrialOfTheAuthoritys_IsAnsweredWhenItIsBack_OrForgottenWithItsLease()
    {
        var pass = Trial(At(0));
        _view.Hint(7, 2, At(0.1));
        Asks(At(0.1)).Should().BeTrue();
        _view.Fail(_request.Sequence, isSilent: true, 1, At(1.1));
        _view.Tell(pass, CircuitOutcome.Failed, default, At(1.2)).Should().BeNull("nobody is to wait for it");
        Asks(At(2.1)).Should().BeTrue();
        _request.Outcomes.Should().Equal(new CircuitNews(3, 9, CircuitOutcome.Failed, 1));
        _request.Trials.Should().BeNull();
        _view.Fail(_request.Sequence, isSilent: true, 1, At(3.1));
        _view.Untold.Should().Be(1);
        _view.Advance(At(5.2));
        _view.Untold.Should().Be(0);
        Asks(At(100)).Should().BeFalse();
    }

    [Fact]
    public void Outage_WhatWasNotSentYet_IsNotWaitedFor()
    {
        Know(Closed, At(0));
        Enter(At(0.7));
        Asks(At(0.7));
        var told = _view.Tell(Pass, CircuitOutcome.Failed, default, At(0.8))!;
        var before = _view.Endings;
        _view.Fail(_request.Sequence, isSilent: true, 1, At(1.7));
        told.IsOver.Should().BeTrue();
        _view.Endings.Should().BeGreaterThan(before);
        _view.Untold.Should().Be(0);
    }

    [Fact]
    public void Trial_ThatIsToldWhenTheStateHasChanged_IsToldAllTheSame()
    {
        // Its place is taken until then.
        var pass = Trial(At(0));
        _view.Hint(7, 2, At(0.1));
        Asks(At(0.1));
        var telling = _view.Tell(pass, CircuitOutcome.Succeeded, default, At(0.11))!;
        _view.Take(Closed with { Sequence = _request.Sequence, Version = 2, Generation = 4 }, At(0.12));
        telling.IsOver.Should().BeFalse();
        Asks(At(0.12)).Should().BeTrue();
        _request.Outcomes.Should().Equal(new CircuitNews(3, 9, CircuitOutcome.Succeeded, 1));
        _view.Take(Closed with { Sequence = _request.Sequence, Version = 2, Generation = 4 }, At(0.13));
        telling.IsOver.Should().BeTrue();
    }

    [Fact]
    public void Answer_ThatNobodyAwaits_IsNotTaken()
    {
        Know(Closed, At(0));
        _view.Awaited.Should().Be(0);
        _view.Take(Closed with { Sequence = _request.Sequence, State = CircuitState.Isolated }, At(0.1));
        Enter(At(0.1)).Should().Be(CircuitFate.Admitted, "it was answered before");
        Enter(At(0.7));
        Asks(At(0.7));
        _view.Awaited.Should().Be(_request.Sequence);
        _view.Take(Closed with { Sequence = _request.Sequence - 1, State = CircuitState.Isolated }, At(0.8));
        Enter(At(0.8)).Should().Be(CircuitFate.Admitted, "it is an older one's");
        _view.Fail(_request.Sequence - 1, isSilent: true, 0, At(0.8));
        _view.IsAuthorityHeard.Should().BeTrue();
    }

    [Fact]
    public void Error_ToARenewal_IsNotAskedForAgainAtOnce()
    {
        Know(Closed, At(0));
        _view.Verdict.Admits(At(0.5));
        Asks(At(0.7)).Should().BeTrue();
        _view.Fail(_request.Sequence, isSilent: false, 0, At(0.71));
        _view.Verdict.Admits(At(0.72));
        Asks(At(0.72)).Should().BeFalse();
        _view.NextDueAt.Should().BeGreaterThan(At(1.3));
    }

    [Fact]
    public void Outage_NobodyUsesIt_IsNotAskedAbout()
    {
        Know(Closed, At(0));
        _view.Verdict.Admits(At(0.5));
        Asks(At(0.7)).Should().BeTrue();
        _view.Fail(_request.Sequence, isSilent: true, 1, At(1.7));
        _view.NextDueAt.Should().Be(Instant.Never);
        Asks(At(100)).Should().BeFalse();
        Enter(At(100)).Should().Be(CircuitFate.Admitted, "at once, and the authority is asked beside");
        Asks(At(100)).Should().BeTrue();
    }

    [Fact]
    public void Outage_WhereThatIsToReject_GoesByTheVerdictWhileItLasts()
    {
        var view = new CircuitView(new Borrower(Guid.NewGuid(), 1), CircuitFallback.Reject);
        view.Enter(At(0), out _, out _);
        view.TryAsk(At(0), null, out var request);
        view.Take(Closed with { Sequence = request.Sequence }, At(0));
        view.Enter(At(0.7), out _, out _);
        view.TryAsk(At(0.7), null, out request).Should().BeTrue();
        view.Fail(request.Sequence, isSilent: true, 1, At(1.7));
        view.Enter(At(1.9), out _, out _).Should().Be(CircuitFate.Admitted);
        view.Enter(At(1.98), out _, out var caller).Should().Be(CircuitFate.Unavailable);
        caller.Should().BeNull();
    }

    [Fact]
    public void Error_IsAnAnswer_AndTheNextCallerAsksAnew()
    {
        var caller = AtTheDoor(At(0));
        Asks(At(0));
        _view.Fail(_request.Sequence + 1, isSilent: false, 0, At(0.1));
        caller.Fate.Should().Be(CircuitFate.AtTheDoor, "that was another request");
        _view.Fail(_request.Sequence, isSilent: false, 0, At(0.1));
        caller.Fate.Should().Be(CircuitFate.Failed);
        _view.IsAuthorityHeard.Should().BeTrue();
        Asks(At(0.1)).Should().BeFalse();
        Enter(At(0.1)).Should().Be(CircuitFate.AtTheDoor);
    }

    [Fact]
    public void Hint_WhileARequestIsUnderWay_MakesItsAnswerUnbelievable()
    {
        Know(Closed, At(0));
        Enter(At(0.7));
        Asks(At(0.7));
        _view.Hint(7, 5, At(0.71));
        var caller = AtTheDoor(At(0.71));
        _view.Take(Closed with { Sequence = _request.Sequence, Version = 4 }, At(0.72));
        caller.Fate.Should().Be(CircuitFate.AtTheDoor);
        Asks(At(0.72)).Should().BeTrue();
        _request.Version.Should().Be(5);
        _view.Take(Closed with { Sequence = _request.Sequence, Version = 5, State = CircuitState.Isolated, Generation = 4 }, At(0.73));
        caller.Fate.Should().Be(CircuitFate.Refused);
        Asks(At(0.73)).Should().BeFalse("it has said already that it knows");
    }

    [Fact]
    public void Hint_OfAnOlderAuthority_IsNone()
    {
        Know(Closed, At(0));
        _view.Hint(6, 100, At(0.1));
        Asks(At(0.1)).Should().BeFalse();
        _view.Verdict.Should().NotBeSameAs(HeldVerdict.None);
        _view.Hint(8, 1, At(0.1));
        Asks(At(0.1)).Should().BeTrue();
        _view.Verdict.Should().BeSameAs(HeldVerdict.None);
        _request.Version.Should().Be(1, "what it knows is of another one");
    }

    [Fact]
    public void Change_HeardOfInAnAnswer_IsAcknowledgedAtOnce()
    {
        // Somebody who has thrown a switch waits for that word.
        Know(Closed, At(0));
        Enter(At(0.7));
        Asks(At(0.7));
        _view.Take(Closed with { Sequence = _request.Sequence, Version = 2, Generation = 4, State = CircuitState.Isolated }, At(0.71));
        Asks(At(0.71)).Should().BeTrue();
        _request.Version.Should().Be(2);
        _view.Take(Closed with { Sequence = _request.Sequence, Version = 2, Generation = 4, State = CircuitState.Isolated }, At(0.72));
        Asks(At(0.72)).Should().BeFalse();
    }

    private static VerdictGrant HalfOpen(int trials) => Closed with
    {
        State = CircuitState.HalfOpen,
        FirstTrial = 9,
        Trials = trials,
        TrialGeneration = 3,
        ComeBackAfter = trials > 0 ? default : Seconds(0.05),
    };

    private bool Asks(Instant now) => _view.TryAsk(now, null, out var request) && (_request = request).Sequence > 0;

    private CircuitFate Enter(Instant now) => _view.Enter(now, out _, out _);

    private CircuitCaller AtTheDoor(Instant now)
    {
        _view.Enter(now, out _, out var caller).Should().Be(CircuitFate.AtTheDoor);
        return caller!;
    }

    private CircuitPass Trial(Instant now)
    {
        var caller = AtTheDoor(now);
        Asks(now);
        _view.Take(HalfOpen(1) with { Sequence = _request.Sequence }, now);
        return caller.Pass;
    }

    // As the answer to a caller, or to a word of the node's own.
    private void Know(VerdictGrant grant, Instant now)
    {
        if (!Asks(now))
        {
            _view.Hint(7, long.MaxValue - 1, now);
            _view.Enter(now, out _, out _);
            Asks(now);
        }

        _view.Take(grant with { Sequence = _request.Sequence }, now);
    }
}
