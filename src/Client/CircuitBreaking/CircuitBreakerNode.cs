namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The shell of a breaker on its node: one per node and name, whatever objects point to it. It asks the authority before a call and tells it after.
/// </summary>
internal sealed class CircuitBreakerNode
{
    private static readonly Question<ICircuitBreakerProtocol, bool, CircuitPass> Enter = new()
    {
        Send = static (authority, id, _, token) => authority.EnterAsync(id, token),
        TakeBack = static (conversation, id) => LeaveAsync(conversation, id),
    };

    private static readonly Question<ICircuitBreakerProtocol, (CircuitPass Pass, CircuitOutcome Outcome), Acknowledgement> Report = new()
    {
        Send = static (authority, id, call, token) =>
            authority.ReportAsync(new CircuitReport(id, call.Pass.Generation, call.Pass.Trial, call.Outcome), token),
    };

    private static readonly Question<ICircuitBreakerProtocol, CircuitCommand, Acknowledgement> Command = new()
    {
        Send = static (authority, id, command, token) => authority.CommandAsync(new CircuitOrder(id, command), token),
    };

    private readonly Conversation<ICircuitBreakerProtocol> _conversation;
    private readonly Func<Exception, bool>? _isFailure;

    public CircuitBreakerNode(Conversation<ICircuitBreakerProtocol> conversation, Func<Exception, bool>? isFailure)
    {
        _conversation = conversation;
        _isFailure = isFailure;
        Breaker = new ClusterCircuitBreaker(this);
    }

    /// <summary>The public face.</summary>
    public ClusterCircuitBreaker Breaker { get; }

    public string Name => _conversation.Name;

    public async ValueTask<CircuitPass> EnterAsync(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return (await _conversation.AskAsync(true, Enter, cancellationToken).ConfigureAwait(false)).Answer;
    }

    /// <summary>
    /// Tells the authority how a call went. Without the caller's token: his call is over, and its outcome counts. Never throws: his result is worth
    /// more to him than our count.
    /// </summary>
    public ValueTask ReportAsync(CircuitPass pass, CircuitOutcome outcome) => _conversation.TryTellAsync(TellAsync(_conversation, pass, outcome));

    public async Task CommandAsync(CircuitCommand command, CancellationToken cancellationToken) =>
        await _conversation.AskAsync(command, Command, cancellationToken).ConfigureAwait(false);

    public ValueTask<CircuitBreakerStatus> GetStatusAsync(CancellationToken cancellationToken) =>
        _conversation.CallAsync(true, static (authority, _, token) => authority.GetStatusAsync(token), cancellationToken);

    /// <summary>
    /// What an error of the call means. What does not count as a failure is an answer of a downstream that lives: a success. A predicate that throws
    /// cannot tell, and hides nothing: a failure.
    /// </summary>
    public CircuitOutcome Judge(Exception error, CancellationToken cancellationToken)
    {
        if (error is OperationCanceledException && cancellationToken.IsCancellationRequested)
            return CircuitOutcome.Ignored;
        try
        {
            return _isFailure?.Invoke(error) == false ? CircuitOutcome.Succeeded : CircuitOutcome.Failed;
        }
        catch (Exception)
        {
            return CircuitOutcome.Failed;
        }
    }

    private static async ValueTask TellAsync(Conversation<ICircuitBreakerProtocol> conversation, CircuitPass pass, CircuitOutcome outcome) =>
        await conversation.AskAsync((pass, outcome), Report, CancellationToken.None).ConfigureAwait(false);

    // The caller has gone, and may have left a trial behind. Asking again under the same number finds out, and frees its place.
    private static async ValueTask LeaveAsync(Conversation<ICircuitBreakerProtocol> conversation, RequestId id)
    {
        var pass = await conversation.CallAsync(
            id, static (authority, id, token) => authority.EnterAsync(id, token), CancellationToken.None).ConfigureAwait(false);
        if (pass.Trial != 0)
            await TellAsync(conversation, pass, CircuitOutcome.Ignored).ConfigureAwait(false);
    }
}
