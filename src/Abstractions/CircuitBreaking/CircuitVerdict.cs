namespace ReliabilityToolkit.Orleans;

/// <summary>
/// What a node has to tell of a breaker, and wants to know. One is in flight at a time; a newer one makes the older ones, and their answers, void.
/// Repeated under its number it counts nothing twice.
/// </summary>
/// <param name="Holder">Who asks.</param>
/// <param name="Sequence">Counts up from 1.</param>
/// <param name="Epoch">Of the authority that the node last heard of; 0: of none.</param>
/// <param name="Version">Of that authority: the node believes nothing that is older.</param>
/// <param name="AtTheDoor">Callers who wait for this answer.</param>
/// <param name="Trials">The numbers of the trials that the node has in hand, but for those that are answered here; null: none.</param>
/// <param name="Outcomes">How calls went, in order; null: nothing to tell.</param>
/// <param name="Shed">Calls not made since it last said so, because only a share is admitted.</param>
/// <param name="Observer">Where the node hears what has changed; null: nowhere.</param>
[GenerateSerializer, Immutable, Alias("rt.VerdictRequest")]
internal readonly record struct VerdictRequest(
    [property: Id(0)] Borrower Holder,
    [property: Id(1)] long Sequence,
    [property: Id(2)] long Epoch,
    [property: Id(3)] long Version,
    [property: Id(4)] int AtTheDoor,
    [property: Id(5)] long[]? Trials,
    [property: Id(6)] CircuitNews[]? Outcomes,
    [property: Id(7)] long Shed,
    [property: Id(8)] INodeObserver? Observer = null);

/// <summary>So many calls that were let through in that generation went so, one after the other.</summary>
/// <param name="Generation">In which they began.</param>
/// <param name="Trial">The number of the trial that it was; 0: none.</param>
/// <param name="Outcome">How they went.</param>
/// <param name="Calls">How many; 1 of a trial.</param>
[GenerateSerializer, Immutable, Alias("rt.CircuitNews")]
internal readonly record struct CircuitNews(
    [property: Id(0)] long Generation,
    [property: Id(1)] long Trial,
    [property: Id(2)] CircuitOutcome Outcome,
    [property: Id(3)] int Calls);

/// <summary>What a node may believe from the moment it has this until its term ends, counted from before the node asked.</summary>
/// <param name="Sequence">Of the request that it answers; 0: it answers nothing, the request was out of date.</param>
/// <param name="Epoch">Of the authority.</param>
/// <param name="Version">Counts what changes for the nodes.</param>
/// <param name="Generation">Of the state.</param>
/// <param name="State">Of the circuit, as it is for this node.</param>
/// <param name="Term">How long it may be believed.</param>
/// <param name="IsFailing">Whether failures are counted, so that successes are to be told.</param>
/// <param name="RetryAfter">What is left of the cool-down.</param>
/// <param name="ComeBackAfter">Half open with all places taken: before that the node need not ask.</param>
/// <param name="Share">The share of calls to be admitted while closed.</param>
/// <param name="FirstTrial">The number of the first trial that those at the door may begin; the others follow.</param>
/// <param name="Trials">How many trials they may begin.</param>
/// <param name="Cause">Why it is in this state.</param>
/// <param name="Reason">What was said with a kill switch.</param>
/// <param name="Policy">By which the node goes where it is on its own.</param>
/// <param name="TrialGeneration">
/// In which the trials were given: where the answer is a repeated one, the circuit may have changed since, and then they are to be given back.
/// </param>
[GenerateSerializer, Immutable, Alias("rt.VerdictGrant")]
internal readonly record struct VerdictGrant(
    [property: Id(0)] long Sequence,
    [property: Id(1)] long Epoch,
    [property: Id(2)] long Version,
    [property: Id(3)] long Generation,
    [property: Id(4)] CircuitState State,
    [property: Id(5)] TimeSpan Term,
    [property: Id(6)] bool IsFailing,
    [property: Id(7)] TimeSpan? RetryAfter,
    [property: Id(8)] TimeSpan ComeBackAfter,
    [property: Id(9)] double Share,
    [property: Id(10)] long FirstTrial,
    [property: Id(11)] int Trials,
    [property: Id(12)] CircuitCause Cause,
    [property: Id(13)] string? Reason,
    [property: Id(14)] CircuitBreakerPolicy? Policy,
    [property: Id(15)] long TrialGeneration = 0);
