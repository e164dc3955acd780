namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The time of one activation as the authority, where a record is kept: it begins by taking the record over, what must not be forgotten is recorded
/// before anybody hears of it, and at the end it is said that this was the end. To be used in the grain's own turns only.
/// </summary>
internal sealed class Tenure<TMemory>(NodeClock clock, Record<TMemory> record, IDurablePolicy policy, Durability durability)
    where TMemory : class
{
    private Instant _provenUntil = Instant.Never;
    private Instant _proveAt = Instant.Never;
    private Task? _writing;
    private long _recordedDecrees;
    private bool _isOver;

    public Record<TMemory> Record => record;

    private bool IsFenced => durability == Durability.Fenced;

    /// <summary>Whether it may decide now.</summary>
    public bool MayDecide(Instant now) => now < _provenUntil && !record.IsLost && !_isOver;

    /// <summary>Whether it is time to show that it is still the one.</summary>
    public bool IsToProve(Instant now) => now >= _proveAt && !record.IsLost && !_isOver && _writing is null;

    /// <summary>Begins, and says what it takes over.</summary>
    /// <param name="newEpoch">Where it does not carry on.</param>
    /// <param name="carried">What moved here with the activation.</param>
    public async Task<Heritage<TMemory>> BeginAsync(long newEpoch, Carried<TMemory>? carried)
    {
        var found = await record.ReadAsync();
        var memory = found is null ? null : record.MemoryOf(found);
        var heritage = new Heritage<TMemory>(newEpoch, Predecessor.None);
        if (carried is not null && carried.HasRecord == record.Exists && (found is null || found.Owner == carried.Owner))
            heritage = new Heritage<TMemory>(carried.Epoch, Predecessor.Finished, carried.Memory);
        else if (found is { IsClean: true } && memory is not null)
            heritage = new Heritage<TMemory>(found.Epoch, Predecessor.Finished, memory, Since(found));
        else if (found is not null)
            heritage = new Heritage<TMemory>(Math.Max(newEpoch, found.Epoch + 1), Predecessor.Lost, memory, Since(found));
        if (IsFenced)
            heritage = heritage with { Fence = LeaseTerm.OfOwnership };
        if (record.Exists || !policy.RecordLate)
            await ProveAsync(() => record.TakeAsync(heritage.Epoch));
        return heritage;
    }

    /// <summary>The machine has taken over.</summary>
    public void HasBegun(long decrees) => _recordedDecrees = decrees;

    /// <summary>Whether it has decided something that has not been recorded yet.</summary>
    public bool IsBehind(IRemembers<TMemory> machine) =>
        machine.Decrees > _recordedDecrees || (!record.Exists && machine.IsWorthRecording);

    /// <summary>Records what there is to be recorded; for all who wait for it at once.</summary>
    public async Task CatchUpAsync(IRemembers<TMemory> machine)
    {
        while (IsBehind(machine))
            await (_writing ??= OnceAsync(() => KeepAsync(machine)));
    }

    /// <summary>Shows that it is still the one.</summary>
    public Task ProveAsync(IRemembers<TMemory> machine) => _isOver || record.IsLost
        ? Task.FromException(new InvalidOperationException("it is not the one any more."))
        : _writing ??= OnceAsync(() => KeepAsync(machine));

    /// <summary>It decides nothing from now on; whatever may be its own work is told to its successor.</summary>
    public async Task EndAsync(IRemembers<TMemory> machine, bool isWorthKeeping)
    {
        _isOver = true;
        if (_writing is { } last)
            await last.ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
        if (record.IsLost || machine.HasSuccessor || (!isWorthKeeping && !record.Exists))
            return;
        if (isWorthKeeping)
            await record.KeepAsync(machine.Epoch, machine.Capture(clock.Now, isWhole: true), isClean: true);
        else
            await record.DeleteAsync();
    }

    private TimeSpan Since(AuthorityRecord found)
    {
        var elapsed = clock.Time.GetUtcNow().UtcDateTime - found.CapturedAt - LeaseTerm.ClocksApart;
        return elapsed > TimeSpan.Zero ? elapsed : TimeSpan.Zero;
    }

    private async Task KeepAsync(IRemembers<TMemory> machine)
    {
        var decrees = machine.Decrees;
        await ProveAsync(() => record.KeepAsync(machine.Epoch, machine.Capture(clock.Now, isWhole: false)));
        _recordedDecrees = decrees;
    }

    private async Task ProveAsync(Func<Task> write)
    {
        var askedAt = clock.Now;
        await write();
        if (IsFenced)
            (_provenUntil, _proveAt) = (LeaseTerm.HeldUntil(askedAt, LeaseTerm.OfOwnership), LeaseTerm.RenewAt(askedAt, LeaseTerm.OfOwnership));
    }

    private async Task OnceAsync(Func<Task> write)
    {
        await Task.Yield(); // so that it is noted before it is over
        try
        {
            await write();
        }
        finally
        {
            _writing = null;
        }
    }
}
