using Polly;
using Polly.CircuitBreaker;
using Polly.Telemetry;

namespace ReliabilityToolkit.Orleans.Polly;

/// <summary>A breaker of the cluster, around what comes after it in the pipeline.</summary>
internal sealed class ClusterCircuitBreakerStrategy<TResult>(
    ClusterCircuitBreakerStrategyOptions<TResult> options, ResilienceStrategyTelemetry telemetry) : ResilienceStrategy<TResult>
{
    protected override ValueTask<Outcome<TResult>> ExecuteCore<TState>(
        Func<ResilienceContext, TState, ValueTask<Outcome<TResult>>> callback, ResilienceContext context, TState state) =>
        RunAsync(callback, context, state);

    public async ValueTask<Outcome<TResult>> RunAsync<TState>(
        Func<ResilienceContext, TState, ValueTask<Outcome<TResult>>> callback, ResilienceContext context, TState state)
    {
        CircuitTicket ticket;
        try
        {
            var breaker = options.Breaker!(context);
            ticket = await breaker.TryEnterAsync(context.CancellationToken).ConfigureAwait(context.ContinueOnCapturedContext);
            if (!ticket.IsAdmitted)
                return Reject(breaker, ticket, context);
        }
        catch (Exception e)
        {
            return Outcome.FromException<TResult>(e);
        }

        var outcome = await CallAsync(callback, context, state).ConfigureAwait(context.ContinueOnCapturedContext);
        await TellAsync(ticket, outcome, context).ConfigureAwait(context.ContinueOnCapturedContext);
        return outcome;
    }

    private static async ValueTask<Outcome<TResult>> CallAsync<TState>(
        Func<ResilienceContext, TState, ValueTask<Outcome<TResult>>> callback, ResilienceContext context, TState state)
    {
        try
        {
            return await callback(context, state).ConfigureAwait(context.ContinueOnCapturedContext);
        }
        catch (Exception e)
        {
            return Outcome.FromException<TResult>(e); // of a callback that does not keep to Polly's contract; the ticket must be told all the same
        }
    }

    private async ValueTask TellAsync(CircuitTicket ticket, Outcome<TResult> outcome, ResilienceContext context)
    {
        if (outcome.Exception is OperationCanceledException && context.CancellationToken.IsCancellationRequested)
        {
            await ticket.Ignore().ConfigureAwait(context.ContinueOnCapturedContext);
            return;
        }

        bool isFailure;
        try
        {
            isFailure = await options.ShouldHandle(new CircuitBreakerPredicateArguments<TResult>(context, outcome))
                .ConfigureAwait(context.ContinueOnCapturedContext);
        }
        catch (Exception e)
        {
            isFailure = true;
            telemetry.Report(new ResilienceEvent(ResilienceEventSeverity.Error, "OnPredicateFailed"), context, Outcome.FromException<TResult>(e), 0);
        }

        if (isFailure)
            await ticket.Fail().ConfigureAwait(context.ContinueOnCapturedContext);
        else
            await ticket.Succeed().ConfigureAwait(context.ContinueOnCapturedContext);
    }

    // As Polly's own, for those who handle these; what the toolkit itself would have thrown is inside.
    private Outcome<TResult> Reject(ClusterCircuitBreaker breaker, CircuitTicket ticket, ResilienceContext context)
    {
        var name = breaker.Key is null ? breaker.Policy : $"{breaker.Policy}/{breaker.Key}";
        var open = new CircuitOpenException(name, ticket.State, ticket.RetryAfter);
        BrokenCircuitException broken = ticket.State == CircuitState.Isolated ? new IsolatedCircuitException(open.Message, open)
            : ticket.RetryAfter is { } wait ? new BrokenCircuitException(open.Message, wait, open)
            : new BrokenCircuitException(open.Message, open);
        var outcome = Outcome.FromException<TResult>(broken);
        telemetry.Report(new ResilienceEvent(ResilienceEventSeverity.Warning, "OnCircuitRejected"), context, outcome, ticket.State);
        return outcome;
    }
}
