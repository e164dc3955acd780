namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A node's whole view of its part of a limiter. One is in flight at a time; a newer one makes the older ones, and their answers, void. Repeated
/// under its number it gets the same answer.
/// </summary>
/// <param name="Holder">Who asks.</param>
/// <param name="Sequence">Counts up from 1.</param>
/// <param name="Epoch">Of the authority that the node last heard of; 0: of none.</param>
/// <param name="Taken">The number of the newest answer that it has taken, if what that lent has not ended; 0: it holds nothing.</param>
/// <param name="Room">The most tokens that its part holds, now that it has made it smaller where it was told to.</param>
/// <param name="GivenBack">Whole tokens given back since the node began, this time included; they stood in room that it no longer has.</param>
/// <param name="Level">Whole tokens in the part.</param>
/// <param name="Want">Room kept free for the answer: the part fills up to <c>Room - Want</c> only, until the answer is there.</param>
/// <param name="Demand">Tokens that its callers ask for in a second, given or not.</param>
/// <param name="Asked">Tokens that its callers asked for since it last said so.</param>
/// <param name="AtTheDoor">Callers who want one token each, and wait for this very answer ahead of all others.</param>
/// <param name="Alone">Tokens that the node admitted by itself since it took its last answer: the authority was out of its reach.</param>
[GenerateSerializer, Immutable, Alias("rt.PartRequest")]
internal readonly record struct PartRequest(
    [property: Id(0)] Borrower Holder,
    [property: Id(1)] long Sequence,
    [property: Id(2)] long Epoch,
    [property: Id(3)] long Taken,
    [property: Id(4)] int Room,
    [property: Id(5)] long GivenBack,
    [property: Id(6)] int Level,
    [property: Id(7)] int Want,
    [property: Id(8)] double Demand,
    [property: Id(9)] long Asked,
    [property: Id(10)] int AtTheDoor,
    [property: Id(11)] long Alone = 0);

/// <summary>What a node may use from the moment it has this until its term ends, counted from before the node asked.</summary>
/// <param name="Sequence">Of the request that it answers; 0: it answers nothing, the request was out of date.</param>
/// <param name="Epoch">Of the authority.</param>
/// <param name="Room">The room of the part from now on: larger, or smaller, and then the node gives up what is above it.</param>
/// <param name="Tokens">Tokens for the part: at most what was wanted, and the room that is added.</param>
/// <param name="Served">Tokens for those at the door, admitted at the authority's instant; they need no room.</param>
/// <param name="Rate">What the part earns in a tick of 100 ns, in units of which a token costs <paramref name="TokenCost"/>.</param>
/// <param name="TokenCost">Units of a token.</param>
/// <param name="Term">How long it is lent; zero: nothing is said of the part, ask again after <paramref name="ReadyAfter"/>.</param>
/// <param name="RationedFor">So long a part that is dry refuses without a call; zero: it may ask.</param>
/// <param name="ReadyAfter">When the rest will have the next token; for those at the door who were not served.</param>
/// <param name="Burst">The policy's.</param>
/// <param name="QueueLimit">The policy's.</param>
/// <param name="Share">What the node is to go by should it hear no more.</param>
/// <param name="IsShadow">A refusal is to be counted only.</param>
/// <param name="FillsWithin">The time in which the policy's rate fills its burst.</param>
[GenerateSerializer, Immutable, Alias("rt.PartGrant")]
internal readonly record struct PartGrant(
    [property: Id(0)] long Sequence,
    [property: Id(1)] long Epoch,
    [property: Id(2)] int Room,
    [property: Id(3)] int Tokens,
    [property: Id(4)] int Served,
    [property: Id(5)] long Rate,
    [property: Id(6)] long TokenCost,
    [property: Id(7)] TimeSpan Term,
    [property: Id(8)] TimeSpan RationedFor,
    [property: Id(9)] TimeSpan ReadyAfter,
    [property: Id(10)] int Burst,
    [property: Id(11)] int QueueLimit,
    [property: Id(12)] FairShare Share = default,
    [property: Id(13)] bool IsShadow = false,
    [property: Id(14)] TimeSpan FillsWithin = default);

/// <summary>That part of a limiter which is a node's due by the demand of all.</summary>
/// <param name="Rate">Tokens per second.</param>
/// <param name="Burst">Tokens.</param>
[GenerateSerializer, Immutable, Alias("rt.FairShare")]
internal readonly record struct FairShare([property: Id(0)] double Rate, [property: Id(1)] double Burst);
