namespace ReliabilityToolkit.Orleans;

/// <summary>To whom something is lent: one limiter, breaker or bulkhead of one node.</summary>
[GenerateSerializer, Immutable, Alias("rt.Borrower")]
internal readonly record struct Borrower([property: Id(0)] Guid Node, [property: Id(1)] int Channel);
