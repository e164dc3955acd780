namespace ReliabilityToolkit.Orleans;

/// <summary>Adds the toolkit to a silo.</summary>
public static class SiloBuilderExtensions
{
    /// <summary>
    /// Makes the silo an authority for limiters, breakers and bulkheads, and gives the application in it <see cref="IReliabilityToolkit"/>. The
    /// node's own settings are options: <c>services.Configure&lt;ReliabilityToolkitClientOptions&gt;(…)</c>.
    /// </summary>
    /// <param name="silo">The silo.</param>
    /// <param name="configure">Says which policies there are. A silo whose policies have faults does not start, and says all of them at once.</param>
    public static ISiloBuilder AddReliabilityToolkit(this ISiloBuilder silo, Action<ReliabilityToolkitBuilder> configure)
    {
        ArgumentNullException.ThrowIfNull(silo);
        ArgumentNullException.ThrowIfNull(configure);
        silo.Services.AddReliabilityToolkitGrains();
        silo.Services.AddReliabilityToolkitClient<ISiloLifecycle>();
        configure(new ReliabilityToolkitBuilder(silo));
        return silo;
    }
}
