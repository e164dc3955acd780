using System.Diagnostics;
using System.Text.Json.Serialization;

namespace SiloHost;

/// <summary>Stands for the service that this instance depends on. How it behaves can be set while it runs.</summary>
internal sealed class SimulatedDownstream
{
    private volatile DownstreamBehaviour _behaviour = new();

    public DownstreamBehaviour Behaviour
    {
        get => _behaviour;
        set => _behaviour = value;
    }

    /// <returns>How long it took.</returns>
    /// <exception cref="DownstreamException">It failed, as its failure rate says it should.</exception>
    public async ValueTask<TimeSpan> CallAsync(CancellationToken cancellationToken)
    {
        var startedAt = Stopwatch.GetTimestamp();
        var behaviour = _behaviour;
        await Task.Delay(TimeSpan.FromMilliseconds(behaviour.LatencyMs), cancellationToken);
        if (Random.Shared.NextDouble() < behaviour.FailureRate)
            throw new DownstreamException("The downstream failed.");
        return Stopwatch.GetElapsedTime(startedAt);
    }
}

/// <summary>How the downstream answers. A misspelled setting is refused, not taken for its default.</summary>
/// <param name="FailureRate">The share of calls that fail: 0 to 1.</param>
/// <param name="LatencyMs">How long a call takes, whether it fails or not: 0 to 60,000.</param>
[JsonUnmappedMemberHandling(JsonUnmappedMemberHandling.Disallow)]
internal sealed record DownstreamBehaviour(double FailureRate = 0, double LatencyMs = 20)
{
    /// <summary>The faults by setting, as a validation problem wants them.</summary>
    public Dictionary<string, string[]> Validate()
    {
        var faults = new Dictionary<string, string[]>();
        if (FailureRate is not (>= 0 and <= 1))
            faults.Add("failureRate", [$"{FailureRate}: 0 to 1 is legal."]);
        if (LatencyMs is not (>= 0 and <= 60_000))
            faults.Add("latencyMs", [$"{LatencyMs}: 0 to 60,000 is legal."]);
        return faults;
    }
}

/// <summary>The downstream was reached and failed.</summary>
internal sealed class DownstreamException(string message) : Exception(message);
