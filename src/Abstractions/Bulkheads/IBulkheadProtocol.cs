namespace ReliabilityToolkit.Orleans;

/// <summary>The conversation between a node and the bulkhead's grain. Each request may be repeated and is done once.</summary>
[Alias("rt.IBulkheadProtocol"), GrainInterfaceType("rt.IBulkheadProtocol")]
internal interface IBulkheadProtocol : IGrainWithStringKey
{
    /// <summary>
    /// Takes what a node has to tell, and lends it slots. Safe to repeat by itself: a repeated request gets the same answer, and one that is out of
    /// date the void one.
    /// </summary>
    /// <exception cref="ArgumentException">No node has such a view; nothing has changed.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    [Alias("Renew")]
    ValueTask<SlotsGrant> RenewAsync(SlotsRequest request);

    /// <summary>
    /// Closes or reopens. Answered when it is obeyed everywhere, or after the time that the node is ready to wait; the same is then asked again.
    /// </summary>
    /// <exception cref="ArgumentException">The command is neither; nothing has changed.</exception>
    /// <exception cref="UnknownPolicyException">The silo has no such policy.</exception>
    [Alias("Command")]
    ValueTask<Obedience> CommandAsync(SlotOrder order);

    /// <summary>
    /// Gives the name a policy of its own, or the configured one again. Safe to repeat: see <see cref="IBulkheadGrain.SetPolicyAsync"/>.
    /// </summary>
    [Alias("SetPolicy")]
    ValueTask<bool> SetPolicyAsync(PolicyOverride<BulkheadPolicy> order);

    /// <summary>Reads the bulkhead; changes nothing.</summary>
    [Alias("GetStatus")]
    ValueTask<BulkheadStatus> GetStatusAsync();
}

/// <summary>Administration.</summary>
[GenerateSerializer, Alias("rt.SlotCommand")]
internal enum SlotCommand
{
    None = 0,
    Close = 1,
    Reopen = 2,
}

/// <summary>"Do this." Asked again under its number it is only looked at how far it is obeyed.</summary>
/// <param name="Id">The order's number.</param>
/// <param name="Command">Close or reopen.</param>
/// <param name="Hold">How long the answer may wait for nodes to obey.</param>
[GenerateSerializer, Immutable, Alias("rt.SlotOrder")]
internal readonly record struct SlotOrder(
    [property: Id(0)] RequestId Id,
    [property: Id(1)] SlotCommand Command,
    [property: Id(2)] TimeSpan Hold);
