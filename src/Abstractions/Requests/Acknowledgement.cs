namespace ReliabilityToolkit.Orleans;

/// <summary>"It is done": the answer to what is told rather than asked. The default is the <see cref="VoidAnswer">void answer</see>.</summary>
[GenerateSerializer, Immutable, Alias("rt.Acknowledgement")]
internal readonly record struct Acknowledgement([property: Id(0)] bool IsDone)
{
    public static readonly Acknowledgement Done = new(true);
}
