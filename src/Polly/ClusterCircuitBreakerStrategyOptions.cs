using System.ComponentModel.DataAnnotations;
using Polly;
using Polly.CircuitBreaker;

namespace ReliabilityToolkit.Orleans.Polly;

/// <summary>How a breaker of the cluster takes part in a pipeline.</summary>
public class ClusterCircuitBreakerStrategyOptions<TResult> : ResilienceStrategyOptions
{
    /// <summary>Options named "ClusterCircuitBreaker".</summary>
    public ClusterCircuitBreakerStrategyOptions() => Name = "ClusterCircuitBreaker";

    /// <summary>The breaker of a call: <c>toolkit.GetCircuitBreaker("payments", host)</c>. Required.</summary>
    [Required]
    public Func<ResilienceContext, ClusterCircuitBreaker>? Breaker { get; set; }

    /// <summary>
    /// Which outcomes are failures; others are successes. Default: every exception but <see cref="OperationCanceledException"/>, as in Polly's own
    /// strategies. A call that its caller cancelled is neither, and is not asked about. Where it throws, the call is a failure.
    /// </summary>
    [Required]
    public Func<CircuitBreakerPredicateArguments<TResult>, ValueTask<bool>> ShouldHandle { get; set; } =
        static arguments => new(arguments.Outcome.Exception is not (null or OperationCanceledException));
}

/// <inheritdoc/>
public class ClusterCircuitBreakerStrategyOptions : ClusterCircuitBreakerStrategyOptions<object>;
