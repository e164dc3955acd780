namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>What is counted in a world, after its warm-up.</summary>
internal sealed class Totals(int nodes)
{
    private const int MostWaits = 2_000_000;

    private readonly long[] _admittedBy = new long[nodes];
    private readonly long[] _askedBy = new long[nodes];
    private readonly long[] _callsBy = new long[nodes];
    private readonly int[] _callsInSecond = new int[nodes];
    private readonly List<TimeSpan> _waits = [];
    private long _second = -1;

    public long Requests { get; private set; }

    /// <summary>Tokens that one central bucket gave to the same callers.</summary>
    public long CentralTokens { get; private set; }

    public long AdmittedTokens { get; private set; }

    public long RefusedCount { get; private set; }

    /// <summary>Refused, though one central bucket with the same callers had admitted them.</summary>
    public long RefusedBelowSupply { get; private set; }

    public long Calls { get; private set; }

    /// <summary>The most calls that one node made in one second.</summary>
    public int MostCallsInASecond { get; private set; }

    public IReadOnlyList<long> AdmittedBy => _admittedBy;

    public IReadOnlyList<long> CallsBy => _callsBy;

    /// <summary>What stood in the rest and the parts, and in the central bucket, by the end more than in the beginning.</summary>
    public (double Here, double Central) Saved { get; private set; }

    /// <summary>Nodes that have a part at the end.</summary>
    public int Dense { get; private set; }

    /// <summary>
    /// What was admitted, as a share of what one central bucket admitted to the same callers. What each had in store more at the end than in the
    /// beginning counts as admitted.
    /// </summary>
    public double Utilisation => (AdmittedTokens + Saved.Here) / (CentralTokens + Saved.Central);

    public void Begin(double stock, double central) => Saved = (-stock, -central);

    public void End(double stock, double central, int dense) => (Saved, Dense) = ((Saved.Here + stock, Saved.Central + central), dense);

    public void Arrived(int node, int tokens, int centralTokens, bool isMeasured)
    {
        if (!isMeasured)
            return;
        Requests++;
        _askedBy[node] += tokens;
        CentralTokens += centralTokens;
    }

    public void Admitted(int node, int tokens, bool isMeasured)
    {
        if (!isMeasured)
            return;
        AdmittedTokens += tokens;
        _admittedBy[node] += tokens;
    }

    /// <param name="central">What became of him there.</param>
    /// <param name="isAdmitted">And here.</param>
    /// <param name="wait">After so long; null where that does not matter.</param>
    /// <param name="isMeasured">Whether anything does.</param>
    public void Decided(in Central central, bool isAdmitted, TimeSpan? wait, bool isMeasured)
    {
        if (!isMeasured)
            return;
        if (!isAdmitted)
        {
            RefusedCount++;
            RefusedBelowSupply += central is { IsAdmitted: true, IsBelowSupply: true } ? 1 : 0;
        }
        else if (wait is { } waited && _waits.Count < MostWaits)
        {
            _waits.Add(waited - central.Wait);
        }
    }

    /// <summary>
    /// Jain's index over what each node was admitted as a share of its max-min share (Jain, Chiu and Hawe 1984). Left out are those whose share is
    /// less than so many tokens: they have it by chance.
    /// </summary>
    public double Fairness(double leastShare)
    {
        double left = AdmittedTokens;
        var level = double.PositiveInfinity;
        var asked = _askedBy.Order().ToArray();
        for (var i = 0; i < asked.Length && double.IsInfinity(level); i++)
        {
            if (asked[i] >= left / (asked.Length - i))
                level = left / (asked.Length - i);
            left -= asked[i];
        }

        double count = 0, sum = 0, squares = 0;
        for (var i = 0; i < asked.Length; i++)
        {
            var share = Math.Min(_askedBy[i], level);
            if (share < leastShare)
                continue;
            var x = _admittedBy[i] / share;
            (count, sum, squares) = (count + 1, sum + x, squares + (x * x));
        }

        return count == 0 || squares == 0 ? 1 : sum * sum / count / squares;
    }

    public void Call(int node, bool isMeasured, Instant now)
    {
        if (!isMeasured)
            return;
        Calls++;
        _callsBy[node]++;
        if (now.Ticks / TimeSpan.TicksPerSecond != _second)
        {
            _second = now.Ticks / TimeSpan.TicksPerSecond;
            Array.Clear(_callsInSecond);
        }

        MostCallsInASecond = Math.Max(MostCallsInASecond, ++_callsInSecond[node]);
    }

    /// <summary>What those who were admitted waited for beyond what they had waited for at one central bucket.</summary>
    public TimeSpan ExtraWait(double quantile)
    {
        if (_waits.Count == 0)
            return default;
        _waits.Sort();
        return _waits[(int)(quantile * (_waits.Count - 1))];
    }
}
