namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>Turns what a contest measured into rows.</summary>
internal static class ContestRows
{
    public static Row CallsPerSecond(this Contest contest, Contender contender, Contender? peer = null, Target? target = null) =>
        contest.ToRow(contender, sample => sample.OperationsPerSecond, "ops/s", peer, target);

    public static Row NanosecondsPerCall(this Contest contest, Contender contender, Contender? peer = null, Target? target = null) =>
        contest.ToRow(contender, sample => sample.NanosecondsPerOperation, "ns/op", peer, target);

    private static Row ToRow(this Contest contest, Contender contender, Func<Sample, double> value, string unit, Contender? peer, Target? target) =>
        new(
        contender.Name,
        contest.Median(contender, value),
        unit,
        contest.Median(contender, sample => sample.AllocatedBytes),
        peer?.Name,
        peer is null ? null : Ratio.Of(contest.Ratios(contender, peer)),
        target,
        contest.Range(contender, value));
}
