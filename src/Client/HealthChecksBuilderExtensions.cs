using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Options;

namespace ReliabilityToolkit.Orleans;

/// <summary>Adds the toolkit to an application's health checks.</summary>
public static class HealthChecksBuilderExtensions
{
    /// <summary>
    /// A check of this node: failed while the cluster cannot be reached within <c>CallTimeout</c>; degraded where, since the check before, more than
    /// <paramref name="maxFallbackShare"/> of the decisions were made without their authorities.
    /// </summary>
    /// <param name="builder">Of the application, in which the toolkit is registered.</param>
    /// <param name="name">Of the check. Default "reliability_toolkit".</param>
    /// <param name="maxFallbackShare">Default 0.01; 0 to 1.</param>
    /// <param name="failureStatus">What a cluster that cannot be reached means. Default: unhealthy.</param>
    /// <param name="tags">Of the check.</param>
    /// <exception cref="ArgumentOutOfRangeException">The share is not within 0 to 1.</exception>
    public static IHealthChecksBuilder AddReliabilityToolkit(
        this IHealthChecksBuilder builder,
        string name = "reliability_toolkit",
        double maxFallbackShare = 0.01,
        HealthStatus? failureStatus = null,
        IEnumerable<string>? tags = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        if (maxFallbackShare is not (>= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(maxFallbackShare), maxFallbackShare, "A share is 0 to 1.");
        ToolkitHealthCheck? check = null; // one for all looks: it remembers the last
        return builder.Add(new HealthCheckRegistration(
            name,
            services => LazyInitializer.EnsureInitialized(ref check, () => new ToolkitHealthCheck(
                services.GetRequiredService<IGrainFactory>(),
                services.GetRequiredService<NodeMeter>(),
                services.GetRequiredService<NodeClock>(),
                maxFallbackShare,
                services.GetRequiredService<IOptions<ReliabilityToolkitClientOptions>>().Value.CallTimeout)),
            failureStatus,
            tags));
    }
}
