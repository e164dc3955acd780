using System.Diagnostics;
using Orleans.Serialization;
using Orleans.Storage;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The record of one authority, as one activation sees it: what it reads and writes is done in turn, and a write does nothing where another has
/// written since. To be used in the grain's own turns only.
/// </summary>
internal sealed class Record<TMemory>(
    NodeClock clock, Serializer serializer, IGrainStorage storage, AuthorityMeter meter, GrainId id, string owner)
    where TMemory : class
{
    // A node has given up by then; who waits longer only makes others wait.
    private static readonly TimeSpan Patience = CallTimeouts.Default;

    private Task _last = Task.CompletedTask;
    private string? _tag;
    private AuthorityRecord? _content; // as it was last known to be; null: there is none
    private bool _isUnsure; // whether that is still so: a write got no answer
    private bool _mayComeLate; // that write, since the last that was answered

    /// <summary>Whether another activation has taken it: this one decides nothing any more.</summary>
    public bool IsLost { get; private set; }

    /// <summary>What there is.</summary>
    /// <exception cref="NotSupportedException">It has a newer format than is known here.</exception>
    public async Task<AuthorityRecord?> ReadAsync()
    {
        await InTurnAsync(LookAsync);
        Override = _content?.Override;
        return _content;
    }

    /// <summary>What was captured in it; null where nothing was.</summary>
    public TMemory? MemoryOf(AuthorityRecord record) => record.Memory is { } bytes ? serializer.Deserialize<TMemory>(bytes) : null;

    /// <summary>The policy of the name's own, in Orleans' format: as it was found, or is to be kept.</summary>
    public byte[]? Override { get; set; }

    /// <summary>This activation is the authority from now on, unless another comes first; what was captured stays.</summary>
    public Task TakeAsync(long epoch) => WriteAsync(() => new AuthorityRecord
    {
        Epoch = epoch,
        Owner = owner,
        CapturedAt = _content?.CapturedAt ?? UtcNow,
        Memory = _content?.Memory,
        Override = Override,
    });

    /// <summary>This one, still at work, knows this.</summary>
    public Task KeepAsync(long epoch, TMemory memory, bool isClean = false) => WriteAsync(() => new AuthorityRecord
    {
        Epoch = epoch,
        Owner = owner,
        IsClean = isClean,
        CapturedAt = UtcNow,
        Memory = serializer.SerializeToArray(memory),
        Override = Override,
    });

    /// <summary>There is nothing to be remembered.</summary>
    public Task DeleteAsync() => InTurnAsync(async () =>
    {
        var state = (GrainState<AuthorityRecord>?)null;
        await ChangeAsync(() =>
        {
            state = ToState(new AuthorityRecord());
            return _content is null ? Task.CompletedTask : storage.ClearStateAsync(StateName, id, state);
        });
        if (_content is not null)
            meter.Deleted(Kind);
        (_content, _tag) = (null, state!.ETag);
    });

    // "rt.limiter" is a limiter's; where keys are files or paths, a dot may mean something.
    private string StateName => id.Type.ToString()!.Replace('.', '-');

    private string Kind => id.Type.ToString()!["rt.".Length..];

    private long UtcNow => clock.Time.GetUtcNow().UtcTicks;

    private Task WriteAsync(Func<AuthorityRecord> compose) => InTurnAsync(async () =>
    {
        var (content, state) = ((AuthorityRecord?)null, (GrainState<AuthorityRecord>?)null);
        await ChangeAsync(() =>
        {
            content = compose();
            state = ToState(content);
            return storage.WriteStateAsync(StateName, id, state);
        });
        (_content, _tag) = (content, state!.ETag);
        meter.Written(Kind);
    });

    private GrainState<AuthorityRecord> ToState(AuthorityRecord content) => new(content, _tag!) { RecordExists = _content is not null };

    private async Task LookAsync()
    {
        var state = new GrainState<AuthorityRecord>();
        await AttemptAsync(() => storage.ReadStateAsync(StateName, id, state));
        var found = state.RecordExists ? state.State : null;
        if (found?.Format > AuthorityRecord.NewestFormat)
        {
            throw new NotSupportedException(
                $"its record has format {found.Format}, and this version knows {AuthorityRecord.NewestFormat} at most; nothing was changed.");
        }

        (_content, _tag) = (found, state.ETag);
    }

    // What contradicts a change may be this activation's own, which was so late that nobody waited for it any more. Then it is made once more.
    private async Task ChangeAsync(Func<Task> change)
    {
        await MakeSureAsync();
        try
        {
            await AttemptAsync(change);
        }
        catch (InconsistentStateException e)
        {
            if (!_mayComeLate)
                throw Lose(e);
            await LookAsync();
            if (_content?.Owner != owner)
                throw Lose(e);
            await AttemptAsync(change);
        }

        _mayComeLate = false;
    }

    // A write without an answer may have been done, or may be done yet; in that case it is one that this activation wanted.
    private async Task MakeSureAsync()
    {
        if (IsLost)
            throw new InconsistentStateException("another activation has taken its place.");
        if (!_isUnsure)
            return;
        var before = _tag;
        await LookAsync();
        _isUnsure = false;
        if (_tag != before && _content?.Owner != owner)
            throw Lose(null);
    }

    private async Task AttemptAsync(Func<Task> operation)
    {
        using var activity = ReliabilityToolkitTelemetry.Activities.StartActivity("record.access", ActivityKind.Client);
        activity?.SetTag("kind", Kind);
        try
        {
            await operation().WaitAsync(Patience, clock.Time);
        }
        catch (Exception e) when (e is not InconsistentStateException)
        {
            activity?.SetStatus(ActivityStatusCode.Error, e.Message);
            _isUnsure = _mayComeLate = true;
            meter.Failed(Kind);
            throw;
        }
    }

    private InconsistentStateException Lose(Exception? e)
    {
        IsLost = true;
        meter.Lost(Kind);
        return new InconsistentStateException("another activation has taken its place.", e!);
    }

    private Task InTurnAsync(Func<Task> operation)
    {
        return _last = AfterAsync(_last);

        async Task AfterAsync(Task before)
        {
            await before.ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
            await operation();
        }
    }
}
