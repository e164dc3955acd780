using CsCheck;
using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class CircuitStatesTests
{
    private readonly Trials _trials = new(1);

    [Fact]
    public void Ratio_OfEnoughCalls_Opens()
    {
        var circuit = New(policy => (policy.FailureRatio, policy.MinimumThroughput, policy.FailureThreshold) = (0.5, 10, 1));
        Report(circuit, CircuitOutcome.Failed, 4, At(1));
        Report(circuit, CircuitOutcome.Succeeded, 5, At(1));
        circuit.State.Should().Be(CircuitState.Closed, "consecutive failures do not count where the ratio does");
        Report(circuit, CircuitOutcome.Failed, 1, At(1));
        (circuit.State, circuit.Cause).Should().Be((CircuitState.Open, CircuitCause.FailureRatio));
    }

    [Fact]
    public void Ratio_OfTooFewCalls_OpensNothing()
    {
        var circuit = New(policy => (policy.FailureRatio, policy.MinimumThroughput) = (0.5, 10));
        Report(circuit, CircuitOutcome.Failed, 9, At(1));
        circuit.State.Should().Be(CircuitState.Closed);
        Report(circuit, CircuitOutcome.Failed, 1, At(1));
        circuit.State.Should().Be(CircuitState.Open);
    }

    [Fact]
    public void Ratio_BelowTheBound_OpensNothing()
    {
        var circuit = New(policy => (policy.FailureRatio, policy.MinimumThroughput) = (0.5, 10));
        Report(circuit, CircuitOutcome.Succeeded, 51, At(1));
        Report(circuit, CircuitOutcome.Failed, 50, At(1));
        circuit.State.Should().Be(CircuitState.Closed);
        Report(circuit, CircuitOutcome.Failed, 1, At(1));
        circuit.State.Should().Be(CircuitState.Open);
    }

    [Fact]
    public void Ratio_OfLongAgo_IsForgotten()
    {
        var circuit = New(policy => (policy.FailureRatio, policy.MinimumThroughput, policy.SamplingWindow) = (0.5, 10, Seconds(10)));
        Report(circuit, CircuitOutcome.Failed, 9, At(0.5));
        circuit.MemorableUntil.Should().Be(At(0.5) + CircuitStates.RememberedFor);
        Report(circuit, CircuitOutcome.Succeeded, 1, At(0.5));
        circuit.MemorableUntil.Should().Be(At(10), "nothing is counted any more then");
        Report(circuit, CircuitOutcome.Failed, 1, At(10));
        circuit.State.Should().Be(CircuitState.Closed, "1 of 1");
    }

    [Fact]
    public void Ratio_ClosedAgain_BeginsAnew()
    {
        var circuit = New(policy => (policy.FailureRatio, policy.MinimumThroughput) = (0.5, 10));
        Report(circuit, CircuitOutcome.Failed, 10, At(1));
        circuit.Reset(null);
        Report(circuit, CircuitOutcome.Failed, 1, At(1));
        circuit.State.Should().Be(CircuitState.Closed);
    }

    [Fact]
    public void Ratio_OfANewPolicy_LooksAtWhatIsCounted()
    {
        var circuit = New(policy => (policy.FailureRatio, policy.MinimumThroughput) = (0.9, 10));
        Report(circuit, CircuitOutcome.Succeeded, 5, At(1));
        Report(circuit, CircuitOutcome.Failed, 5, At(1));
        circuit.ChangeTo(new CircuitBreakerPolicy { FailureRatio = 0.5, MinimumThroughput = 10 }, At(1));
        (circuit.State, circuit.Cause).Should().Be((CircuitState.Open, CircuitCause.PolicyChanged));

        circuit.ChangeTo(new CircuitBreakerPolicy { SamplingWindow = Seconds(60), FailureRatio = 0.5, MinimumThroughput = 1 }, At(1));
        circuit.Reset(null);
        Report(circuit, CircuitOutcome.Failed, 1, At(50));
        circuit.State.Should().Be(CircuitState.Open);
    }

    /// <summary>The window: all of the last nine tenths, and nothing older than the whole.</summary>
    [Fact]
    public void Window_AnyHistory_HoldsWhatIsRecent() => Gen.Int[0, 400].Array[1, 60].Sample(gaps =>
    {
        var window = new OutcomeWindow(Seconds(1));
        var all = new List<double>();
        var now = 0.0;
        foreach (var gap in gaps)
        {
            now += gap / 1_000.0;
            all.Add(now);
            window.Add(new Outcomes(1, 2, 3), At(now));
            var total = window.Total(At(now));
            total.Succeeded.Should().BeInRange(all.Count(each => each > now - 0.9), all.Count(each => each > now - 1));
            (total.Failed, total.Shed).Should().Be((2 * total.Succeeded, 3 * total.Succeeded));
        }

        window.Total(window.EmptyAt).Should().Be(default(Outcomes));
        window.EmptyAt.Should().Be(default(Instant), "it holds nothing");
    });

    [Fact]
    public void Window_ClockThatStepsBack_LosesNothing()
    {
        var window = new OutcomeWindow(Seconds(1));
        window.Add(new Outcomes(1, 0, 0), At(5));
        window.Add(new Outcomes(1, 0, 0), At(4));
        window.Total(At(5)).Succeeded.Should().Be(2);
        window.Total(At(5.95)).Succeeded.Should().Be(2);
        window.Total(At(6)).Succeeded.Should().Be(0);
    }

    [Fact]
    public void CoolDown_ThatGrows_DoesSoWithEachFailedTrialUpToItsBound()
    {
        var circuit = New(policy =>
        {
            (policy.CoolDown, policy.CoolDownGrowth, policy.MaxCoolDown) = (Seconds(10), 2, Seconds(35));
            policy.FailureThreshold = 1;
        });
        Report(circuit, CircuitOutcome.Failed, 1, At(0));
        foreach (var (at, next) in new[] { (10.0, 20.0), (30, 35), (65, 35) })
        {
            circuit.Advance(At(at));
            circuit.Report(circuit.Generation, circuit.TryBegin(default, At(at)), CircuitOutcome.Failed, 1, At(at));
            circuit.RetryAfter(At(at)).Should().Be(Seconds(next));
        }

        circuit.Trip(CircuitCause.Tripped, null, At(70));
        circuit.RetryAfter(At(70)).Should().Be(Seconds(10), "by hand it is the policy's");
        circuit.Advance(At(80));
        circuit.Report(circuit.Generation, circuit.TryBegin(default, At(80)), CircuitOutcome.Succeeded, 1, At(80));
        circuit.State.Should().Be(CircuitState.Closed);
        Report(circuit, CircuitOutcome.Failed, 1, At(80));
        circuit.RetryAfter(At(80)).Should().Be(Seconds(10), "it has been closed");
    }

    [Fact]
    public void CoolDown_OfAnUnansweredTrial_GrowsToo()
    {
        var circuit = New(policy => (policy.CoolDown, policy.CoolDownGrowth, policy.TrialLease) = (Seconds(10), 3, Seconds(1)));
        circuit.Trip(CircuitCause.Tripped, null, At(0));
        circuit.Advance(At(10));
        circuit.TryBegin(default, At(10)).Should().NotBe(0);
        _trials.EndUnanswered(At(12));
        (circuit.Cause, circuit.RetryAfter(At(12))).Should().Be((CircuitCause.TrialUnanswered, Seconds(29)));
    }

    [Fact]
    public void CoolDown_WithJitter_IsLongerByChanceAndNeverShorter()
    {
        var lengths = Enumerable.Range(1, 500).Select(i =>
        {
            var circuit = new CircuitStates(new CircuitBreakerPolicy { CoolDown = Seconds(10), CoolDownJitter = 0.5 }, new Trials(i << 20), i << 20);
            circuit.Trip(CircuitCause.Tripped, null, At(0));
            return circuit.RetryAfter(At(0))!.Value.TotalSeconds;
        }).ToArray();
        lengths.Should().OnlyContain(length => length >= 10 && length <= 15);
        lengths.Average().Should().BeApproximately(12.5, 0.3);
        lengths.Min().Should().BeLessThan(10.1);
        lengths.Max().Should().BeGreaterThan(14.9);
    }

    [Fact]
    public void Shedding_OfWhatSucceeds_AdmitsSoManyTimesAsMuch()
    {
        var circuit = New(policy => (policy.SheddingFactor, policy.FailureThreshold) = (2, 1));
        circuit.Share(At(1)).Should().Be(1);
        Report(circuit, CircuitOutcome.Succeeded, 100, At(1));
        Report(circuit, CircuitOutcome.Failed, 100, At(1));
        circuit.Share(At(1)).Should().Be(1, "half of them succeed");
        Report(circuit, CircuitOutcome.Failed, 100, At(1));
        circuit.NoteShed(99, At(1));
        circuit.Share(At(1)).Should().Be(201.0 / 400);
        circuit.State.Should().Be(CircuitState.Closed, "it sheds instead of opening");
        Report(circuit, CircuitOutcome.Failed, 1_000_000, At(1));
        circuit.Share(At(1)).Should().Be(CircuitStates.LeastShare);
        circuit.Trip(CircuitCause.Tripped, null, At(1));
        circuit.Share(At(1)).Should().Be(1, "it is open, and not by a share");
        circuit.NoteShed(7, At(1));
        circuit.Reset(null);
        circuit.Share(At(1)).Should().Be(1);
    }

    [Fact]
    public void TakeOver_GoesOnFromThere()
    {
        var circuit = New(_ => { });
        circuit.TakeOver(CircuitState.Open, 0, Seconds(3), At(10));
        circuit.Advance(At(12.9));
        (circuit.State, circuit.RetryAfter(At(12.9))).Should().Be((CircuitState.Open, Seconds(0.1)));
        circuit.Advance(At(13));
        circuit.State.Should().Be(CircuitState.HalfOpen);
    }

    private CircuitStates New(Action<CircuitBreakerPolicy> configure)
    {
        var policy = new CircuitBreakerPolicy();
        configure(policy);
        policy.Validate().Should().BeEmpty();
        return new CircuitStates(policy, _trials, 1);
    }

    private static void Report(CircuitStates circuit, CircuitOutcome outcome, int calls, Instant now) =>
        circuit.Report(circuit.Generation, 0, outcome, calls, now);
}
