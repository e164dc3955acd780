namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A circuit breaker whose state is the cluster's. Get it from <see cref="IReliabilityToolkit"/>; it is shared and thread-safe.
/// </summary>
/// <remarks>
/// Today each call asks the authority before and tells it after: two grain calls. A report that finds no authority in time is dropped, and the
/// call's own result or error reaches the caller all the same; a trial that is not reported counts as a failure when its lease ends.
/// </remarks>
public sealed class ClusterCircuitBreaker
{
    private readonly CircuitBreakerNode _node;

    internal ClusterCircuitBreaker(CircuitBreakerNode node) => _node = node;

    /// <summary>
    /// Makes the call if the circuit lets it through, and tells the circuit how it went. The call's result or error reaches the caller unchanged.
    /// </summary>
    /// <param name="operation">The call, handed <paramref name="state"/> and <paramref name="cancellationToken"/>.</param>
    /// <param name="state">Handed to the operation, in place of a closure.</param>
    /// <param name="cancellationToken">The caller's. A call that it ends is neither success nor failure.</param>
    /// <exception cref="CircuitOpenException">The circuit is open, isolated, or has its trials under way: the operation was not invoked.</exception>
    /// <exception cref="AuthorityUnavailableException">The authority did not answer in time: the operation was not invoked.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy: the operation was not invoked.</exception>
    public async ValueTask<TResult> CallAsync<TState, TResult>(
        Func<TState, CancellationToken, ValueTask<TResult>> operation, TState state, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);

        // The operation is the caller's code: it runs where he called, in a grain on the grain's own scheduler.
        var pass = await _node.EnterAsync(cancellationToken).ConfigureAwait(true);
        if (!pass.IsAdmitted)
            throw new CircuitOpenException(_node.Name, pass.RetryAfter);

        TResult result;
        try
        {
            result = await operation(state, cancellationToken).ConfigureAwait(true);
        }
        catch (Exception e)
        {
            await _node.ReportAsync(pass, _node.Judge(e, cancellationToken)).ConfigureAwait(false);
            throw;
        }

        await _node.ReportAsync(pass, CircuitOutcome.Succeeded).ConfigureAwait(false);
        return result;
    }

    /// <inheritdoc cref="CallAsync{TState, TResult}(Func{TState, CancellationToken, ValueTask{TResult}}, TState, CancellationToken)"/>
    public async ValueTask CallAsync<TState>(
        Func<TState, CancellationToken, ValueTask> operation, TState state, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);
        await CallAsync(
            static async (call, token) =>
            {
                await call.operation(call.state, token).ConfigureAwait(false);
                return true;
            },
            (operation, state),
            cancellationToken).ConfigureAwait(false);
    }

    /// <inheritdoc cref="CallAsync{TState, TResult}(Func{TState, CancellationToken, ValueTask{TResult}}, TState, CancellationToken)"/>
    [System.Runtime.CompilerServices.OverloadResolutionPriority(1)]
    public ValueTask<TResult> CallAsync<TResult>(Func<CancellationToken, ValueTask<TResult>> operation, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);
        return CallAsync(static (call, token) => call(token), operation, cancellationToken);
    }

    /// <inheritdoc cref="CallAsync{TState, TResult}(Func{TState, CancellationToken, ValueTask{TResult}}, TState, CancellationToken)"/>
    [System.Runtime.CompilerServices.OverloadResolutionPriority(1)]
    public ValueTask CallAsync(Func<CancellationToken, ValueTask> operation, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);
        return CallAsync(static (call, token) => call(token), operation, cancellationToken);
    }

    /// <inheritdoc cref="CallAsync{TState, TResult}(Func{TState, CancellationToken, ValueTask{TResult}}, TState, CancellationToken)"/>
    public ValueTask<TResult> CallAsync<TResult>(Func<CancellationToken, Task<TResult>> operation, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);
        return CallAsync(static (call, token) => new ValueTask<TResult>(call(token)), operation, cancellationToken);
    }

    /// <inheritdoc cref="CallAsync{TState, TResult}(Func{TState, CancellationToken, ValueTask{TResult}}, TState, CancellationToken)"/>
    public ValueTask CallAsync(Func<CancellationToken, Task> operation, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);
        return CallAsync(static (call, token) => new ValueTask(call(token)), operation, cancellationToken);
    }

    /// <summary>Asks to make a call, without exceptions for a no. Tell the ticket how the call went.</summary>
    /// <param name="cancellationToken">Ends the asking.</param>
    /// <exception cref="AuthorityUnavailableException">The authority did not answer in time.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    public async ValueTask<CircuitTicket> TryEnterAsync(CancellationToken cancellationToken = default) =>
        new(_node, await _node.EnterAsync(cancellationToken).ConfigureAwait(false));

    /// <summary>Opens the circuit for a whole cool-down from now. An isolated one stays isolated.</summary>
    /// <param name="cancellationToken">Ends the call; whether it was carried out is then unknown.</param>
    /// <exception cref="AuthorityUnavailableException">No answer in time.</exception>
    public Task TripAsync(CancellationToken cancellationToken = default) => _node.CommandAsync(CircuitCommand.Trip, cancellationToken);

    /// <summary>Opens the circuit until <see cref="ResetAsync"/>.</summary>
    /// <inheritdoc cref="TripAsync"/>
    public Task IsolateAsync(CancellationToken cancellationToken = default) => _node.CommandAsync(CircuitCommand.Isolate, cancellationToken);

    /// <summary>Closes the circuit and forgets its failures; calls under way no longer count.</summary>
    /// <inheritdoc cref="TripAsync"/>
    public Task ResetAsync(CancellationToken cancellationToken = default) => _node.CommandAsync(CircuitCommand.Reset, cancellationToken);

    /// <summary>Reads the state at the authority; admits nothing.</summary>
    /// <inheritdoc cref="TripAsync"/>
    public ValueTask<CircuitBreakerStatus> GetStatusAsync(CancellationToken cancellationToken = default) =>
        _node.GetStatusAsync(cancellationToken);
}
