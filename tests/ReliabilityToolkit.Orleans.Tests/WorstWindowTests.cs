using CsCheck;
using SiloHost;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>The sample's driver judges real runs by this: so it is itself held against trying every window.</summary>
public sealed class WorstWindowTests
{
    [Fact]
    public void Window_OneAdmissionTooMany_IsAViolation()
    {
        var limit = new TokenLimit(2, 1, TimeSpan.FromTicks(10));
        WorstWindow.Find([new(0, 1), new(3, 4), new(5, 9)], limit).Should().Be(new Window(0, 9, 3, 0.1));
        WorstWindow.Find([new(0, 1), new(3, 4), new(5, 10)], limit)!.Value.IsViolation.Should().BeFalse("the third may have been decided at 10");
        WorstWindow.Find([], limit).Should().BeNull();
    }

    [Fact]
    public void Window_AnyAdmissions_IsTheWorstOfAll() =>
        Gen.Select(Gen.Int[1, 5], Gen.Int[1, 20], Gen.Int[1, 20], Gen.Select(Gen.Int[0, 100], Gen.Int[0, 15]).Array[1, 40]).Sample(
            (burst, tokens, period, calls) =>
            {
                var limit = new TokenLimit(burst, tokens, TimeSpan.FromTicks(period));
                var admissions = calls.Select(call => new Admission(call.Item1, call.Item1 + call.Item2)).ToArray();
                var worst = double.MinValue;
                foreach (var first in admissions)
                {
                    foreach (var last in admissions)
                    {
                        var inside = admissions.Count(admission => admission.SentAt >= first.SentAt && admission.AnsweredAt <= last.AnsweredAt);
                        if (inside > 0)
                            worst = Math.Max(worst, inside - burst - ((last.AnsweredAt - first.SentAt) * (double)tokens / period));
                    }
                }

                WorstWindow.Find(admissions, limit)!.Value.Excess.Should().BeApproximately(worst, 1e-9);
            },
            iter: 3_000);
}
