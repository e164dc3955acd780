using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Unhealthy while the cluster cannot be reached; degraded where, since the last look, more than a share of the decisions was made without their
/// authorities.
/// </summary>
internal sealed class ToolkitHealthCheck(IGrainFactory grains, NodeMeter meter, NodeClock clock, double maxFallbackShare, TimeSpan timeout)
    : IHealthCheck
{
    private readonly Lock _lock = new();
    private (long All, long Fallback) _seen;

    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var (decisions, share) = Look();
        var data = new Dictionary<string, object> { ["decisions"] = decisions, ["fallbackShare"] = share };
        try
        {
            var silos = await grains.GetGrain<IManagementGrain>(0).GetHosts(onlyActive: true, CancellationToken.None)
                .WaitAsync(timeout, clock.Time, cancellationToken).ConfigureAwait(false);
            data["silos"] = silos.Count;
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            return new HealthCheckResult(context.Registration.FailureStatus, "The cluster does not answer.", e, data);
        }

        return share > maxFallbackShare
            ? HealthCheckResult.Degraded(
                string.Create(
                    System.Globalization.CultureInfo.InvariantCulture,
                    $"{share * 100:0.##} % of {decisions} decisions since the last look were made without the authority."),
                data: data)
            : HealthCheckResult.Healthy(data: data);
    }

    private (long Decisions, double Share) Look()
    {
        lock (_lock)
        {
            var total = meter.Total;
            var (decisions, fallback) = (total.All - _seen.All, total.Fallback - _seen.Fallback);
            _seen = total;
            return (decisions, decisions == 0 ? 0 : (double)fallback / decisions);
        }
    }
}
