using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A circuit breaker whose state is the cluster's. Get it from <see cref="IReliabilityToolkit"/>; it is shared and thread-safe.
/// </summary>
/// <remarks>
/// While it is closed and nothing fails, a call asks nobody and tells nobody: the node goes by a verdict that it renews in the background while the
/// breaker is used, and that is believed for 2 s at most. A failure is told to the authority before the caller has his exception. Where the authority
/// does not answer, the node goes by what <see cref="ReliabilityToolkitClientOptions.CircuitFallback"/> says; a report that finds none in time is
/// dropped, and the call's own result or error reaches the caller all the same.
/// </remarks>
public sealed class ClusterCircuitBreaker
{
    private readonly CircuitBreakerNode _node;

    internal ClusterCircuitBreaker(CircuitBreakerNode node) => _node = node;

    /// <summary>The policy.</summary>
    public string Policy => _node.Resource.Policy;

    /// <summary>The key under the policy; absent where it has none.</summary>
    public string? Key => _node.Resource.Key;

    /// <summary>
    /// The state has changed, as this node heard of it: while the breaker is used here. Handlers are called one after the other, on a thread of the
    /// pool; what they throw is logged.
    /// </summary>
    public event EventHandler<CircuitStateChange>? StateChanged;

    internal IEnumerable<EventHandler<CircuitStateChange>> Listeners =>
        StateChanged?.GetInvocationList().Cast<EventHandler<CircuitStateChange>>() ?? [];

    /// <summary>
    /// Makes the call if the circuit lets it through, and tells the circuit how it went. The call's result or error reaches the caller unchanged.
    /// </summary>
    /// <param name="operation">The call, handed <paramref name="state"/> and <paramref name="cancellationToken"/>.</param>
    /// <param name="state">Handed to the operation, in place of a closure.</param>
    /// <param name="cancellationToken">The caller's. A call that it ends is neither success nor failure.</param>
    /// <exception cref="CircuitOpenException">
    /// The circuit is open, isolated, sheds the call, or has its trials under way: the operation was not invoked.
    /// </exception>
    /// <exception cref="AuthorityUnavailableException">
    /// The authority did not answer, and the node does not go by a breaker of its own: the operation was not invoked.
    /// </exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy: the operation was not invoked.</exception>
    public ValueTask<TResult> CallAsync<TState, TResult>(
        Func<TState, CancellationToken, ValueTask<TResult>> operation, TState state, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);
        var verdict = _node.Verdict;
        if (cancellationToken.IsCancellationRequested || !_node.Admits(verdict))
            return EnterAndCallAsync(operation, state, cancellationToken);
        ValueTask<TResult> call;
        try
        {
            call = operation(state, cancellationToken);
        }
        catch (Exception e)
        {
            return FailAsync<TResult>(e, verdict.Generation, cancellationToken);
        }

        return call.IsCompletedSuccessfully && _node.StaysSilent(verdict) ? call : FinishAsync(call, PassOf(verdict.Generation), cancellationToken);
    }

    /// <inheritdoc cref="CallAsync{TState, TResult}(Func{TState, CancellationToken, ValueTask{TResult}}, TState, CancellationToken)"/>
    public ValueTask CallAsync<TState>(
        Func<TState, CancellationToken, ValueTask> operation, TState state, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);
        var call = CallAsync(
            static (call, token) =>
            {
                var running = call.operation(call.state, token);
                return running.IsCompletedSuccessfully ? new(true) : AwaitAsync(running);
            },
            (operation, state),
            cancellationToken);
        return call.IsCompletedSuccessfully ? default : new ValueTask(call.AsTask());

        [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
        static async ValueTask<bool> AwaitAsync(ValueTask running)
        {
            await running.ConfigureAwait(false);
            return true;
        }
    }

    /// <inheritdoc cref="CallAsync{TState, TResult}(Func{TState, CancellationToken, ValueTask{TResult}}, TState, CancellationToken)"/>
    [OverloadResolutionPriority(1)]
    public ValueTask<TResult> CallAsync<TResult>(Func<CancellationToken, ValueTask<TResult>> operation, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operation);
        return CallAsync(static (call, token) => call(token), operation, cancellationToken);
    }

    /// <inheritdoc cref="CallAsync{TState, TResult}(Func{TState, CancellationToken, ValueTask{TResult}}, TState, CancellationToken)"/>
    [OverloadResolutionPriority(1)]
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
    /// <exception cref="AuthorityUnavailableException">
    /// The authority did not answer, and the node does not go by a breaker of its own.
    /// </exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    public ValueTask<CircuitTicket> TryEnterAsync(CancellationToken cancellationToken = default)
    {
        var entering = _node.EnterAsync(cancellationToken);
        return entering.IsCompletedSuccessfully ? new(new CircuitTicket(_node, entering.Result, _node.StartsAt)) : EnterAsync(entering);

        async ValueTask<CircuitTicket> EnterAsync(ValueTask<CircuitPass> entering)
        {
            var pass = await entering.ConfigureAwait(false);
            return new CircuitTicket(_node, pass, _node.StartsAt);
        }
    }

    /// <summary>
    /// Opens the circuit for a whole cool-down from now; an isolated one stays isolated. Once it has returned, no node admits a call by what it was
    /// told before: each has said that it knows, or its verdict has run out, 2 s after it was given at the latest. Nodes that the authority is out of
    /// reach of, and that go by a breaker of their own, are not bound by it.
    /// </summary>
    /// <param name="reason">For whoever looks at the state; at most 1,000 characters.</param>
    /// <param name="cancellationToken">Ends the call; whether it was carried out is then unknown.</param>
    /// <exception cref="ArgumentException">The reason is too long.</exception>
    /// <exception cref="AuthorityUnavailableException">No answer in time.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    public Task<KillSwitchResult> TripAsync(string? reason = null, CancellationToken cancellationToken = default) =>
        _node.CommandAsync(CircuitCommand.Trip, reason, cancellationToken);

    /// <summary>Opens the circuit until <see cref="ResetAsync"/>, and returns as <see cref="TripAsync"/> does.</summary>
    /// <inheritdoc cref="TripAsync"/>
    public Task<KillSwitchResult> IsolateAsync(string? reason = null, CancellationToken cancellationToken = default) =>
        _node.CommandAsync(CircuitCommand.Isolate, reason, cancellationToken);

    /// <summary>
    /// Closes the circuit and forgets its failures; calls under way no longer count. Returns when the nodes that use it have heard of it, and within
    /// 2 s.
    /// </summary>
    /// <inheritdoc cref="TripAsync"/>
    public Task ResetAsync(string? reason = null, CancellationToken cancellationToken = default) =>
        _node.CommandAsync(CircuitCommand.Reset, reason, cancellationToken);

    /// <summary>Reads the state at the authority; admits nothing.</summary>
    /// <param name="cancellationToken">Ends the call.</param>
    /// <exception cref="AuthorityUnavailableException">No answer in time.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    public ValueTask<CircuitBreakerStatus> GetStatusAsync(CancellationToken cancellationToken = default) =>
        _node.GetStatusAsync(cancellationToken);

    /// <summary>
    /// Gives this name a policy of its own, in place of the configured one, until it is cleared: what was spent, lent or counted stays so. It is
    /// recorded where records are kept, and else lasts as long as the activation. <c>Durability</c> and <c>RecordLate</c> stay those configured.
    /// </summary>
    /// <param name="policy">The whole policy.</param>
    /// <param name="version">1 and above: what was set or cleared with a higher one stays.</param>
    /// <param name="cancellationToken">Ends the call; whether it was carried out is then unknown, and the same may be said again.</param>
    /// <returns>Whether it is in force: false where a newer one is.</returns>
    /// <exception cref="ArgumentException">The policy has faults; the message tells all of them, and nothing has changed.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The version is below 1.</exception>
    /// <exception cref="AuthorityUnavailableException">No answer in time.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    public ValueTask<bool> SetPolicyAsync(CircuitBreakerPolicy policy, long version, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(policy);
        return _node.SetPolicyAsync(policy, version, cancellationToken);
    }

    /// <summary>The configured policy holds again. That it was cleared, and with which version, is remembered.</summary>
    /// <inheritdoc cref="SetPolicyAsync"/>
    public ValueTask<bool> ClearPolicyAsync(long version, CancellationToken cancellationToken = default) =>
        _node.SetPolicyAsync(null, version, cancellationToken);

    private static CircuitPass PassOf(long generation) => new(true, generation, 0, null, CircuitState.Closed);

    // The operation is the caller's code: it runs where he called, in a grain on the grain's own scheduler.
    private async ValueTask<TResult> EnterAndCallAsync<TState, TResult>(
        Func<TState, CancellationToken, ValueTask<TResult>> operation, TState state, CancellationToken cancellationToken)
    {
        var pass = await _node.EnterAsync(cancellationToken).ConfigureAwait(true);
        if (!pass.IsAdmitted)
            throw new CircuitOpenException(_node.Name, pass.State, pass.RetryAfter);
        var startsAt = _node.StartsAt;
        TResult result;
        try
        {
            result = await operation(state, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            await _node.ReportAsync(pass, _node.Judge(e, cancellationToken), startsAt).ConfigureAwait(false);
            throw;
        }

        await _node.ReportAsync(pass, CircuitOutcome.Succeeded, startsAt).ConfigureAwait(false);
        return result;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<TResult> FinishAsync<TResult>(ValueTask<TResult> call, CircuitPass pass, CancellationToken cancellationToken)
    {
        TResult result;
        try
        {
            result = await call.ConfigureAwait(false);
        }
        catch (Exception e)
        {
            await _node.ReportAsync(pass, _node.Judge(e, cancellationToken), default).ConfigureAwait(false);
            throw;
        }

        await _node.ReportAsync(pass, CircuitOutcome.Succeeded, default).ConfigureAwait(false);
        return result;
    }

    private async ValueTask<TResult> FailAsync<TResult>(Exception error, long generation, CancellationToken cancellationToken)
    {
        await _node.ReportAsync(PassOf(generation), _node.Judge(error, cancellationToken), default).ConfigureAwait(false);
        ExceptionDispatchInfo.Throw(error);
        return default!;
    }
}
