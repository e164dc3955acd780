using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Orleans.Configuration;

namespace ReliabilityToolkit.Orleans;

/// <summary>Says which limiters, breakers and bulkheads a silo has. Handed to the delegate of <c>AddReliabilityToolkit</c>.</summary>
/// <remarks>What is said later wins, setting by setting; code and configuration may be mixed. All silos of a cluster should say the same.</remarks>
public sealed class ReliabilityToolkitBuilder
{
    private readonly ISiloBuilder _silo;

    internal ReliabilityToolkitBuilder(ISiloBuilder silo) => _silo = silo;

    /// <summary>Adds a rate limiter, or changes the one of that name.</summary>
    /// <param name="policy">Its name: 1 to 64 of A-Z a-z 0-9 . _ -</param>
    /// <param name="configure">Sets what differs from the defaults.</param>
    public ReliabilityToolkitBuilder AddRateLimiter(string policy, Action<RateLimiterPolicy>? configure = null) =>
        Add(policy, policies => policies.RateLimiters, configure);

    /// <summary>Adds a circuit breaker, or changes the one of that name.</summary>
    /// <param name="policy">Its name: 1 to 64 of A-Z a-z 0-9 . _ -</param>
    /// <param name="configure">Sets what differs from the defaults.</param>
    public ReliabilityToolkitBuilder AddCircuitBreaker(string policy, Action<CircuitBreakerPolicy>? configure = null) =>
        Add(policy, policies => policies.CircuitBreakers, configure);

    /// <summary>Adds a bulkhead, or changes the one of that name.</summary>
    /// <param name="policy">Its name: 1 to 64 of A-Z a-z 0-9 . _ -</param>
    /// <param name="configure">Sets what differs from the defaults.</param>
    public ReliabilityToolkitBuilder AddBulkhead(string policy, Action<BulkheadPolicy>? configure = null) =>
        Add(policy, policies => policies.Bulkheads, configure);

    /// <summary>
    /// Reads policies from a configuration section with the children RateLimiters, CircuitBreakers and Bulkheads, each of them policies by name;
    /// follows its changes. A setting that does not exist or cannot be read is a fault like any other.
    /// </summary>
    /// <param name="section">Usually <c>configuration.GetSection("ReliabilityToolkit")</c>.</param>
    public ReliabilityToolkitBuilder Bind(IConfiguration section)
    {
        ArgumentNullException.ThrowIfNull(section);
        _silo.Services.AddSingleton<IOptionsChangeTokenSource<ReliabilityToolkitPolicies>>(
            new ConfigurationChangeTokenSource<ReliabilityToolkitPolicies>(section));
        _silo.Services.Configure<ReliabilityToolkitPolicies>(policies => PolicyBinder.Bind(section, policies));
        return this;
    }

    /// <summary>
    /// Uses Orleans' strongly consistent grain directory in place of the default one, under which any silo that leaves, also in a planned restart,
    /// makes about 1/N of the grains on the others forget. All silos must say the same.
    /// </summary>
    /// <param name="rangeLease">
    /// How long a silo that died without a goodbye keeps its grains from coming up elsewhere, less the longest that finding out may take
    /// (<c>MaxProbeTimeout · NumMissedProbesLimit</c> of the membership options): longer is stricter, for the dead silo, should it live on unseen,
    /// has had time to notice; shorter is sooner available; no more than that product, or zero, means at once. A planned stop never waits. 0 to 10
    /// minutes; Orleans' own default is 30 s.
    /// </param>
    /// <exception cref="ArgumentOutOfRangeException">The lease is negative or above 10 minutes.</exception>
    public ReliabilityToolkitBuilder UseStronglyConsistentDirectory(TimeSpan rangeLease)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(rangeLease, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(rangeLease, TimeSpan.FromMinutes(10));
#pragma warning disable ORLEANSEXP003 // marked experimental in Orleans 10; here it is an option
        _silo.AddDistributedGrainDirectory();
#pragma warning restore ORLEANSEXP003
        _silo.Services.Configure<GrainDirectoryOptions>(options => options.RangeLeaseDuration = rangeLease);
        return this;
    }

    /// <summary>
    /// Stops the host, with the reason in the log, where Orleans finds that it cannot go on: above all when the cluster has given this silo up,
    /// because it stood still or was cut off. By default Orleans ends the whole process then, two seconds after it has heard of it, and with it
    /// whatever else runs there (<c>Environment.FailFast</c>). A host that stops in order serves its other work to the end; until it has stopped,
    /// grains of it may still answer callers in the same process: what that means for limits, see docs/guarantees.md. Whatever restarts the process
    /// must do so for either end.
    /// </summary>
    public ReliabilityToolkitBuilder StopHostWhenEvicted()
    {
        _silo.Services.AddSingleton<IFatalErrorHandler, StopHostOnEviction>();
        return this;
    }

    /// <summary>
    /// Hands each opening, isolation and closing of a circuit to a sink: once in the cluster, on the silo that decided it, apart from all calls, one
    /// after the other. Best effort: where it lags 1,000 behind, the oldest are dropped; what it throws is logged; a silo that crashes takes along
    /// what is pending.
    /// </summary>
    /// <param name="sink">Its token is cancelled when the host stops.</param>
    public ReliabilityToolkitBuilder AuditCircuits(Func<CircuitEvent, CancellationToken, ValueTask> sink)
    {
        ArgumentNullException.ThrowIfNull(sink);
        _silo.Services.AddSingleton(sink);
        return this;
    }

    private ReliabilityToolkitBuilder Add<TPolicy>(
        string policy, Func<ReliabilityToolkitPolicies, IDictionary<string, TPolicy>> kind, Action<TPolicy>? configure)
        where TPolicy : new()
    {
        ArgumentNullException.ThrowIfNull(policy);
        _silo.Services.Configure<ReliabilityToolkitPolicies>(policies =>
        {
            if (!kind(policies).TryGetValue(policy, out var settings))
                kind(policies).Add(policy, settings = new TPolicy());
            configure?.Invoke(settings);
        });
        return this;
    }
}
