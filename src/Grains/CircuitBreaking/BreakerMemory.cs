namespace ReliabilityToolkit.Orleans;

/// <summary>What a <see cref="Circuit"/> knows, for the one that carries its work on. Instants are told as durations from then.</summary>
/// <param name="Epoch">Of the activation.</param>
/// <param name="UnknownFor">So long there may be nodes, of which it knows nothing, that one before it lent a verdict.</param>
/// <param name="Version">Of what the nodes were told.</param>
/// <param name="LastNumber">Of a trial or generation.</param>
/// <param name="ForAll">The state for all nodes.</param>
/// <param name="Trials">Under way.</param>
/// <param name="Holders">The nodes that were lent a verdict.</param>
/// <param name="Orders">That may be asked for again.</param>
[GenerateSerializer, Immutable, Alias("rt.BreakerMemory")]
internal sealed record BreakerMemory(
    [property: Id(0)] long Epoch,
    [property: Id(1)] TimeSpan UnknownFor,
    [property: Id(2)] long Version,
    [property: Id(3)] long LastNumber,
    [property: Id(4)] StatesMemory ForAll,
    [property: Id(5)] TrialMemory[] Trials,
    [property: Id(6)] VerdictMemory[] Holders,
    [property: Id(7)] OrderMemory[] Orders);

/// <summary>A node that was lent a verdict; see <see cref="VerdictHolders.Holder"/>.</summary>
[GenerateSerializer, Immutable, Alias("rt.VerdictMemory")]
internal readonly record struct VerdictMemory(
    [property: Id(0)] Borrower Borrower,
    [property: Id(1)] TimeSpan HeardAgo,
    [property: Id(2)] TimeSpan RememberedAgo,
    [property: Id(3)] long Sequence,
    [property: Id(4)] long FirstTrial,
    [property: Id(5)] int TrialCount,
    [property: Id(6)] long TrialGeneration,
    [property: Id(7)] TimeSpan AdmitsFor,
    [property: Id(8)] long Knows,
    [property: Id(9)] StatesMemory? Own,
    [property: Id(10)] long OwnBeganIn);
