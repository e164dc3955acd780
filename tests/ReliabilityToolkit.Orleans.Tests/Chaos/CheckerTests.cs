using ReliabilityToolkit.Orleans.Chaos;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A history that was broken on purpose is refused, by the checker that is there for it.</summary>
public sealed class CheckerTests
{
    private const long Second = TimeSpan.TicksPerSecond;

    [Fact]
    public void History_ThatKeepsAll_IsTakenToTheLast()
    {
        var verdict = Checker.Check(Kept());
        verdict.IsKept.Should().BeTrue();
        verdict.Should().Match<Verdict>(it => it.Admissions == 600 && it.Permits == 6 && it.Calls == 2 && it.Trips == 1 && it.Faults == 1);
        verdict.Utilisation.Should().BeApproximately(1, 0.01);
        verdict.OutageMax.Should().BeLessThan(TimeSpan.FromSeconds(1));
    }

    [Fact]
    public void History_WithATokenTooMany_IsRefused() =>
        Refuse(new Happening(What.Admitted, "hot", Second / 2, Second / 2)).Excess.Should().BePositive();

    [Fact]
    public void History_WithASlotTooMany_IsRefused() => Refuse(
        new Happening(What.Held, "seventh", Second / 2, Second / 2), new Happening(What.Held, "seventh", Second, Second)).OverCapacity.Should().Be(1);

    [Fact]
    public void History_WithATripForgotten_IsRefused() =>
        Refuse(new Happening(What.Entered, "payments", 12 * Second, 13 * Second, "Closed")).Forgotten.Should().Be(1);

    [Fact]
    public void History_WithATrialTooMany_IsRefused() => Refuse(
        [.. Enumerable.Range(0, 3).SelectMany(static i => Spans(What.Trying, $"trial-{i}", 30 * Second, 31 * Second))]).TrialsTooMany.Should().Be(1);

    [Fact]
    public void Happening_Written_IsReadAgain_AndHalfALineIsNot()
    {
        var happening = new Happening(What.Held, "client-1-2", 3, 4);
        Happening.Parse(happening.ToString()).Should().Be(happening);
        Happening.Parse(happening.ToString()[..^4]).Should().BeNull();
    }

    // Just as much as is promised, of everything.
    private static IEnumerable<Happening> Kept() =>
    [
        .. Enumerable.Range(0, 200).Select(static _ => new Happening(What.Admitted, "hot", 0, 0)),
        .. Enumerable.Range(1, 400).Select(static i => new Happening(What.Admitted, "hot", i * Second / 400, i * Second / 400)),
        .. Enumerable.Range(0, 6).SelectMany(static i => Spans(What.Held, $"permit-{i}", 0, Second)),
        .. Enumerable.Range(0, 2).SelectMany(static i => Spans(What.Trying, $"trial-{i}", 20 * Second, 21 * Second)),
        new Happening(What.Tripped, "payments", 10 * Second, 11 * Second),
        new Happening(What.Entered, "payments", (11 * Second) - 1, 12 * Second, "Closed"),
        new Happening(What.Entered, "payments", 17 * Second, 18 * Second, "HalfOpen"),
        new Happening(What.Fault, "kill-silo", 0, 0, "silo-1"),
    ];

    private static Happening[] Spans(What what, string name, long from, long to) =>
        [new Happening(what, name, from, from), new Happening(what, name, to, to)];

    private static Verdict Refuse(params Happening[] broken)
    {
        var verdict = Checker.Check(Kept().Concat(broken));
        verdict.IsKept.Should().BeFalse();
        return verdict;
    }
}
