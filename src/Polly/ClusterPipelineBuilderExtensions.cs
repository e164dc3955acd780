using Polly;
using Polly.RateLimiting;

namespace ReliabilityToolkit.Orleans.Polly;

/// <summary>Breakers, limiters and bulkheads of the cluster in Polly's pipelines.</summary>
public static class ClusterPipelineBuilderExtensions
{
    /// <summary>
    /// Adds a breaker of the cluster. A call that it does not let through ends with Polly's <c>BrokenCircuitException</c> (isolated:
    /// <c>IsolatedCircuitException</c>), with RetryAfter where it is known, and the toolkit's own exception inside.
    /// </summary>
    /// <param name="builder">Of the pipeline.</param>
    /// <param name="options">Which breaker, and what is a failure.</param>
    public static ResiliencePipelineBuilder<TResult> AddClusterCircuitBreaker<TResult>(
        this ResiliencePipelineBuilder<TResult> builder, ClusterCircuitBreakerStrategyOptions<TResult> options)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(options);
        return builder.AddStrategy(context => new ClusterCircuitBreakerStrategy<TResult>(options, context.Telemetry), options);
    }

    /// <inheritdoc cref="AddClusterCircuitBreaker{TResult}(ResiliencePipelineBuilder{TResult}, ClusterCircuitBreakerStrategyOptions{TResult})"/>
    public static ResiliencePipelineBuilder AddClusterCircuitBreaker(
        this ResiliencePipelineBuilder builder, ClusterCircuitBreakerStrategyOptions options)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(options);
        return builder.AddStrategy(context => new UntypedStrategy(new ClusterCircuitBreakerStrategy<object>(options, context.Telemetry)), options);
    }

    /// <summary>Adds one breaker of the cluster, to which every exception is a failure but <see cref="OperationCanceledException"/>.</summary>
    /// <param name="builder">Of the pipeline.</param>
    /// <param name="breaker">From <see cref="IReliabilityToolkit"/>.</param>
    public static ResiliencePipelineBuilder AddClusterCircuitBreaker(this ResiliencePipelineBuilder builder, ClusterCircuitBreaker breaker)
    {
        ArgumentNullException.ThrowIfNull(breaker);
        return builder.AddClusterCircuitBreaker(new ClusterCircuitBreakerStrategyOptions { Breaker = _ => breaker });
    }

    /// <summary>
    /// Adds a limiter of the cluster, through Polly.RateLimiting: a call that it refuses ends with <c>RateLimiterRejectedException</c>.
    /// </summary>
    /// <param name="builder">Of the pipeline.</param>
    /// <param name="limiter">From <see cref="IReliabilityToolkit"/>.</param>
    /// <param name="waits">Whether calls wait for their tokens. Default: no.</param>
    public static TBuilder AddClusterRateLimiter<TBuilder>(this TBuilder builder, ClusterRateLimiter limiter, bool waits = false)
        where TBuilder : ResiliencePipelineBuilderBase
    {
        ArgumentNullException.ThrowIfNull(limiter);
        return builder.AddRateLimiter(new RateLimiterStrategyOptions
        {
            Name = "ClusterRateLimiter",
            RateLimiter = arguments => waits
                ? limiter.AcquireAsync(1, arguments.Context.CancellationToken)
                : limiter.TryAcquireAsync(1, arguments.Context.CancellationToken),
        });
    }

    /// <summary>
    /// Adds a bulkhead of the cluster, through Polly.RateLimiting: the slot is held while the call runs, and a call that gets none ends with
    /// <c>RateLimiterRejectedException</c>. A slot that is lost meanwhile does not end the call.
    /// </summary>
    /// <param name="builder">Of the pipeline.</param>
    /// <param name="bulkhead">From <see cref="IReliabilityToolkit"/>.</param>
    /// <param name="waits">Whether calls wait for their slots. Default: yes, as the bulkhead's policy has it.</param>
    public static TBuilder AddClusterBulkhead<TBuilder>(this TBuilder builder, ClusterBulkhead bulkhead, bool waits = true)
        where TBuilder : ResiliencePipelineBuilderBase
    {
        ArgumentNullException.ThrowIfNull(bulkhead);
        return builder.AddRateLimiter(new RateLimiterStrategyOptions
        {
            Name = "ClusterBulkhead",
            RateLimiter = async arguments => waits
                ? await bulkhead.AcquireAsync(1, arguments.Context.CancellationToken).ConfigureAwait(false)
                : await bulkhead.TryAcquireAsync(1, arguments.Context.CancellationToken).ConfigureAwait(false),
        });
    }

    /// <summary>The same for pipelines of any result.</summary>
    private sealed class UntypedStrategy(ClusterCircuitBreakerStrategy<object> strategy) : ResilienceStrategy
    {
        protected override async ValueTask<Outcome<TResult>> ExecuteCore<TResult, TState>(
            Func<ResilienceContext, TState, ValueTask<Outcome<TResult>>> callback, ResilienceContext context, TState state)
        {
            var outcome = await strategy.RunAsync(
                static async (context, call) =>
                {
                    var outcome = await call.callback(context, call.state).ConfigureAwait(context.ContinueOnCapturedContext);
                    return outcome.Exception is { } e ? Outcome.FromException<object>(e) : Outcome.FromResult<object>(outcome.Result!);
                },
                context,
                (callback, state)).ConfigureAwait(context.ContinueOnCapturedContext);
            return outcome.Exception is { } error ? Outcome.FromException<TResult>(error) : Outcome.FromResult((TResult)outcome.Result!);
        }
    }
}
