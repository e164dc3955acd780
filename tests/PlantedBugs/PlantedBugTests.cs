using ReliabilityToolkit.Orleans.Simulation;

namespace ReliabilityToolkit.Orleans.PlantedBugs;

/// <summary>A simulator that never failed has proven nothing.</summary>
public sealed class PlantedBugTests
{
    private const string Parts = "Grains/RateLimiting/TokenParts.cs";
    private const string Ledger = "Grains/RateLimiting/TokenLedger.cs";
    private const string Reservations = "Grains/RateLimiting/Reservations.cs";
    private const string Shares = "Grains/RateLimiting/TokenShares.cs";
    private const string Answers = "Grains/Requests/AnswerLog.cs";
    private const string Held = "Client/RateLimiting/HeldPart.cs";
    private const string Stock = "Client/RateLimiting/TokenStock.cs";
    private const string Lot = "Client/RateLimiting/TokenLot.cs";
    private const string Term = "Abstractions/Leases/LeaseTerm.cs";

    private static readonly PlantedBug[] Bugs =
    [
        // The rate that a node uses is at every instant at most what is set aside for it.
        new(
            "The lender sets aside the new rate only",
            "Rate",
            Parts,
            "Math.Max(part.HeldRate, answer.Rate));",
            "answer.Rate);"),
        // <bug>
        new(
            "The holder uses all of the rate",
            "Rate",
            Term,
            "=> rate - ((rate + RateMargin - 1) / RateMargin);",
            "=> rate;"),
        // </bug>
        new(
            "A new rate is counted from before it came",
            "Sum",
            Held,
            "(_levelSeen, _lookedAt) = (Math.Min(tokens, grant.Room), now);",
            "_levelSeen = Math.Min(tokens, grant.Room);"),
        new("More comes back than there is room for", "Sum", Held, "var back = Math.Min(tokens, space);", "var back = Room > 0 ? tokens : 0;"),
        new("Room that is kept free is filled by what comes back", "Sum", Held, "Math.Max(Room - _keptFree - left, 0);", "Math.Max(Room - left, 0);"),
        new("A part that what came back has filled keeps what it had begun to earn", "Sum", Held, "if (back == space)", "if (back < 0)", Near: 1240),
        new(
            "An ended part is still spent",
            "Term",
            Stock,
            "        if (now >= _part.EndsAt && _part.Sequence != 0)\n            _runOut += _part.Drop();\n        Serve(now);",
            "        Serve(now);\n        if (now >= _part.EndsAt && _part.Sequence != 0)\n            _runOut += _part.Drop();"),

        // Room grows at once, and shrinks when the node says so.
        new(
            "Room is freed before the node says so",
            "Room",
            Parts,
            "Reserve(part, Math.Max(part.Room, answer.Room),",
            "Reserve(part, answer.Room,"),
        new(
            "The holder tells of a room that it has not made smaller yet",
            "Room",
            Stock,
            "            _part.Room,\n            _givenBack,",
            "            _part.Room / 2,\n            _givenBack,"),

        // A token on its way has its room.
        new("No room is kept free for tokens on their way", "Sum", Held, "return _keptFree = (int)", "return (int)", Near: 280),
        new(
            "More than what was wanted",
            "Sum",
            Ledger,
            "Math.Clamp(Math.Min(request.Want, part.Room) + added, 0, room);",
            "Math.Clamp(part.Room + added, 0, room);"),
        new(
            "A part that has ended is given what it wanted",
            "Sum",
            Ledger,
            "Math.Clamp(Math.Min(request.Want, part.Room) + added, 0, room);",
            "request.Want + room;"),

        // One request at a time, and the newest wins.
        new(
            "The answer to an older request is taken",
            "Sum",
            Stock,
            "if (!_isAsking || grant.Sequence != _sequence)\n            return;\n        Advance(now);\n        if (!HearOf",
            "if (!_isAsking)\n            return;\n        Advance(now);\n        if (!HearOf"),
        new(
            "The state of an older request is taken",
            "Sum",
            Parts,
            "if (request.Sequence <= part.Answer.Sequence)",
            "if (request.Sequence == part.Answer.Sequence)"),
        new(
            "A repeated request is done again",
            "Once",
            Parts,
            "if (request.Sequence <= part.Answer.Sequence)",
            "if (request.Sequence < part.Answer.Sequence)"),
        new("Tokens are given back twice", "Sum", Parts, "        part.GivenBack = request.GivenBack;\n", ""),
        new(
            "An acquire is done twice",
            "Once",
            Answers,
            "return inSlot.IsVoid ? RequestState.Void : RequestState.Done;",
            "return inSlot.IsVoid ? RequestState.Void : RequestState.New;"),

        // A part ends by itself.
        new(
            "The holder lets go late",
            "Term",
            Term,
            "askedAt + (term - (term / TermMargin));",
            "askedAt + (term + (term / TermMargin));"),
        new(
            "The term has no margin for clocks that drift",
            "Term",
            Term,
            "askedAt + (term - (term / TermMargin));",
            "askedAt + term;"),
        new(
            "The tokens of an ended part are taken back as well",
            "Sum",
            Ledger,
            "                _parts.EndNext();\n",
            "            {\n" +
            "                _parts.EndNext();\n" +
            "                LendOut();\n" +
            "                _rest.Add(_policy.Burst);\n" +
            "            }\n"),

        // The hit.
        new("A sleeper takes what was earned since", "L1", Lot, "if (LookAt == lookAt)", "if (LookAt != default)", Near: 900),
        new(
            "Hits do not allow for a clock that is behind",
            "Term",
            Held,
            "var last = new Instant(EndsAt.Ticks - NodeClock.MostBehind.Ticks);",
            "var last = EndsAt;", Near: 500),
        new(
            "What was earned before a hit is credited after it",
            "Sum",
            Held,
            "var space = Math.Max(Room - _keptFree - _levelSeen, 0);",
            "var space = Math.Max(Room - _keptFree - level, 0);"),
        new("A lot that was replaced is not closed", "Sum", Held, "var left = _lot.Close();", "var left = _lot.Tokens;", Near: 5250),

        // Those who wait, and those who are refused.
        new(
            "A waiter is overtaken by a hit",
            "Order",
            Stock,
            "        if (_line.Count > 0)\n            _part.StopHits();\n        else\n            _part.AllowHits(now);",
            "        _part.AllowHits(now);"),
        new(
            "A waiter is overtaken by a newcomer",
            "Order",
            Stock,
            "if (_line.Count == 0 && _part.TryTake(tokens))",
            "if (_part.TryTake(tokens))"),
        new("The last who came is served first", "Order", Stock, "_line.AddLast(caller);", "_line.AddFirst(caller);"),
        new(
            "One in line is never promised anything",
            "Forgotten",
            Reservations,
            "if (!TryPromise(first, rest, now, first == asker ? now : first.AskAt + ToldBefore))",
            "if (first == asker || !TryPromise(first, rest, now, first.AskAt + ToldBefore))", Near: 750),
        new(
            "A promise reaches further than a term",
            "Reach",
            Reservations,
            "if (at > now + Reach || asker.Tokens > plan.Room)",
            "if (at > now + (2 * Reach) || asker.Tokens > plan.Room)"),
        new(
            "More is promised than the rest can hold",
            "Sum",
            Reservations,
            "if (at > now + Reach || asker.Tokens > plan.Room)",
            "if (at > now + Reach)", Near: 480),
        new(
            "The rate that was promised is lent",
            "Sum",
            Ledger,
            "        if (WaitingCount > 0)\n            most = Int128.Min(most, part.HeldRate);\n",
            "", Near: 230),
        new(
            "A freed instant is given away twice",
            "L1",
            Reservations,
            "        freed.Value.Tokens -= asker.Tokens;\n",
            "        _freed.Enqueue(freed, freed.Value.At);\n"),
        new(
            "Those at the door are not served",
            "Needed",
            Ledger,
            "var served = isFree ? (int)Math.Min(request.AtTheDoor, _rest.Tokens) : 0;",
            "var served = 0;"),
        new(
            "The last token is withheld",
            "Needed",
            Ledger,
            "_rest.Tokens >= request.Tokens)\n",
            "_rest.Tokens > request.Tokens)\n"),
        new(
            "The demand of a dead node is kept",
            "Share",
            Shares,
            "part.Demand <= 0 || now - part.HeardAt >= CountedFor",
            "part.Demand <= 0"),
        new(
            "RetryAfter is too short",
            "L5",
            Ledger,
            "var retryAfter = FirstAt(request.Tokens).After(now);",
            "var retryAfter = FirstAt(request.Tokens).After(now) * 0.9;"),

        // What is promised with a number, without faults.
        new(
            "A lower rate is not confirmed",
            "L2",
            Stock,
            "_renewAt = Sooner(_renewAt, now + ShortestRenewal);",
            "_renewAt = Sooner(_renewAt, Instant.Never);"),
        new("A dry part asks in overload", "L3", Shares, "=> IsOverload && !IsPlenty(rest);", "=> false;"),
        new("Who was refused is silent for a second", "L6", Ledger, "default : FirstAt(1).After(now),", "default : TimeSpan.FromSeconds(1),"),
        new(
            "Those in line are served at the next renewal",
            "L7",
            Stock,
            "                dueAt = Sooner(dueAt, _part.ReadyAt(first.Value.Tokens));\n",
            "                dueAt = Sooner(dueAt, _part.EndsAt);\n"),
        new("Who comes first gets all he wants", "L8", Shares, "=> Math.Min(demand, _level);", "=> demand;"),
        new(
            "One in line asks again and again",
            "L4",
            Reservations,
            "return now + (after < SoonestAsk ? SoonestAsk : after > Reach ? Reach : after);",
            "return now + SoonestAsk;", Near: 1100),

        // Successors, and policies in flight.
        new(
            "A successor that is told of its predecessor starts full",
            "L1 over all",
            Ledger,
            "(_predecessor, _isWhollyWithheld) = (epoch, true);",
            "(_predecessor, _isWhollyWithheld) = (epoch, false);"),
        new(
            "A successor that is told of its predecessor earns at once",
            "L1 over all",
            Ledger,
            "(_predecessor, _isWhollyWithheld) = (epoch, true);\n        _withheldUntil = Instant.Later(_withheldUntil, now + LeaseTerm.OfPart);",
            "_predecessor = epoch;"),
        new(
            "One that has a successor goes on",
            "Successor",
            Ledger,
            "HasSuccessor |= epoch > _epoch;",
            "HasSuccessor |= epoch < 0;"),
        new(
            "What is lent is not told in the new policy's units",
            "Rate",
            Ledger,
            "        _parts?.ChangeUnit(costBefore, _rest.Cost, _rest.FullRate);\n",
            ""),
    ];

    public static TheoryData<string> Names => [.. Bugs.Select(bug => bug.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Simulator_PlantedBug_IsFoundByTheCheckerForIt(string name) =>
        Bugs.Single(bug => bug.Name == name).Find().Should().NotBeNull("within 6,000 seeds");

    [Theory]
    [InlineData("The lender sets aside the new rate only")]
    [InlineData("Room is freed before the node says so")]
    [InlineData("More than what was wanted")]
    [InlineData("A part that has ended is given what it wanted")]
    [InlineData("The answer to an older request is taken")]
    [InlineData("The state of an older request is taken")]
    [InlineData("Tokens are given back twice")]
    public void TinyWorld_PlantedBug_IsFound(string name) =>
        (Bugs.Single(bug => bug.Name == name) with { FoundBy = "Tiny" }).Find().Should().NotBeNull("within {0} steps", TinyWorld.Steps);
}
