using Orleans.Storage;

namespace ReliabilityToolkit.Orleans;

/// <summary>The shell around <see cref="Tenure"/>: it reads and writes the record. To be used in the grain's own turns only.</summary>
internal sealed class RecordKeeper<TMemory>(NodeClock clock, Tenure tenure, Record<TMemory> record)
    where TMemory : class
{
    private Task? _writing;
    private bool _isOverrideNew;

    /// <summary>Whether another activation has taken the record.</summary>
    public bool IsLost => record.IsLost;

    /// <summary>The policy of the name's own, in Orleans' format; set, it is to be recorded.</summary>
    public byte[]? Override
    {
        get => record.Override;
        set => (record.Override, _isOverrideNew) = (value, true);
    }

    /// <summary>Takes the record over, and says what there was.</summary>
    /// <param name="newEpoch">Where it does not carry on.</param>
    /// <param name="carried">What moved here with the activation.</param>
    public async Task<Heritage<TMemory>> BeginAsync(long newEpoch, Carried<TMemory>? carried)
    {
        var found = await record.ReadAsync();
        var memory = found is null ? null : record.MemoryOf(found);
        var heritage = tenure.Inherit(found, memory, carried, newEpoch, clock.Time.GetUtcNow().UtcTicks);
        if (!tenure.MustWriteFirst)
            return heritage;
        var askedAt = clock.Now;
        try
        {
            await record.TakeAsync(heritage.Epoch);
        }
        catch (Exception e) when (e is not (InconsistentStateException or OutOfMemoryException))
        {
            // It may have been carried out. Given up now, the goodbye that was there would be lost, and the next take this activation for a lost one.
            askedAt = clock.Now;
            await record.TakeAsync(heritage.Epoch);
        }

        tenure.Recorded(askedAt, 0);
        return heritage;
    }

    /// <summary>Records what there is to be recorded; for all who wait for it at once.</summary>
    public async Task CatchUpAsync(IRemembers<TMemory> machine)
    {
        while (tenure.IsBehind(machine) || _isOverrideNew)
            await WriteAsync(machine);
    }

    /// <summary>Shows that it is still the one.</summary>
    public Task WriteAsync(IRemembers<TMemory> machine) => _writing ??= KeepAsync(machine);

    /// <summary>Whatever may be its own work is told to its successor. It decides nothing any more.</summary>
    public async Task EndAsync(IRemembers<TMemory> machine)
    {
        tenure.End();
        if (_writing is { } last)
            await last.ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
        if (record.IsLost || machine.HasSuccessor)
            return;
        var now = clock.Now;
        if (machine.MemorableUntil > now || Override is not null)
            await record.KeepAsync(machine.Epoch, machine.Capture(now, isWhole: true), isClean: true);
        else
            await record.DeleteAsync();
    }

    private async Task KeepAsync(IRemembers<TMemory> machine)
    {
        await Task.Yield(); // so that it is noted before it is over
        try
        {
            if (tenure.IsOver)
                throw new InvalidOperationException("its time is over.");
            var (askedAt, decrees, last) = (clock.Now, machine.Decrees, Override);
            await record.KeepAsync(machine.Epoch, machine.Capture(askedAt, isWhole: false));
            tenure.Recorded(askedAt, decrees);
            _isOverrideNew &= !ReferenceEquals(last, Override);
        }
        finally
        {
            _writing = null;
            if (record.IsLost)
                tenure.End();
        }
    }
}
