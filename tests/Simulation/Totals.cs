namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>What is counted in a world, after its warm-up.</summary>
internal sealed class Totals(int nodes)
{
    private readonly long[] _admittedBy = new long[nodes];
    private readonly long[] _callsBy = new long[nodes];
    private readonly List<TimeSpan> _waits = [];

    public long Requests { get; private set; }

    public long CentralAdmitted { get; private set; }

    public long AdmittedTokens { get; private set; }

    public long RefusedCount { get; private set; }

    /// <summary>Refused, though a central bucket with the same callers had admitted them.</summary>
    public long RefusedBelowSupply { get; private set; }

    public long Calls { get; private set; }

    public IReadOnlyList<long> AdmittedBy => _admittedBy;

    public IReadOnlyList<long> CallsBy => _callsBy;

    public void Arrived(bool wouldBeAdmitted, bool isMeasured)
    {
        if (!isMeasured)
            return;
        Requests++;
        CentralAdmitted += wouldBeAdmitted ? 1 : 0;
    }

    public void Admitted(int node, int tokens, bool isMeasured)
    {
        if (!isMeasured)
            return;
        AdmittedTokens += tokens;
        _admittedBy[node] += tokens;
    }

    public void Refused(bool wouldBeAdmitted, bool isMeasured)
    {
        if (!isMeasured)
            return;
        RefusedCount++;
        RefusedBelowSupply += wouldBeAdmitted ? 1 : 0;
    }

    public void Call(int node, bool isMeasured)
    {
        if (!isMeasured)
            return;
        Calls++;
        _callsBy[node]++;
    }

    public void Waited(TimeSpan wait, bool isMeasured)
    {
        if (isMeasured && _waits.Count < 1_000_000)
            _waits.Add(wait);
    }

    /// <summary>Of those who did not find their token at once: how long until they knew.</summary>
    public TimeSpan Wait(double quantile)
    {
        if (_waits.Count == 0)
            return default;
        _waits.Sort();
        return _waits[(int)(quantile * (_waits.Count - 1))];
    }
}
