using CsCheck;
using ReliabilityToolkit.Orleans.Simulation;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class CircuitProperties
{
    private static readonly Gen<(int Threshold, int CoolDown, int Trials, int Lease)> Shapes =
        Gen.Select(Gen.Int[1, 4], Gen.Int[1, 50], Gen.Int[1, 3], Gen.Int[1, 50]);

    private enum Step
    {
        Enter,
        Succeed,
        Fail,
        Ignore,
        Trip,
        Reset,
        Isolate,
    }

    private static readonly Gen<Step> AnyStep = Gen.Frequency(
        (36, Gen.Const(Step.Enter)),
        (11, Gen.Const(Step.Succeed)),
        (11, Gen.Const(Step.Fail)),
        (10, Gen.Const(Step.Ignore)),
        (4, Gen.Const(Step.Trip)),
        (4, Gen.Const(Step.Reset)),
        (1, Gen.Const(Step.Isolate)));

    private static readonly Gen<(Step Step, int Which, int Pause)[]> Steps =
        Gen.Select(AnyStep, Gen.Int[0, 1000], Gen.OneOf(Gen.Int[0, 3], Gen.Int[0, 60])).Array[1, 120];

    /// <summary>
    /// Every answer, the state, the counts: all as the reference says, whatever is asked, reported (late, twice, never) and thrown.
    /// </summary>
    [Fact]
    public void Circuit_AnyHistory_IsThatOfTheReferenceBreaker() => Gen.Select(Shapes, Steps).Sample(
        (shape, steps) =>
        {
            var node = new Asker(1);
            var circuit = new CircuitDesk(new CircuitBreakerPolicy
            {
                FailureThreshold = shape.Threshold,
                CoolDown = TimeSpan.FromMilliseconds(shape.CoolDown),
                HalfOpenMaxCalls = shape.Trials,
                TrialLease = TimeSpan.FromMilliseconds(shape.Lease),
            }, epoch: 1);
            const long ms = TimeSpan.TicksPerMillisecond;
            var reference = new ReferenceBreaker(shape.Threshold, shape.CoolDown * ms, shape.Trials, shape.Lease * ms);
            var calls = new List<(CircuitPass Pass, ReferenceBreaker.Call Call)>();
            var now = 0L;
            foreach (var (step, which, pause) in steps)
            {
                now += pause * ms;
                reference.PassTime(now);
                var instant = new Instant(now);
                switch (step)
                {
                    case Step.Enter:
                        var pass = circuit.Enter(instant);
                        var call = reference.Begin(now);
                        pass.IsAdmitted.Should().Be(call is not null);
                        if (call is not null)
                            calls.Add((pass, call));
                        break;
                    case Step.Succeed or Step.Fail or Step.Ignore when calls.Count > 0:
                        var ended = calls[which % calls.Count];
                        var outcome = step switch
                        {
                            Step.Succeed => CircuitOutcome.Succeeded,
                            Step.Fail => CircuitOutcome.Failed,
                            _ => CircuitOutcome.Ignored,
                        };
                        circuit.Report(ended.Pass, outcome, instant);
                        reference.End(ended.Call, outcome, now);
                        break;
                    case Step.Trip:
                        circuit.Trip(node.Next(), instant);
                        reference.Trip(now);
                        break;
                    case Step.Reset:
                        circuit.Reset(node.Next(), instant);
                        reference.Reset();
                        break;
                    case Step.Isolate:
                        circuit.Isolate(node.Next(), instant);
                        reference.Isolate();
                        break;
                }

                reference.PassTime(now);
                var status = circuit.Describe(instant);
                status.State.Should().Be(reference.State switch
                {
                    "closed" => CircuitState.Closed,
                    "open" => CircuitState.Open,
                    "half open" => CircuitState.HalfOpen,
                    _ => CircuitState.Isolated,
                });
                status.ConsecutiveFailures.Should().Be(reference.Failures);
                status.TrialsInFlight.Should().Be(reference.TrialCount).And.BeLessThanOrEqualTo(shape.Trials, "B2");
            }
        },
        iter: 3_000);
}
