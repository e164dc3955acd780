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

    /// <summary>Opens the circuit for a whole cool-down from now. An isolated one stays isolated.</summary>
    [Alias("Trip")]
    ValueTask TripAsync();

    /// <summary>Opens the circuit until <see cref="ResetAsync"/>.</summary>
    [Alias("Isolate")]
    ValueTask IsolateAsync();

    /// <summary>Closes the circuit and forgets its failures. Calls under way belong to the past and no longer count.</summary>
    [Alias("Reset")]
    ValueTask ResetAsync();

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
    [property: Id(4)] CircuitState State);

/// <summary>A breaker at one instant.</summary>
/// <param name="State">What it does with calls.</param>
/// <param name="ConsecutiveFailures">Failures since the last success, while closed.</param>
/// <param name="TrialsInFlight">Trials under way, while half open.</param>
/// <param name="RetryAfter">What is left of the cool-down; absent where nobody can tell.</param>
/// <param name="Generation">Counts the changes of state.</param>
[GenerateSerializer, Immutable, Alias("rt.CircuitBreakerStatus")]
public readonly record struct CircuitBreakerStatus(
    [property: Id(0)] CircuitState State,
    [property: Id(1)] int ConsecutiveFailures,
    [property: Id(2)] int TrialsInFlight,
    [property: Id(3)] TimeSpan? RetryAfter,
    [property: Id(4)] long Generation);
