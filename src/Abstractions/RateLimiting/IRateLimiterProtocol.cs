namespace ReliabilityToolkit.Orleans;

/// <summary>The conversation between a node and the limiter's grain. Each request may be repeated and is done once.</summary>
[Alias("rt.IRateLimiterProtocol"), GrainInterfaceType("rt.IRateLimiterProtocol")]
internal interface IRateLimiterProtocol : IGrainWithStringKey
{
    [Alias("Acquire")]
    ValueTask<TokenGrant> AcquireAsync(TokenRequest request, CancellationToken cancellationToken);

    [Alias("Cancel")]
    ValueTask<TokenGrant> CancelAsync(TokenCancellation cancellation, CancellationToken cancellationToken);

    [Alias("Reset")]
    ValueTask<TokenGrant> ResetAsync(RequestId id, CancellationToken cancellationToken);

    [Alias("GetStatus")]
    ValueTask<RateLimiterStatus> GetStatusAsync(CancellationToken cancellationToken);
}

/// <summary>"<paramref name="Tokens"/> for a caller at the door; he will wait (or not)."</summary>
[GenerateSerializer, Immutable, Alias("rt.TokenRequest")]
internal readonly record struct TokenRequest(
    [property: Id(0)] RequestId Id,
    [property: Id(1)] int Tokens,
    [property: Id(2)] bool MayWait);

/// <summary>"The caller of my request <paramref name="Id"/> has gone; take back what was promised him." Safe to repeat by itself.</summary>
[GenerateSerializer, Immutable, Alias("rt.TokenCancellation")]
internal readonly record struct TokenCancellation([property: Id(0)] RequestId Id);

/// <summary>The answer: yours after <paramref name="ReadyAfter"/> (zero: now), or no, and come back after <paramref name="RetryAfter"/>.</summary>
[GenerateSerializer, Immutable, Alias("rt.TokenGrant")]
internal readonly record struct TokenGrant(
    [property: Id(0)] bool IsGranted,
    [property: Id(1)] TimeSpan ReadyAfter,
    [property: Id(2)] TimeSpan RetryAfter,
    [property: Id(3)] RefusalReason Reason);
