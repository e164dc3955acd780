namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>
/// Contenders measured in turns, A B A B, so that what else the machine does in those seconds meets all of them alike. Each round begins with another
/// one.
/// </summary>
internal sealed class Contest
{
    private readonly Dictionary<Contender, Sample[]> _samples;

    private Contest(Dictionary<Contender, Sample[]> samples) => _samples = samples;

    public static async Task<Contest> RunAsync(Settings settings, int callers, params Contender[] contenders)
    {
        // Twice, for the compiler's second tier of one contender may come while another one runs.
        for (var i = 0; i < 2; i++)
        {
            foreach (var contender in contenders)
                await Sample.TakeAsync(contender, callers, settings.WarmUp);
        }

        var samples = contenders.ToDictionary(contender => contender, _ => new Sample[settings.Rounds]);
        for (var round = 0; round < settings.Rounds; round++)
        {
            for (var turn = 0; turn < contenders.Length; turn++)
            {
                var contender = contenders[(round + turn) % contenders.Length];
                samples[contender][round] = await Sample.TakeAsync(contender, callers, settings.Round);
            }
        }

        return new Contest(samples);
    }

    public double Median(Contender contender, Func<Sample, double> value) => Statistics.Median(_samples[contender].Select(value));

    public (double Least, double Most) Range(Contender contender, Func<Sample, double> value) =>
        (_samples[contender].Min(value), _samples[contender].Max(value));

    /// <summary>The peer's time by ours, round by round: above 1, ours is the faster.</summary>
    public IReadOnlyList<double> Ratios(Contender ours, Contender peer) =>
        [.. _samples[ours].Zip(_samples[peer], (one, other) => one.OperationsPerSecond / other.OperationsPerSecond)];
}
