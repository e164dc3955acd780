namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A rate limiter as a grain, exact and uncached: for those who want one call and no client library. The grain key is the
/// policy, or "policy/key". A call that failed without an answer may have spent its tokens; the client library repeats such a call safely.
/// </summary>
/// <remarks>
/// Every method throws <see cref="UnknownPolicyException"/> where the silo has no such policy, and <see cref="ArgumentException"/> where the grain
/// key is not a legal name.
/// </remarks>
[Alias("rt.IRateLimiterGrain"), GrainInterfaceType("rt.IRateLimiterGrain")]
public interface IRateLimiterGrain : IGrainWithStringKey
{
    /// <summary>Takes the tokens now or answers no, without waiting.</summary>
    /// <param name="tokens">How many; 1 to the policy's burst.</param>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 or more than the burst.</exception>
    [Alias("TryAcquire")]
    ValueTask<bool> TryAcquireAsync(int tokens = 1);

    /// <summary>
    /// Waits in line for the tokens; the call is held until they are there. False where the queue is full or the tokens would not be there within
    /// half a second: a held call keeps the grain from moving. The client library holds no call and waits for as long as its caller likes. A
    /// cancelled wait gives its tokens back.
    /// </summary>
    /// <param name="tokens">How many; 1 to the policy's burst.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 or more than the burst.</exception>
    [Alias("Acquire")]
    ValueTask<bool> AcquireAsync(int tokens = 1, CancellationToken cancellationToken = default);

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
    ValueTask<bool> SetPolicyAsync(RateLimiterPolicy policy, long version);

    /// <summary>The configured policy holds again. That it was cleared, and with which version, is remembered.</summary>
    /// <inheritdoc cref="SetPolicyAsync"/>
    [Alias("ClearPolicy")]
    ValueTask<bool> ClearPolicyAsync(long version);

    /// <summary>Reads the level; changes nothing.</summary>
    [Alias("GetStatus")]
    ValueTask<RateLimiterStatus> GetStatusAsync();

    /// <summary>Fills the bucket. Those who wait keep their turn and their instant.</summary>
    [Alias("Reset")]
    ValueTask ResetAsync();
}

/// <summary>A limiter at one instant.</summary>
/// <param name="AvailableTokens">Whole tokens that an acquire could take at once; 0 while others wait.</param>
/// <param name="Burst">The most that the bucket holds.</param>
/// <param name="TokensPerPeriod">Tokens that accrue in each <paramref name="Period"/>.</param>
/// <param name="Period">The time in which they accrue.</param>
/// <param name="Waiting">Acquires that wait for their instant.</param>
/// <param name="PolicyVersion">Of its own policy, or of the clearing of that; 0: it never had one.</param>
[GenerateSerializer, Immutable, Alias("rt.RateLimiterStatus")]
public readonly record struct RateLimiterStatus(
    [property: Id(0)] long AvailableTokens,
    [property: Id(1)] long Burst,
    [property: Id(2)] long TokensPerPeriod,
    [property: Id(3)] TimeSpan Period,
    [property: Id(4)] int Waiting,
    [property: Id(5)] long PolicyVersion = 0);
