namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A breaker's authority as its grain has it, without the grain: each request once, ahead of the machine.</summary>
internal sealed class CircuitDesk(CircuitBreakerPolicy policy, long epoch)
{
    private readonly AnswerLog<CircuitPass> _answers = new();
    private readonly Circuit _circuit = new(policy, epoch);

    public Instant MemorableUntil => _circuit.MemorableUntil;

    public CircuitPass Enter(in RequestId id, Instant now) => _answers.Once(id, now, _circuit, 0, static (circuit, _, now) => circuit.Enter(now));

    public Acknowledgement Report(in CircuitReport report, Instant now) =>
        _answers.Once(report.Id, now, _circuit, report, static (circuit, report, now) => circuit.Report(report, now));

    public Acknowledgement Trip(in RequestId id, Instant now) => _answers.Once(id, now, _circuit, 0, static (circuit, _, now) => circuit.Trip(now));

    public Acknowledgement Isolate(in RequestId id, Instant now) =>
        _answers.Once(id, now, _circuit, 0, static (circuit, _, now) => circuit.Isolate(now));

    public Acknowledgement Reset(in RequestId id, Instant now) => _answers.Once(id, now, _circuit, 0, static (circuit, _, now) => circuit.Reset(now));

    public void ChangeTo(CircuitBreakerPolicy policy, Instant now) => _circuit.ChangeTo(policy, now);

    public CircuitBreakerStatus Describe(Instant now) => _circuit.Describe(now);
}
