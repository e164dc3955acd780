namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A circuit breaker as a grain, exact and uncached. The grain key is the policy, or "policy/key". Enter before the call, report after it,
/// handing back the pass that was given.
/// </summary>
/// <remarks>
/// Every method throws <see cref="UnknownPolicyException"/> where the silo has no such policy, and <see cref="ArgumentException"/> where the grain
/// key is not a legal name.
/// </remarks>
[Alias("rt.ICircuitBreakerGrain"), GrainInterfaceType("rt.ICircuitBreakerGrain")]
public interface ICircuitBreakerGrain : IGrainWithStringKey
{
    /// <summary>Asks to make a call.</summary>
    [Alias("Enter")]
    ValueTask<CircuitPass> EnterAsync();

    /// <summary>Tells how the call went. A result from an earlier generation changes nothing.</summary>
    /// <param name="pass">What <see cref="EnterAsync"/> answered.</param>
    /// <param name="outcome">How the call went.</param>
    /// <exception cref="ArgumentOutOfRangeException">The outcome is none of the three.</exception>
    [Alias("Report")]
    ValueTask ReportAsync(CircuitPass pass, CircuitOutcome outcome);

    /// <summary>
    /// Opens the circuit for a whole cool-down from now; an isolated one stays isolated. Returns when no node admits a call by what it was told
    /// before, which takes as long as the nodes take to answer, and 2 s at most.
    /// </summary>
    /// <param name="reason">For whoever looks at the state; at most 1,000 characters.</param>
    /// <exception cref="ArgumentException">The reason is too long; nothing has changed.</exception>
    [Alias("Trip")]
    ValueTask<KillSwitchResult> TripAsync(string? reason = null);

    /// <summary>Opens the circuit until <see cref="ResetAsync"/>. Returns as <see cref="TripAsync"/> does.</summary>
    /// <inheritdoc cref="TripAsync"/>
    [Alias("Isolate")]
    ValueTask<KillSwitchResult> IsolateAsync(string? reason = null);

    /// <summary>
    /// Closes the circuit and forgets its failures; calls under way belong to the past and no longer count. Returns when the nodes have heard of it,
    /// and within 2 s.
    /// </summary>
    /// <inheritdoc cref="TripAsync"/>
    [Alias("Reset")]
    ValueTask ResetAsync(string? reason = null);

    /// <summary>
    /// Gives this name a policy of its own, in place of the configured one, until it is cleared: what was spent, lent or counted stays so. It is
    /// recorded where records are kept, and else lasts as long as the activation. <c>Durability</c> and <c>RecordLate</c> stay those configured.
    /// </summary>
    /// <param name="policy">The whole policy.</param>
    /// <param name="version">
    /// 1 and above: what was set or cleared with a higher one stays. A time, or a number that whoever administers counts up.
    /// </param>
    /// <returns>Whether it is in force: false where a newer one is.</returns>
    /// <exception cref="ArgumentException">The policy has faults; the message tells all of them, and nothing has changed.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The version is below 1.</exception>
    [Alias("SetPolicy")]
    ValueTask<bool> SetPolicyAsync(CircuitBreakerPolicy policy, long version);

    /// <summary>The configured policy holds again. That it was cleared, and with which version, is remembered.</summary>
    /// <inheritdoc cref="SetPolicyAsync"/>
    [Alias("ClearPolicy")]
    ValueTask<bool> ClearPolicyAsync(long version);

    /// <summary>Reads the state; counts nothing and admits nothing.</summary>
    [Alias("GetStatus")]
    ValueTask<CircuitBreakerStatus> GetStatusAsync();
}

/// <summary>What a breaker does with calls.</summary>
[GenerateSerializer, Alias("rt.CircuitState")]
public enum CircuitState
{
    /// <summary>Calls go through; consecutive failures are counted.</summary>
    Closed = 0,

    /// <summary>Calls are rejected until the cool-down is over.</summary>
    Open = 1,

    /// <summary>A few calls go through as trials.</summary>
    HalfOpen = 2,

    /// <summary>Calls are rejected until a reset.</summary>
    Isolated = 3,
}

/// <summary>Why a breaker is in its state.</summary>
[GenerateSerializer, Alias("rt.CircuitCause")]
public enum CircuitCause
{
    /// <summary>Nothing has happened yet.</summary>
    None = 0,

    /// <summary>Opened by consecutive failures.</summary>
    Failures = 1,

    /// <summary>Opened by the share of failures.</summary>
    FailureRatio = 2,

    /// <summary>Opened for all, because enough nodes were open for themselves.</summary>
    Quorum = 3,

    /// <summary>Opened again by a trial that failed.</summary>
    TrialFailed = 4,

    /// <summary>Opened again, because nobody answered a trial within its lease.</summary>
    TrialUnanswered = 5,

    /// <summary>Half open, because the cool-down is over.</summary>
    CoolDownOver = 6,

    /// <summary>Closed by successful trials.</summary>
    TrialsSucceeded = 7,

    /// <summary>Opened by hand.</summary>
    Tripped = 8,

    /// <summary>Isolated by hand.</summary>
    Isolated = 9,

    /// <summary>Closed by hand.</summary>
    Reset = 10,

    /// <summary>By the bounds of a new policy.</summary>
    PolicyChanged = 11,
}

/// <summary>How a call went.</summary>
[GenerateSerializer, Alias("rt.CircuitOutcome")]
public enum CircuitOutcome
{
    /// <summary>Neither success nor failure, as when the caller cancelled. A trial's place is free again.</summary>
    Ignored = 0,

    /// <summary>The call succeeded.</summary>
    Succeeded = 1,

    /// <summary>The call failed.</summary>
    Failed = 2,
}

/// <summary>The answer to a caller at the door. To be handed back with the outcome.</summary>
/// <param name="IsAdmitted">Whether the call may be made.</param>
/// <param name="Generation">Of the circuit's state; it moves on with each change of state, and results of an older one are void.</param>
/// <param name="Trial">The number of the trial ticket; 0 for a call that is none.</param>
/// <param name="RetryAfter">For a rejected call, what is left of the cool-down; absent where nobody can tell.</param>
/// <param name="State">The state in which the answer was given.</param>
[GenerateSerializer, Immutable, Alias("rt.CircuitPass")]
public readonly record struct CircuitPass(
    [property: Id(0)] bool IsAdmitted,
    [property: Id(1)] long Generation,
    [property: Id(2)] long Trial,
    [property: Id(3)] TimeSpan? RetryAfter,
    [property: Id(4)] CircuitState State)
{
    /// <summary>In shadow mode, for one who would be refused: what becomes of his call does not count.</summary>
    internal static CircuitPass Shadow(CircuitState state) => new(true, long.MinValue, 0, null, state);
}

/// <summary>A breaker at one instant.</summary>
/// <param name="State">What it does with calls.</param>
/// <param name="ConsecutiveFailures">Failures since the last success, while closed.</param>
/// <param name="TrialsInFlight">Trials under way, while half open.</param>
/// <param name="RetryAfter">What is left of the cool-down; absent where nobody can tell.</param>
/// <param name="Generation">Moves on with each change of state.</param>
/// <param name="Cause">Why it is in this state.</param>
/// <param name="Reason">What was said with the kill switch that made it so.</param>
/// <param name="Share">The share of calls that is admitted while closed: 1, or less where calls are shed.</param>
/// <param name="Nodes">Nodes that admit calls by a verdict of theirs, as far as the authority can tell.</param>
/// <param name="PolicyVersion">Of its own policy, or of the clearing of that; 0: it never had one.</param>
[GenerateSerializer, Immutable, Alias("rt.CircuitBreakerStatus")]
public readonly record struct CircuitBreakerStatus(
    [property: Id(0)] CircuitState State,
    [property: Id(1)] int ConsecutiveFailures,
    [property: Id(2)] int TrialsInFlight,
    [property: Id(3)] TimeSpan? RetryAfter,
    [property: Id(4)] long Generation,
    [property: Id(5)] CircuitCause Cause,
    [property: Id(6)] string? Reason,
    [property: Id(7)] double Share,
    [property: Id(8)] int Nodes,
    [property: Id(9)] long PolicyVersion = 0);

/// <summary>What became of a kill switch by the time that it returned: no node admits a call by what it was told before.</summary>
/// <param name="Acknowledged">Nodes that have said that they know.</param>
/// <param name="RanOut">Nodes that did not say so, and whose verdicts have run out.</param>
[GenerateSerializer, Immutable, Alias("rt.KillSwitchResult")]
public readonly record struct KillSwitchResult([property: Id(0)] int Acknowledged, [property: Id(1)] int RanOut);
