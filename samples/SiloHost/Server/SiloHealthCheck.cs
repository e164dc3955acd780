using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace SiloHost;

/// <summary>Healthy while the cluster's membership, as this silo knows it, counts this silo among the active ones.</summary>
internal sealed class SiloHealthCheck(IClusterMembershipService membership, ILocalSiloDetails self) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var status = membership.CurrentSnapshot.GetSiloStatus(self.SiloAddress);
        return Task.FromResult(status == SiloStatus.Active
            ? HealthCheckResult.Healthy()
            : new HealthCheckResult(context.Registration.FailureStatus, $"The silo is {status}."));
    }
}
