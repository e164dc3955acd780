namespace ReliabilityToolkit.Orleans;

/// <summary>A limit, for whoever wants to tell it to those whom it binds.</summary>
/// <param name="Burst">The most tokens that the bucket holds.</param>
/// <param name="FillsWithin">The time in which the rate fills an empty bucket.</param>
public sealed record RateLimiterQuota(int Burst, TimeSpan FillsWithin);
