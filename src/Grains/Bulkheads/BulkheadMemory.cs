namespace ReliabilityToolkit.Orleans;

/// <summary>What a <see cref="SlotLedger"/> knows, for the one that carries its work on. Instants are told as durations from then.</summary>
/// <param name="Epoch">Of the activation.</param>
/// <param name="Age">How long it has been the authority.</param>
/// <param name="WithheldFor">So long it lends nothing new.</param>
/// <param name="LastNumber">Of a grant.</param>
/// <param name="Version">Of what the nodes were told.</param>
/// <param name="IsClosed">Whether it is.</param>
/// <param name="HighWaterMark">The most that were lent at once.</param>
/// <param name="Loans">What is lent, and who waits; those heard last at the end.</param>
/// <param name="Orders">That may be asked for again.</param>
[GenerateSerializer, Immutable, Alias("rt.BulkheadMemory")]
internal sealed record BulkheadMemory(
    [property: Id(0)] long Epoch,
    [property: Id(1)] TimeSpan Age,
    [property: Id(2)] TimeSpan WithheldFor,
    [property: Id(3)] long LastNumber,
    [property: Id(4)] long Version,
    [property: Id(5)] bool IsClosed,
    [property: Id(6)] long HighWaterMark,
    [property: Id(7)] LoanMemory[] Loans,
    [property: Id(8)] OrderMemory[] Orders);

/// <summary>A node that holds slots or waits for some; see <see cref="SlotLoans.Loan"/>.</summary>
[GenerateSerializer, Immutable, Alias("rt.LoanMemory")]
internal readonly record struct LoanMemory(
    [property: Id(0)] Borrower Borrower,
    [property: Id(1)] long Sequence,
    [property: Id(2)] SlotsGrant Answer,
    [property: Id(3)] int Slots,
    [property: Id(4)] long Number,
    [property: Id(5)] int InUse,
    [property: Id(6)] int SaidInUse,
    [property: Id(7)] TimeSpan EndsIn,
    [property: Id(8)] TimeSpan HeldFor,
    [property: Id(9)] TimeSpan HeardAgo,
    [property: Id(10)] string? NodeName,
    [property: Id(11)] long Knows,
    [property: Id(12)] SlotsAsk[] Asks,
    [property: Id(13)] int Waiting,
    [property: Id(14)] long Turn,
    [property: Id(15)] long CameAs);
