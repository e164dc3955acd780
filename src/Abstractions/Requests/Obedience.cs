namespace ReliabilityToolkit.Orleans;

/// <summary>
/// How far an order to an authority is obeyed by the nodes. Nobody may still go by what he was told before it, once <paramref name="Pending"/> is 0.
/// </summary>
/// <param name="IsGiven">The order is given.</param>
/// <param name="Pending">Nodes that may not know yet.</param>
/// <param name="Acknowledged">Nodes that know.</param>
/// <param name="RanOut">Nodes that did not say so, and whose terms have run out.</param>
/// <param name="ObeyedAfter">When it is obeyed even if nobody says a word more.</param>
[GenerateSerializer, Immutable, Alias("rt.Obedience")]
internal readonly record struct Obedience(
    [property: Id(0)] bool IsGiven,
    [property: Id(1)] int Pending,
    [property: Id(2)] int Acknowledged,
    [property: Id(3)] int RanOut,
    [property: Id(4)] TimeSpan ObeyedAfter)
{
    public bool IsObeyed => IsGiven && ObeyedAfter == TimeSpan.Zero;
}
