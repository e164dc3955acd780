namespace ReliabilityToolkit.Orleans.PlantedBugs;

/// <summary>The same of the bulkhead's machines.</summary>
public sealed class PlantedBulkheadBugTests
{
    private const string Ledger = "Grains/Bulkheads/SlotLedger.cs";
    private const string Loans = "Grains/Bulkheads/SlotLoans.cs";
    private const string Line = "Grains/Bulkheads/SlotLine.cs";
    private const string Stock = "Client/Bulkheads/SlotStock.cs";
    private const string Lot = "Client/Bulkheads/SlotLot.cs";

    private static readonly PlantedBug[] Bugs =
    [
        // K1: never more than there are.
        new(
            "A loan is counted from when the answer came",
            "K1",
            Stock,
            "LeaseTerm.HeldUntil(_askedAt, grant.Lease);",
            "LeaseTerm.HeldUntil(now, grant.Lease);", Near: 330),
        new("A request that is out of date is taken", "K1", Ledger, "request.Sequence <= known.Sequence)", "request.Sequence == known.Sequence)"),
        new("A repeated request is done again", "K1", Ledger, "request.Sequence <= known.Sequence)", "request.Sequence < known.Sequence)"),
        new(
            "What lies idle on a node counts as given back",
            "K1",
            Ledger,
            "Math.Min(request.Held, loan.Slots);",
            "Math.Min(request.InUse, loan.Slots);", Near: 280),
        new(
            "The answer to an older request is taken",
            "K1",
            Stock,
            "if (!_isAsking || grant.Sequence != _sequence)\n            return;\n        var until",
            "if (!_isAsking)\n            return;\n        var until"),
        new("A successor lends at once", "K1", Ledger, "mayFollowAnother ? now + policy.Lease + heritage.Fence : now;", "now;"),
        new("The lender takes back a little early", "K1", Loans, "LeaseTerm.LentUntil(now, lease));", "LeaseTerm.LentUntil(now, lease * 0.95));"),
        new(
            "A renewal extends nothing",
            "K1",
            Ledger,
            "_loans.Extend(loan, lease, now);",
            "if (slots + spare > 0)\n            _loans.Extend(loan, lease, now);"),
        new("A slot of a loan that has ended is given back to the next", "K1", Stock, "if (lot == _lot && !lot.IsOver)", "if (_lot != SlotLot.None)"),
        new(
            "Hits go by a clock that is behind, and by the whole loan",
            "K1",
            Lot,
            "ref _validUntil) - NodeClock.MostBehind.Ticks)",
            "ref _validUntil))", Near: 650),
        new(
            "What a node has not heard of yet is taken for gone",
            "K1",
            Ledger,
            "_loans.Lend(loan, kept + slots + spare",
            "_loans.Lend(loan, slots + spare"),

        // K2: what a dead node held is back; a live one loses nothing.
        new("A lease does not end", "K2", Loans, "node.Value.EndsAt <= now ? node", "node.Value.EndsAt < default(Instant) ? node"),
        new(
            "A node does not say that it still holds something",
            "K2",
            Stock,
            "_held > 0 ? LeaseTerm.RenewAt(_askedAt, grant.Lease) : Instant.Never;",
            "Instant.Never;", Near: 650),

        // K3: in order, and in turn.
        new(
            "A newcomer overtakes those who wait on his node",
            "K3",
            Stock,
            "if (_line.Count == 0 && slots <= _idle - _wanted)\n            Admit",
            "if (slots <= _idle)\n            Admit"),
        new("The last to come is served first", "K3", Stock, "_line.AddLast(caller);", "_line.AddFirst(caller);"),
        new("Hits go on while callers wait", "K3", Stock, "if (_held > 0 && _line.Count == 0 && _wanted == 0", "if (_held > 0 && _wanted == 0"),
        new(
            "Whoever asks first has what is free",
            "K3",
            Line,
            "if (AheadOf(node, now) + served + ask.Slots <= free)",
            "if (served + ask.Slots <= free)"),
        new("A turn does not move on", "K3", Line, "                    node.Turn++;\n", ""),
        new(
            "A newcomer's turn comes before all others'",
            "K3",
            Line,
            "(last == long.MinValue ? 0 : turn, ++_came)",
            "(last == long.MinValue ? 0 : turn - 2, ++_came)"),
        new(
            "One who waits is not heard of any more when he has been called",
            "K3",
            Stock,
            ": _isInLine ? _askedAt + SayAgainAfter : Instant.Never;",
            ": Instant.Never;"),

        // K4: closed.
        new(
            "Closing waits for nobody",
            "K4",
            Ledger,
            "closes ? _loans.Nodes.Where(static loan => loan.Slots > 0 || loan.Waiting > 0) : [];",
            "_loans.Nodes.Take(0);"),
        new(
            "A node that is told is taken for one that knows",
            "K4",
            Ledger,
            "if (request.Epoch == _epoch)\n            loan.Knows = Math.Max(loan.Knows, request.Version);",
            "loan.Knows = _version;"),
        new("A closed node goes on with what it holds", "K4", Stock, "grant.IsClosed ? int.MaxValue : Math.Max", "Math.Max"),
        new("Those who wait are not told that it is closed", "K4", Stock, "if (_isClosed)\n            CloseAll();", ""),

        // K5 and the rest.
        new("What is freed is not free", "K5", Lot, "ref _word, word + slots, word)", "ref _word, word, word)"),
        new(
            "A node's own waiters do not count against the queue",
            "Queue",
            Ledger,
            "_policy.Places - (_line.Callers - loan.Waiting), idle",
            "_policy.Places, idle"),
        new(
            "A silent authority keeps callers waiting",
            "R1 of bulkheads",
            Stock,
            "while (_line.First is { } first)\n        {\n            Remove(first.Value);\n            if (isSilent)",
            "while (_line.First is { } first && !isSilent)\n        {\n            Remove(first.Value);\n            if (isSilent)"),
    ];

    public static TheoryData<string> Names => [.. Bugs.Select(bug => bug.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Simulator_PlantedBug_IsFoundByTheCheckerForIt(string name) =>
        Bugs.Single(bug => bug.Name == name).Find().Should().NotBeNull("within 6,000 seeds");
}
