namespace ReliabilityToolkit.Orleans;

/// <summary>The calls of those who gave a grain an order, held until all nodes obey. To be used by the grain's own turns only.</summary>
internal sealed class HeldOrders(NodeClock clock)
{
    private TaskCompletionSource? _areObeyed;

    /// <summary>Until all nodes obey, or the asker would rather ask again.</summary>
    /// <param name="look">Gives the order, or tells how far it is obeyed.</param>
    /// <param name="hold">How long the asker is ready to wait.</param>
    public async ValueTask<Obedience> HoldAsync(Func<ValueTask<Obedience>> look, TimeSpan hold)
    {
        var holdUntil = clock.Now + hold;
        while (true)
        {
            var obedience = await look();
            var left = holdUntil.After(clock.Now);
            if (!obedience.IsGiven || obedience.IsObeyed || left == TimeSpan.Zero)
                return obedience;
            var areObeyed = (_areObeyed ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            using var over = new CancellationTokenSource();
            await Task.WhenAny(areObeyed, clock.WaitAsync(obedience.ObeyedAfter < left ? obedience.ObeyedAfter : left, over.Token));
            await over.CancelAsync();
        }
    }

    /// <summary>A node's word was the last that was waited for.</summary>
    public void Release()
    {
        _areObeyed?.SetResult();
        _areObeyed = null;
    }
}
