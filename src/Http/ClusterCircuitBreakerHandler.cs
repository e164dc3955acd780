using System.Net;

namespace ReliabilityToolkit.Orleans.Http;

/// <summary>
/// One breaker of the cluster per host and port, under one policy: five nodes that find a host down are five times as soon to leave it in peace. A
/// call that is not made throws <see cref="CircuitOpenException"/>, with RetryAfter where it is known.
/// </summary>
/// <param name="toolkit">Of the node.</param>
/// <param name="policy">Of the breakers.</param>
/// <param name="options">Read once.</param>
/// <param name="heldBack">Hosts that asked to be left in peace; shared by all handlers of a client, which come and go.</param>
internal sealed class ClusterCircuitBreakerHandler(
    IReliabilityToolkit toolkit, string policy, ClusterCircuitBreakerHandlerOptions options, HeldBackHosts heldBack) : DelegatingHandler
{
    /// <exception cref="NotSupportedException">Always: a breaker may have to ask its authority, and that cannot be done without waiting.</exception>
    protected override HttpResponseMessage Send(HttpRequestMessage request, CancellationToken cancellationToken) =>
        throw new NotSupportedException("A client with a cluster circuit breaker sends asynchronously only: use SendAsync.");

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var host = $"{request.RequestUri!.IdnHost}:{request.RequestUri.Port}";
        var breaker = toolkit.GetCircuitBreaker(policy, host);
        if (heldBack.For(host) is { } wait)
            throw new CircuitOpenException($"{policy}/{host}", CircuitState.Open, wait);
        var ticket = await breaker.TryEnterAsync(cancellationToken).ConfigureAwait(false);
        if (!ticket.IsAdmitted)
            throw new CircuitOpenException($"{policy}/{host}", ticket.State, ticket.RetryAfter);

        HttpResponseMessage response;
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        deadline.CancelAfter(options.Timeout);
        try
        {
            response = await base.SendAsync(request, deadline.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            await ticket.Ignore().ConfigureAwait(false);
            throw;
        }
        catch (OperationCanceledException e) when (deadline.IsCancellationRequested)
        {
            var timeout = new TimeoutException($"{host} did not answer within {options.Timeout}.", e);
            await TellAsync(ticket, () => options.IsFailureException(timeout)).ConfigureAwait(false);
            throw timeout;
        }
        catch (Exception e)
        {
            await TellAsync(ticket, () => options.IsFailureException(e)).ConfigureAwait(false);
            throw;
        }

        if (response.StatusCode is HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable)
            heldBack.Note(host, response.Headers.RetryAfter, options.MaxRetryAfter);
        try
        {
            await TellAsync(ticket, () => options.IsFailure(response)).ConfigureAwait(false);
        }
        catch
        {
            response.Dispose();
            throw;
        }

        return response;
    }

    // A predicate that throws is a bug of the application, which hears of it; the host has failed, for all that is known.
    private static async ValueTask TellAsync(CircuitTicket ticket, Func<bool> isFailure)
    {
        var hasFailed = true;
        try
        {
            hasFailed = isFailure();
        }
        finally
        {
            if (hasFailed)
                await ticket.Fail().ConfigureAwait(false);
            else
                await ticket.Succeed().ConfigureAwait(false);
        }
    }
}
