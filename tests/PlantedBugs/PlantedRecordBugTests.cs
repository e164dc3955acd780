namespace ReliabilityToolkit.Orleans.PlantedBugs;

/// <summary>The same of what an authority takes over from the one before it.</summary>
public sealed class PlantedRecordBugTests
{
    private const string Tenure = "Grains/Authorities/Tenure.cs";
    private const string Orders = "Grains/Authorities/PendingOrders.cs";
    private const string Tokens = "Grains/RateLimiting/TokenLedger.cs";
    private const string Parts = "Grains/RateLimiting/TokenParts.cs";
    private const string States = "Abstractions/CircuitBreaking/CircuitStates.cs";
    private const string Circuit = "Grains/CircuitBreaking/Circuit.cs";
    private const string Holders = "Grains/CircuitBreaking/VerdictHolders.cs";
    private const string Slots = "Grains/Bulkheads/SlotLedger.cs";
    private const string Loans = "Grains/Bulkheads/SlotLoans.cs";

    private static readonly PlantedBug[] Bugs =
    [
        // Whoever was lost may have lent all there was.
        new(
            "A lost predecessor is taken for none",
            "L1 over all",
            Tenure,
            "found.Epoch + NumbersOfALost), Predecessor.Lost",
            "found.Epoch + NumbersOfALost), Predecessor.None"),
        new(
            "A lost predecessor is taken for none",
            "K1",
            Tenure,
            "found.Epoch + NumbersOfALost), Predecessor.Lost",
            "found.Epoch + NumbersOfALost), Predecessor.None"),
        new(
            "A successor begins with the state of a new one",
            "B1",
            Circuit,
            "Predecessor: Predecessor.Lost, Memory: { } last }",
            "Predecessor: Predecessor.None, Memory: { } last }"),
        new(
            "A successor lets trials through beside those of the lost one",
            "B2",
            States,
            "_openUntil = Instant.Later(_openUntil, trialsOverAt);",
            "_openUntil = then;", Near: 750),
        new("A successor has forgotten that it was closed", "K4", Slots, "IsClosed = heritage.Memory?.IsClosed == true;", "IsClosed = false;"),

        // What must outlive an authority is recorded before anybody hears of it.
        new(
            "A switch is heard of before it is recorded",
            "B1",
            Tenure,
            "machine.Decrees > _recordedDecrees ||",
            "machine.Decrees > long.MaxValue - 1 ||", Near: 2250),
        new(
            "That it is closed is heard before it is recorded",
            "K4",
            Tenure,
            "machine.Decrees > _recordedDecrees ||",
            "machine.Decrees > long.MaxValue - 1 ||", Near: 220),

        // Of two that live at once only one decides.
        new("A fenced one decides for ever", "L1 over all", Tenure, "now < _provenUntil && !IsOver", "!IsOver"),
        new(
            "A successor does not wait for the fence",
            "L1 over all",
            Tenure,
            "durability == Durability.Fenced ? LeaseTerm.OfOwnership : default;",
            "default(TimeSpan);"),
        new(
            "The fence is shortened by what a node says",
            "L1 over all",
            Tokens,
            "Instant.Later(_withheldUntil, now + LeaseTerm.OfPart);",
            "now + LeaseTerm.OfPart;"),
        new(
            "A switch does not wait for the fence",
            "B1",
            Circuit,
            "now + LeaseTerm.OfVerdict + heritage.Fence;",
            "now + LeaseTerm.OfVerdict;",
            Near: 1100),
        new("Slots do not wait for the fence", "K1", Slots, "now + policy.Lease + heritage.Fence : now;", "now + policy.Lease : now;", Near: 280),

        // Whoever carries on forgets nothing, and is not misled by a wall clock.
        new(
            "The time between is taken as the wall clocks tell it",
            "Sum",
            Tenure,
            "found.CapturedAt) - LeaseTerm.ClocksApart;",
            "found.CapturedAt) + LeaseTerm.ClocksApart;"),
        new("Parts that are lent are forgotten", "Sum", Parts, "foreach (var memory in parts)", "foreach (var memory in parts.Take(0))"),
        new("Parts end when their lender goes", "Term", Parts, "now + memory.EndsIn, memory.HeldSequence", "now, memory.HeldSequence"),
        new("What callers were promised is forgotten", "L1", Tokens, "isWhole ? told : [],", "[],", Near: 700),
        new("Verdicts that are lent are forgotten", "B1", Holders, "memory.Knows, now + memory.AdmitsFor", "memory.Knows, now", Near: 430),
        new(
            "Trials under way are forgotten",
            "B2",
            Circuit,
            "foreach (var trial in memory.Trials)",
            "foreach (var trial in memory.Trials.Take(0))",
            Near: 1000),
        new(
            "What lies idle on a node is forgotten",
            "K1",
            Loans,
            "Lend(loan, memory.Slots, memory.InUse, now);",
            "Lend(loan, memory.InUse, memory.InUse, now);", Near: 2800),
        new("Loans end when their lender goes", "K1", Loans, "Extend(loan, memory.EndsIn, now);", "Extend(loan, default, now);"),
        new(
            "An order that comes again is given anew",
            "K4",
            Orders,
            "foreach (var order in orders)",
            "foreach (var order in orders.Take(0))",
            Near: 3240),
    ];

    public static TheoryData<string, string> Names
    {
        get
        {
            var names = new TheoryData<string, string>();
            foreach (var bug in Bugs)
                names.Add(bug.Name, bug.FoundBy);
            return names;
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Simulator_PlantedBug_IsFoundByTheCheckerForIt(string name, string foundBy) =>
        Bugs.Single(bug => bug.Name == name && bug.FoundBy == foundBy).Find().Should().NotBeNull("within 6,000 seeds");
}
