using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>
/// What is in a record as a version that is out there wrote it: it must be read for ever, or the format be raised. Where a member is added, these
/// stay as they are.
/// </summary>
public sealed class MemoryTests
{
    private static readonly Borrower Node = new(new Guid("00000001-0002-0003-0405-060708090a0b"), 3);

    private static LimiterMemory Limiter => new(
        7,
        6,
        Seconds(0.5),
        true,
        3_000,
        12_345,
        [
            new PartMemory(
                Node,
                new PartGrant(4, 7, 10, 2, 1, 99, 3_000, Seconds(0.75), default, default, 100, 5),
                99,
                Seconds(0.25),
                3,
                98,
                10,
                99,
                17,
                2,
                55.5,
                Seconds(0.1)),
        ],
        [new PromiseMemory(2, Seconds(0.3))],
        [new WaiterMemory(Node.Node, 3, 8, 1, Seconds(0.4))],
        20_000);

    private static BreakerMemory Breaker => new(
        7,
        Seconds(1),
        9,
        8_000,
        new StatesMemory(
            CircuitState.Open, 7_999, CircuitCause.Tripped, "by hand", 0, 0, 2, Seconds(12), Seconds(1), Seconds(10), [new Outcomes(1, 2, 3)]),
        [new TrialMemory(7_998, true, 7_999, Node, Seconds(3))],
        [new VerdictMemory(Node, Seconds(0.1), Seconds(0.2), 5, 7_990, 1, 7_980, Seconds(1.5), 9, null, 0)],
        [new OrderMemory(Node.Node, 3, 2, 9, Seconds(4))]);

    private static BulkheadMemory Bulkhead => new(
        7,
        Seconds(60),
        Seconds(2),
        8_000,
        9,
        true,
        6,
        [
            new LoanMemory(
                Node,
                5,
                new SlotsGrant(5, 7, 9, 2, 1, 0, Seconds(15), 7_999, 1, 0, 0, true, 6, null),
                3,
                7_999,
                2,
                2,
                Seconds(14),
                Seconds(30),
                Seconds(1),
                "node 1",
                9,
                [new SlotsAsk(1, 1, true)],
                1,
                4,
                2),
        ],
        [new OrderMemory(Node.Node, 3, 2, 9, Seconds(4))]);

    [Fact]
    public void Memory_OfALimiter_IsReadAsItWasWritten() => ReadsAs(
        "IOgAHQEZgUBLTAAAAAAAAQMBwl0BlAMDIQADIegg6EAhAQAAAAIAAwAEBQYHCAkKCwEN4CHoABEBHQEpAQkBBQEaAwHCXYHgcHIAAAAAAIEAAAAAAAAAAIEA"
        + "AAAAAAAAAAEiAwEVIeiAAAAAAAAAAACBAAAAAAAAAADg4AEaA4GgJSYAAAAAAAENARIDASkBGgMBRQEJgQAAAAAAwEtAgUBCDwAAAAAA4OAhAAMh6AAJgcDG"
        + "LQAAAAAA4OAhAAMh6EAhAQAAAAIAAwAEBQYHCAkKCwENASEBBYEACT0AAAAAAODgAQTiBOA=",
        Limiter);

    [Fact]
    public void Memory_OfABreaker_IsReadAsItWasWritten() => ReadsAs(
        "IOgAHYGAlpgAAAAAAAElAQL6IegABQH6+QEhQQ9ieSBoYW5kAQEBAQEJgQAOJwcAAAAAgYCWmAAAAAAAgQDh9QUAAAAAIQADIegABQEJAQ3g4OAhAAMh6ADy"
        + "+QEDAfr5IehAIQEAAAACAAMABAUGBwgJCgsBDeCBgMPJAQAAAADg4CEAAyHoIOhAIQEAAAACAAMABAUGBwgJCgsBDeCBQEIPAAAAAACBgIQeAAAAAAABFQGy"
        + "+QEFAWL5gcDh5AAAAAAAASXBAQEB4OAhAAMh6EAhAQAAAAIAAwAEBQYHCAkKCwENAQkBJYEAWmICAAAAAODg4A==",
        Breaker);

    [Fact]
    public void Memory_OfABulkhead_IsReadAsItWasWritten() => ReadsAs(
        "IOgAHYEARsMjAAAAAIEALTEBAAAAAAEC+gElAQMBGSEAAyHoIOhAIQEAAAACAAMABAUGBwgJCgsBDeABFSHoABUBHQElAQkBBQEBgYDR8AgAAAAAAfr5AQUB"
        + "AQEBAQMBGcEB4AENAfr5AQkBCYEAO1gIAAAAAIEAo+ERAAAAAIGAlpgAAAAAAEENbm9kZSAxASUhAAMh6AAFAQUBA+DgAQUBEQEJ4OAhAAMh6EAhAQAAAAIA"
        + "AwAEBQYHCAkKCwENAQkBJYEAWmICAAAAAODg4A==",
        Bulkhead);

    private static void ReadsAs<T>(string written, T memory) =>
        FakeStorage.Read<T>(Convert.FromBase64String(written)).Should().BeEquivalentTo(memory, options => options.ComparingByMembers<T>());
}
