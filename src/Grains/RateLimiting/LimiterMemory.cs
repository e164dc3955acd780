namespace ReliabilityToolkit.Orleans;

/// <summary>What a <see cref="TokenLedger"/> knows, for the one that carries its work on. Instants are told as durations from then.</summary>
/// <param name="Epoch">Of the activation.</param>
/// <param name="Predecessor">Of the one before it, if it has heard of it.</param>
/// <param name="WithheldFor">So long its rate is not its own.</param>
/// <param name="IsWhollyWithheld">Nor is its room.</param>
/// <param name="TokenCost">Units of a token.</param>
/// <param name="Units">In the rest.</param>
/// <param name="FullRate">Of the policy, in units per tick.</param>
/// <param name="Parts">What is lent, that first which ends first.</param>
/// <param name="Told">What callers were promised who know their instants, in order.</param>
/// <param name="Line">Who else waits, in order.</param>
[GenerateSerializer, Immutable, Alias("rt.LimiterMemory")]
internal sealed record LimiterMemory(
    [property: Id(0)] long Epoch,
    [property: Id(1)] long Predecessor,
    [property: Id(2)] TimeSpan WithheldFor,
    [property: Id(3)] bool IsWhollyWithheld,
    [property: Id(4)] long TokenCost,
    [property: Id(5)] long Units,
    [property: Id(6)] PartMemory[] Parts,
    [property: Id(7)] PromiseMemory[] Told,
    [property: Id(8)] WaiterMemory[] Line,
    [property: Id(9)] long FullRate);

/// <summary>A part that is lent; see <see cref="TokenParts.Part"/>.</summary>
[GenerateSerializer, Immutable, Alias("rt.PartMemory")]
internal readonly record struct PartMemory(
    [property: Id(0)] Borrower Holder,
    [property: Id(1)] PartGrant Answer,
    [property: Id(2)] long AnsweredRate,
    [property: Id(3)] TimeSpan EndsIn,
    [property: Id(4)] long HeldSequence,
    [property: Id(5)] long HeldRate,
    [property: Id(6)] int Room,
    [property: Id(7)] long Rate,
    [property: Id(8)] long GivenBack,
    [property: Id(9)] long Alone,
    [property: Id(10)] double Demand,
    [property: Id(11)] TimeSpan HeardAgo);

/// <summary>What a caller was promised.</summary>
/// <param name="Tokens">So many.</param>
/// <param name="In">When they are his.</param>
[GenerateSerializer, Immutable, Alias("rt.PromiseMemory")]
internal readonly record struct PromiseMemory([property: Id(0)] int Tokens, [property: Id(1)] TimeSpan In);

/// <summary>A caller who waits.</summary>
/// <param name="Node">Whose.</param>
/// <param name="Channel">Likewise.</param>
/// <param name="Sequence">Of his request.</param>
/// <param name="Tokens">That he wants.</param>
/// <param name="In">When he is to ask again.</param>
[GenerateSerializer, Immutable, Alias("rt.WaiterMemory")]
internal readonly record struct WaiterMemory(
    [property: Id(0)] Guid Node,
    [property: Id(1)] int Channel,
    [property: Id(2)] long Sequence,
    [property: Id(3)] int Tokens,
    [property: Id(4)] TimeSpan In);
