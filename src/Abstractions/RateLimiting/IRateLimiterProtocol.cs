namespace ReliabilityToolkit.Orleans;

/// <summary>The conversation between a node and the limiter's grain. Each request may be repeated and is done once.</summary>
[Alias("rt.IRateLimiterProtocol"), GrainInterfaceType("rt.IRateLimiterProtocol")]
internal interface IRateLimiterProtocol : IGrainWithStringKey
{
    /// <summary>Asks for tokens. Answered at once: one who may wait is told when they will be his.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 or more than the burst; nothing is spent.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    [Alias("Acquire")]
    ValueTask<TokenGrant> AcquireAsync(TokenRequest request);

    /// <summary>
    /// Takes a node's view of its part, and lends it what it is to have for the next term. Safe to repeat by itself: a repeated request gets the same
    /// answer, and one that is out of date gets the void answer.
    /// </summary>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    [Alias("Renew")]
    ValueTask<PartGrant> RenewAsync(PartRequest request);

    /// <summary>
    /// Takes back what an earlier request was promised, if its instant has not come. May overtake the request, which then takes nothing.
    /// </summary>
    [Alias("Cancel")]
    ValueTask<Acknowledgement> CancelAsync(TokenCancellation cancellation);

    /// <summary>Takes tokens back that were spent in vain; those for which there is no room are lost.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1.</exception>
    [Alias("Refund")]
    ValueTask<Acknowledgement> RefundAsync(TokenRefund refund);

    /// <summary>Fills the bucket; promised instants stay.</summary>
    [Alias("Reset")]
    ValueTask<Acknowledgement> ResetAsync(RequestId id);

    /// <summary>
    /// Gives the name a policy of its own, or the configured one again. Safe to repeat: see <see cref="IRateLimiterGrain.SetPolicyAsync"/>.
    /// </summary>
    [Alias("SetPolicy")]
    ValueTask<bool> SetPolicyAsync(PolicyOverride<RateLimiterPolicy> order);

    /// <summary>Reads the level; changes nothing.</summary>
    [Alias("GetStatus")]
    ValueTask<RateLimiterStatus> GetStatusAsync();
}

/// <summary>
/// "<paramref name="Tokens"/> for a caller at the door; he will wait (or not)." One who was told to ask again does so under the same number.
/// </summary>
/// <param name="Id">The request's number.</param>
/// <param name="Tokens">1 to the policy's burst.</param>
/// <param name="MayWait">Whether a no is to be waited out.</param>
/// <param name="Demand">Tokens that all callers of the node ask for in a second, given or not; 0: it does not say.</param>
/// <param name="Epoch">Of the authority that the node has heard of lately; 0: of none.</param>
/// <param name="Asked">Tokens that its callers asked for since it last said so.</param>
[GenerateSerializer, Immutable, Alias("rt.TokenRequest")]
internal readonly record struct TokenRequest(
    [property: Id(0)] RequestId Id,
    [property: Id(1)] int Tokens,
    [property: Id(2)] bool MayWait,
    [property: Id(3)] double Demand = 0,
    [property: Id(4)] long Epoch = 0,
    [property: Id(5)] long Asked = 0);

/// <summary>"The caller of my request <paramref name="Id"/> has gone; take back what was promised him." Safe to repeat by itself.</summary>
[GenerateSerializer, Immutable, Alias("rt.TokenCancellation")]
internal readonly record struct TokenCancellation([property: Id(0)] RequestId Id);

/// <summary>"So many tokens of those that I got cost nothing after all."</summary>
[GenerateSerializer, Immutable, Alias("rt.TokenRefund")]
internal readonly record struct TokenRefund([property: Id(0)] RequestId Id, [property: Id(1)] int Tokens);

/// <summary>The answer: yours after <paramref name="ReadyAfter"/> (zero: now), or no, and come back after <paramref name="RetryAfter"/>.</summary>
/// <param name="IsGranted">Yes or no.</param>
/// <param name="ReadyAfter">Of a yes: counted from the answer.</param>
/// <param name="RetryAfter">Of a no: counted from the answer.</param>
/// <param name="Reason">Of a no.</param>
/// <param name="Burst">The policy's, by which the node knows what can never be had; 0 from an authority that does not say.</param>
/// <param name="AskAgainAfter">Neither yes nor no, if above zero: the caller keeps his place in line if he asks again then.</param>
/// <param name="ComeBackAfter">Before that the node need not ask for anybody who will not wait; zero: it does not say.</param>
/// <param name="AskEvery">How long apart the node is to ask for those who will not wait, in overload; zero: as they come.</param>
/// <param name="Share">What the node is to go by should it hear no more; nothing: it does not say.</param>
/// <param name="IsShadow">A refusal is to be counted only.</param>
/// <param name="FillsWithin">The time in which the policy's rate fills its burst, for whoever wants to tell the limit; zero: it does not say.</param>
/// <param name="MayHavePart">Whether the node may have a part of the limiter's rate.</param>
/// <param name="Epoch">Of the authority.</param>
[GenerateSerializer, Immutable, Alias("rt.TokenGrant")]
internal readonly record struct TokenGrant(
    [property: Id(0)] bool IsGranted,
    [property: Id(1)] TimeSpan ReadyAfter,
    [property: Id(2)] TimeSpan RetryAfter,
    [property: Id(3)] RefusalReason Reason,
    [property: Id(4)] int Burst,
    [property: Id(5)] TimeSpan AskAgainAfter = default,
    [property: Id(6)] TimeSpan ComeBackAfter = default,
    [property: Id(7)] bool MayHavePart = false,
    [property: Id(8)] long Epoch = 0,
    [property: Id(9)] TimeSpan AskEvery = default,
    [property: Id(10)] FairShare Share = default,
    [property: Id(11)] bool IsShadow = false,
    [property: Id(12)] TimeSpan FillsWithin = default);
