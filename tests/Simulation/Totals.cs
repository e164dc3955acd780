namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>What is counted in a world, after its warm-up.</summary>
internal sealed class Totals(int nodes)
{
    private readonly long[] _admittedBy = new long[nodes];
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

    public void Arrived(int centralTokens, bool isMeasured)
    {
        if (!isMeasured)
            return;
        Requests++;
        CentralTokens += centralTokens;
    }

    public void Admitted(int node, int tokens, bool isMeasured)
    {
        if (!isMeasured)
            return;
        AdmittedTokens += tokens;
        _admittedBy[node] += tokens;
    }

    public void Decided(TimeSpan wait, in Central central, bool isAdmitted, bool isMeasured)
    {
        if (!isMeasured)
            return;
        if (!isAdmitted)
        {
            RefusedCount++;
            RefusedBelowSupply += central.IsAdmitted ? 1 : 0;
        }
        else if (_waits.Count < 2_000_000)
        {
            _waits.Add(wait - central.Wait);
        }
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
