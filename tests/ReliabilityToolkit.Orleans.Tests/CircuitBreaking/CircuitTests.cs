using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class CircuitTests
{
    private readonly Asker _node = new(1);

    [Fact]
    public void Circuit_ConsecutiveFailuresAtThreshold_Opens()
    {
        var circuit = NewCircuit(threshold: 3);
        Call(circuit, CircuitOutcome.Failed, At(0));
        Call(circuit, CircuitOutcome.Failed, At(0));
        circuit.Describe(At(0)).Should().Be(
            new CircuitBreakerStatus(CircuitState.Closed, 2, 0, null, Generation: 1, CircuitCause.None, null, Share: 1, Nodes: 0));
        Call(circuit, CircuitOutcome.Failed, At(0));

        circuit.Describe(At(1)).Should().Be(
            new CircuitBreakerStatus(CircuitState.Open, 0, 0, Seconds(9), Generation: 2, CircuitCause.Failures, null, Share: 1, Nodes: 0));
        Enter(circuit, At(1)).Should().Be(new CircuitPass(false, 2, 0, Seconds(9), CircuitState.Open));
    }

    [Fact]
    public void Circuit_OneSuccess_ResetsTheCount()
    {
        var circuit = NewCircuit(threshold: 2);
        Call(circuit, CircuitOutcome.Failed, At(0));
        Call(circuit, CircuitOutcome.Succeeded, At(0));
        Call(circuit, CircuitOutcome.Failed, At(0));
        circuit.Describe(At(0)).State.Should().Be(CircuitState.Closed);
    }

    [Fact]
    public void Circuit_IgnoredOutcome_ChangesNothing()
    {
        var circuit = NewCircuit(threshold: 2);
        Call(circuit, CircuitOutcome.Failed, At(0));
        Call(circuit, CircuitOutcome.Ignored, At(0));
        circuit.Describe(At(0)).ConsecutiveFailures.Should().Be(1);
    }

    [Fact]
    public void Circuit_AfterCoolDown_AdmitsSoManyTrialsAtATime()
    {
        var circuit = Opened(halfOpenMaxCalls: 2);
        Enter(circuit, At(9.9)).IsAdmitted.Should().BeFalse();
        var first = Enter(circuit, At(10));
        var second = Enter(circuit, At(10));
        first.Trial.Should().NotBe(0).And.NotBe(second.Trial);
        Enter(circuit, At(10)).Should().Be(new CircuitPass(false, first.Generation, 0, null, CircuitState.HalfOpen));

        Report(circuit, first, CircuitOutcome.Ignored, At(10));
        Enter(circuit, At(10)).IsAdmitted.Should().BeTrue("an ignored trial frees its place");
    }

    [Fact]
    public void Circuit_AsManyTrialSuccessesAsAllowedAtATime_Close()
    {
        var circuit = Opened(halfOpenMaxCalls: 2);
        Call(circuit, CircuitOutcome.Succeeded, At(10));
        circuit.Describe(At(10)).State.Should().Be(CircuitState.HalfOpen);
        Call(circuit, CircuitOutcome.Succeeded, At(10));
        circuit.Describe(At(10)).State.Should().Be(CircuitState.Closed);
    }

    [Fact]
    public void Circuit_OneTrialFailure_OpensForANewCoolDown()
    {
        var circuit = Opened(halfOpenMaxCalls: 2);
        Call(circuit, CircuitOutcome.Succeeded, At(12));
        Call(circuit, CircuitOutcome.Failed, At(13));
        circuit.Describe(At(13)).RetryAfter.Should().Be(Seconds(10));
    }

    [Fact]
    public void Circuit_TrialNobodyAnswers_CountsAsFailureAtTheEndOfItsLease()
    {
        var circuit = Opened(halfOpenMaxCalls: 1, trialLease: 5);
        var hung = Enter(circuit, At(10));
        Enter(circuit, At(14.9)).State.Should().Be(CircuitState.HalfOpen);

        Enter(circuit, At(16)).Should().Be(new CircuitPass(false, hung.Trial + 1, 0, Seconds(9), CircuitState.Open), "it opened at 15 s");
        Report(circuit, hung, CircuitOutcome.Succeeded, At(17));
        circuit.Describe(At(17)).State.Should().Be(CircuitState.Open, "the answer is late");
        Enter(circuit, At(25)).IsAdmitted.Should().BeTrue();
    }

    [Fact]
    public void Circuit_LateFailureFromOlderGeneration_IsIgnored()
    {
        var circuit = NewCircuit(threshold: 1);
        var early = Enter(circuit, At(0));
        Call(circuit, CircuitOutcome.Failed, At(0));
        Call(circuit, CircuitOutcome.Succeeded, At(10));
        circuit.Describe(At(10)).State.Should().Be(CircuitState.Closed);

        Report(circuit, early, CircuitOutcome.Failed, At(11));
        circuit.Describe(At(11)).State.Should().Be(CircuitState.Closed);
    }

    [Fact]
    public void Circuit_SameTrialReportedTwice_CountsOnce()
    {
        var circuit = Opened(halfOpenMaxCalls: 2);
        var trial = Enter(circuit, At(10));
        Report(circuit, trial, CircuitOutcome.Succeeded, At(10));
        Report(circuit, trial, CircuitOutcome.Succeeded, At(10));
        circuit.Describe(At(10)).State.Should().Be(CircuitState.HalfOpen);
    }

    [Fact]
    public void Circuit_ResetRepeatedAfterATrip_DoesNotUndoIt()
    {
        var circuit = NewCircuit();
        var reset = _node.Next();
        circuit.Reset(reset, At(11));
        Trip(circuit, At(12));
        circuit.Reset(reset, At(12));
        circuit.Describe(At(12)).State.Should().Be(CircuitState.Open, "a late copy of the reset must not undo the trip");
    }

    [Fact]
    public void Circuit_Trip_OpensForAWholeCoolDownFromNow()
    {
        var circuit = NewCircuit();
        Trip(circuit, At(0));
        Trip(circuit, At(4));
        circuit.Describe(At(4)).RetryAfter.Should().Be(Seconds(10));
    }

    [Fact]
    public void Circuit_Isolated_StaysOpenUntilResetWhateverComes()
    {
        var circuit = NewCircuit();
        circuit.Isolate(_node.Next(), At(0));
        Trip(circuit, At(1));
        Enter(circuit, At(1_000_000))
            .Should().Match<CircuitPass>(pass => !pass.IsAdmitted && pass.State == CircuitState.Isolated && pass.RetryAfter == null);
        circuit.Reset(_node.Next(), At(1_000_000));
        Enter(circuit, At(1_000_000)).IsAdmitted.Should().BeTrue();
    }

    [Fact]
    public void Circuit_UndefinedOutcome_ThrowsAndChangesNothing()
    {
        var circuit = NewCircuit(threshold: 1);
        var pass = Enter(circuit, At(0));
        circuit.Invoking(c => Report(c, pass, (CircuitOutcome)7, At(0))).Should().Throw<ArgumentOutOfRangeException>();
        circuit.Describe(At(0)).Should().Be(
            new CircuitBreakerStatus(CircuitState.Closed, 0, 0, null, Generation: 1, CircuitCause.None, null, Share: 1, Nodes: 0));
    }

    [Fact]
    public void Circuit_TrialOfAnOlderGeneration_KeepsItsPlaceUntilItsLeaseEnds()
    {
        // One trial at a time: A hangs, the circuit is tripped and half open again. A is still under way, so B must not begin.
        var circuit = Opened(halfOpenMaxCalls: 1, trialLease: 30);
        var a = Enter(circuit, At(10));
        Trip(circuit, At(11));
        Enter(circuit, At(21)).IsAdmitted.Should().BeFalse();
        circuit.Describe(At(21)).State.Should().Be(CircuitState.HalfOpen);

        Report(circuit, a, CircuitOutcome.Failed, At(22));
        circuit.Describe(At(22)).State.Should().Be(CircuitState.HalfOpen, "its result is of an older generation");
        Enter(circuit, At(22)).IsAdmitted.Should().BeTrue("its place is free");
    }

    [Fact]
    public void Circuit_FailuresFarApart_AreStillConsecutive()
    {
        var circuit = NewCircuit(threshold: 2);
        Call(circuit, CircuitOutcome.Failed, At(0));
        circuit.MemorableUntil.Should().Be(At(0) + CircuitStates.RememberedFor);
    }

    [Fact]
    public void Circuit_PolicyChange_AppliesLowerThresholdsAtOnceAndKeepsTheCoolDown()
    {
        var circuit = NewCircuit(threshold: 5);
        Call(circuit, CircuitOutcome.Failed, At(0));
        Call(circuit, CircuitOutcome.Failed, At(0));
        circuit.ChangeTo(new CircuitBreakerPolicy { FailureThreshold = 2, CoolDown = Seconds(3) }, At(1));
        circuit.Describe(At(1)).RetryAfter.Should().Be(Seconds(3));
        circuit.ChangeTo(new CircuitBreakerPolicy { CoolDown = Seconds(60) }, At(2));
        circuit.Describe(At(2)).RetryAfter.Should().Be(Seconds(2));
    }

    [Fact]
    public void Circuit_PolicyChangeWhileHalfOpen_ClosesWhereEnoughTrialsHaveSucceeded()
    {
        // Two of three trials have succeeded, and now two are enough: no further call would be needed to find that out.
        var circuit = Opened(halfOpenMaxCalls: 3);
        Call(circuit, CircuitOutcome.Succeeded, At(10));
        Call(circuit, CircuitOutcome.Succeeded, At(10));
        circuit.ChangeTo(new CircuitBreakerPolicy { HalfOpenMaxCalls = 3 }, At(11));
        circuit.Describe(At(11)).State.Should().Be(CircuitState.HalfOpen, "nothing has changed");
        circuit.ChangeTo(new CircuitBreakerPolicy { HalfOpenMaxCalls = 2 }, At(11));
        circuit.Describe(At(11)).State.Should().Be(CircuitState.Closed);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(1)]
    public void Circuit_PolicyChangeWhileOpen_LeavesItOpen(int halfOpenMaxCalls)
    {
        var circuit = NewCircuit(threshold: 1);
        Call(circuit, CircuitOutcome.Failed, At(0));
        circuit.ChangeTo(new CircuitBreakerPolicy { FailureThreshold = 1, HalfOpenMaxCalls = halfOpenMaxCalls }, At(1));
        circuit.Describe(At(1)).State.Should().Be(CircuitState.Open);
        circuit.Describe(At(9)).RetryAfter.Should().Be(Seconds(1), "the cool-down keeps its length");
    }

    [Fact]
    public void Circuit_PolicyChangeAfterTheCoolDown_FindsItHalfOpen()
    {
        var circuit = Opened(halfOpenMaxCalls: 1);
        circuit.ChangeTo(new CircuitBreakerPolicy { FailureThreshold = 1 }, At(12));
        circuit.Describe(At(12)).State.Should().Be(CircuitState.HalfOpen);
    }

    [Fact]
    public void Circuit_SwitchesAfterATrialRanOut_ComeAfterIt()
    {
        // The trial's lease ended at 15 s, long before anybody asked: that failure comes before the switch and does not undo it.
        foreach (var (thrown, expected) in new (Action<CircuitDesk> Switch, (CircuitState, CircuitCause, TimeSpan?) Expected)[]
        {
            (circuit => circuit.Reset(_node.Next(), At(20)), (CircuitState.Closed, CircuitCause.Reset, null)),
            (circuit => circuit.Isolate(_node.Next(), At(20)), (CircuitState.Isolated, CircuitCause.Isolated, null)),
            (circuit => Trip(circuit, At(20)), (CircuitState.Open, CircuitCause.Tripped, Seconds(10))),
        })
        {
            var circuit = Opened(halfOpenMaxCalls: 1, trialLease: 5);
            Enter(circuit, At(10)).Trial.Should().NotBe(0);
            thrown(circuit);
            var status = circuit.Describe(At(20));
            (status.State, status.Cause, status.RetryAfter).Should().Be(expected);
            status.TrialsInFlight.Should().Be(0);
        }
    }

    [Fact]
    public void Circuit_Admitted_CarriesNoRetryAfter()
    {
        Enter(NewCircuit(), At(0)).Should().Be(new CircuitPass(true, 1, 0, null, CircuitState.Closed));
        Enter(Opened(halfOpenMaxCalls: 1), At(10))
            .Should().Match<CircuitPass>(pass => pass.IsAdmitted && pass.RetryAfter == null && pass.State == CircuitState.HalfOpen);
    }

    [Fact]
    public void Circuit_WorthRemembering_IsWhatANewOneWouldNotKnow()
    {
        var circuit = NewCircuit(threshold: 2);
        circuit.MemorableUntil.Should().Be(default(Instant));
        Call(circuit, CircuitOutcome.Failed, At(3));
        circuit.MemorableUntil.Should().Be(At(3) + CircuitStates.RememberedFor);
        Call(circuit, CircuitOutcome.Succeeded, At(4));
        circuit.MemorableUntil.Should().Be(default(Instant), "one success resets the count");
        Trip(circuit, At(5));
        circuit.MemorableUntil.Should().Be(At(15) + CircuitStates.RememberedFor);
        circuit.Isolate(_node.Next(), At(6));
        circuit.MemorableUntil.Should().Be(Instant.Never);
        circuit.Reset(_node.Next(), At(7));
        circuit.MemorableUntil.Should().Be(At(7) + CallTimeouts.AnswersKeptFor, "a late copy of an earlier order must not override it");
    }

    private static CircuitDesk NewCircuit(int threshold = 5, int halfOpenMaxCalls = 1, double trialLease = 30) => new(new CircuitBreakerPolicy
    {
        FailureThreshold = threshold,
        HalfOpenMaxCalls = halfOpenMaxCalls,
        CoolDown = Seconds(10),
        TrialLease = Seconds(trialLease),
    }, epoch: 1);

    // Open since 0 s, until 10 s.
    private CircuitDesk Opened(int halfOpenMaxCalls, double trialLease = 30, int threshold = 5)
    {
        var circuit = NewCircuit(threshold, halfOpenMaxCalls, trialLease);
        Trip(circuit, At(0));
        return circuit;
    }

    private static CircuitPass Enter(CircuitDesk circuit, Instant now) => circuit.Enter(now);

    private static void Report(CircuitDesk circuit, CircuitPass pass, CircuitOutcome outcome, Instant now) => circuit.Report(pass, outcome, now);

    private void Trip(CircuitDesk circuit, Instant now) => circuit.Trip(_node.Next(), now);

    private static void Call(CircuitDesk circuit, CircuitOutcome outcome, Instant now)
    {
        var pass = Enter(circuit, now);
        pass.IsAdmitted.Should().BeTrue();
        Report(circuit, pass, outcome, now);
    }
}
