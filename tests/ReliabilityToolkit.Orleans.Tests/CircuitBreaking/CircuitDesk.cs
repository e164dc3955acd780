namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A breaker's authority as its grain has it, without the grain: each order once, ahead of the machine.</summary>
internal sealed class CircuitDesk(CircuitBreakerPolicy policy, long epoch)
{
    private readonly AnswerLog<Obedience> _answers = new();

    public Circuit Circuit { get; } = new(policy, default, new(epoch, Predecessor.None));

    public Instant MemorableUntil => Circuit.MemorableUntil;

    public CircuitPass Enter(Instant now) => Circuit.Enter(now);

    public void Report(in CircuitPass pass, CircuitOutcome outcome, Instant now) =>
        Circuit.Report(new CircuitNews(pass.Generation, pass.Trial, outcome, 1), now);

    public Obedience Trip(in RequestId id, Instant now, string? reason = null) => Obey(id, CircuitCommand.Trip, reason, now);

    public Obedience Isolate(in RequestId id, Instant now, string? reason = null) => Obey(id, CircuitCommand.Isolate, reason, now);

    public Obedience Reset(in RequestId id, Instant now, string? reason = null) => Obey(id, CircuitCommand.Reset, reason, now);

    public void ChangeTo(CircuitBreakerPolicy policy, Instant now) => Circuit.ChangeTo(policy, now);

    public CircuitBreakerStatus Describe(Instant now) => Circuit.Describe(now);

    private Obedience Obey(in RequestId id, CircuitCommand command, string? reason, Instant now) => _answers.Once(
        id, now, Circuit, new CircuitOrder(id, command, reason, default), static (circuit, order, now) => circuit.Obey(order, now));
}
