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

    /// <summary>
    /// Guards the calls of grains on this silo that carry <see cref="RateLimitedAttribute"/>, <see cref="BulkheadedAttribute"/> or
    /// <see cref="CircuitBrokenAttribute"/>. All silos on which such grains live should say so. Other calls cost a look-up more.
    /// </summary>
    /// <param name="silo">The silo; it has <see cref="AddReliabilityToolkit"/>.</param>
    public static ISiloBuilder AddReliabilityToolkitCallGuards(this ISiloBuilder silo)
    {
        ArgumentNullException.ThrowIfNull(silo);
        return silo.AddIncomingGrainCallFilter<CallGuardFilter>();
    }
}
