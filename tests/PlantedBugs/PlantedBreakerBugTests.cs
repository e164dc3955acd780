namespace ReliabilityToolkit.Orleans.PlantedBugs;

/// <summary>The same of the breaker's machines.</summary>
public sealed class PlantedBreakerBugTests
{
    private const string Breaker = "Grains/CircuitBreaking/Circuit.cs";
    private const string Switches = "Grains/Authorities/PendingOrders.cs";
    private const string States = "Abstractions/CircuitBreaking/CircuitStates.cs";
    private const string Tickets = "Abstractions/CircuitBreaking/Trials.cs";
    private const string View = "Client/CircuitBreaking/CircuitView.cs";

    private static readonly PlantedBug[] Bugs =
    [
        // B1: once a switch has returned, nobody is let through by what he was told before.
        new(
            "A switch returns without waiting for those who may not know",
            "B1",
            Switches,
            "Where(pending => pending.Until > now)",
            "Where(pending => pending.Until > now && pending.Listener.Knows < 0)"),
        new(
            "A switch does not wait for what a predecessor may have lent",
            "B1",
            Breaker,
            "_admittedUntil,\n                now);",
            "now,\n                now);"),
        new(
            "What a node knew of another authority counts as its word",
            "B1",
            Breaker,
            "if (request.Epoch == _epoch)\n            holder.Knows",
            "holder.Knows"),
        new(
            "A verdict is counted from when it came",
            "B1",
            View,
            ": LeaseTerm.HeldUntil(_askedAt, grant.Term);\n        _renewAt",
            ": LeaseTerm.HeldUntil(now, grant.Term);\n        _renewAt"),
        new(
            "A node says that it knows, and goes on as before",
            "B1",
            View,
            "if (epoch > _known.Epoch || _known.Version < version)\n            Believe(default, now);",
            ""),
        new(
            "An answer from before the hint is believed",
            "B1",
            View,
            "if (grant.Version < _knows)\n            _mustTell",
            "if (grant.Version < 0)\n            _mustTell"),
        new(
            "Hits go by a clock that is behind, and by the whole term",
            "B1",
            View,
            "new Instant(_believedUntil.Ticks - NodeClock.MostBehind.Ticks);",
            "_believedUntil;", Near: 150),
        new(
            "The answer to an older request is taken",
            "B1",
            View,
            "if (!_isAsking || grant.Sequence != _sequence)\n            return;\n        if (now",
            "if (!_isAsking)\n            return;\n        if (now"),

        new(
            "A switch does not wait for trials on their way",
            "B1",
            Breaker,
            "circuit.State == CircuitState.Closed || holder.Trials.Count > 0)",
            "circuit.State == CircuitState.Closed)"),

        // B2: so many trials, and no more.
        new("A repeated request gets trials anew", "B2", Breaker, "if (request.Sequence > holder.Sequence)\n            Take(", "Take("),
        new(
            "A trial is given though its place is taken",
            "B2",
            States,
            "State == CircuitState.HalfOpen && _trials.Count < _policy.HalfOpenMaxCalls;",
            "State == CircuitState.HalfOpen && _trials.Count <= _policy.HalfOpenMaxCalls;"),
        new(
            "A node does not name the trials that it has in hand",
            "B2",
            View,
            "_trials.Count == 0 ? null",
            "_trials.Count >= 0 ? null"),
        new(
            "A trial is named no longer than its lease, as the node counts it",
            "B2",
            View,
            "_trials.Add((number, namedUntil));",
            "_trials.Add((number, until));"),
        new(
            "A trial whose answer came too late is begun",
            "B2",
            View,
            "grant.TrialGeneration == grant.Generation && now < until && now < _believedUntil;",
            "grant.TrialGeneration == grant.Generation;"),

        // B3 and B4: the state is that of a breaker that hears the same outcomes in the same order.
        new(
            "A result of an older generation counts",
            "Reference",
            States,
            "if (generation != Generation || wasUnderWay",
            "if (wasUnderWay"),
        new(
            "A trial of an older generation is made one of today's",
            "Reference",
            View,
            "grant.TrialGeneration == grant.Generation && now < until",
            "now < until"),
        new(
            "A repeated report counts twice",
            "Reference",
            Breaker,
            "if (request.Sequence > holder.Sequence)\n            Take(",
            "if (request.Sequence >= holder.Sequence)\n            Take("),
        new("A success does not reset the count", "Reference", States, "int.MaxValue) : 0;", "int.MaxValue) : Failures;"),
        new(
            "Successes stay on the node though something fails",
            "B4",
            View,
            "now < _believedUntil && !_known.IsFailing && _known.State",
            "now < _believedUntil && _known.State"),
        new(
            "A node goes on leaving out successes when its verdict has run out",
            "B4",
            View,
            "=> now < _believedUntil && !_known.IsFailing",
            "=> !_known.IsFailing"),
        new(
            "A failure is not told",
            "B4",
            View,
            "if (outcome == CircuitOutcome.Failed)\n            return Add(",
            "if (took < default(TimeSpan))\n            return Add("),

        // It heals by itself.
        new(
            "A trial that nobody answers is waited for for ever",
            "Healed",
            Tickets,
            "NextEndAt is var at && at <= now",
            "NextEndAt is var at && at < default(Instant)", Near: 750),
        new(
            "An outage is not noticed to be over",
            "Healed",
            View,
            "        EndOutage();\n        if (grant.Generation",
            "        if (grant.Generation"),

        // Callers are decided.
        new(
            "Callers wait for an authority that does not answer",
            "R1",
            View,
            "EndTellings(now, isHeard: false);\n            Decide(now);",
            "EndTellings(now, isHeard: false);"),

        // One bad node is one bad node.
        new(
            "A quorum counts failures, and not nodes",
            "Quorum",
            Breaker,
            ">= _policy.QuorumNodes)\n            _forAll",
            ">= 1)\n            _forAll"),
        new(
            "A node's own circuit lives on when that for all has changed",
            "Quorum",
            Breaker,
            "holder.Own is not null && holder.OwnBeganIn == _forAll.Generation;",
            "holder.Own?.Generation >= _forAll.Generation;", Near: 2740),
        new(
            "Where a quorum is wanted, all share one count",
            "Poison",
            Breaker,
            "if (holder is null || _policy.QuorumNodes == 1 || _forAll.State",
            "if (holder is null || _policy.QuorumNodes >= 1 || _forAll.State"),
    ];

    public static TheoryData<string> Names => [.. Bugs.Select(bug => bug.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Simulator_PlantedBug_IsFoundByTheCheckerForIt(string name) =>
        Bugs.Single(bug => bug.Name == name).Find().Should().NotBeNull("within 6,000 seeds");
}
