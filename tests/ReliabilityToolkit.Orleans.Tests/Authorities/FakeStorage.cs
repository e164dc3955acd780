using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using Orleans.Storage;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A grain storage as the providers are: a write does nothing unless its tag is that of the newest. It can be made to fail.</summary>
internal sealed class FakeStorage : IGrainStorage
{
    private static readonly Serializer AnySerializer =
        new ServiceCollection().AddSerializer().BuildServiceProvider().GetRequiredService<Serializer>();

    private readonly Dictionary<(string, GrainId), (object State, string Tag)> _rows = [];
    private int _lastTag;

    /// <summary>What happens instead, before and after; null: nothing.</summary>
    public Func<Task>? Before { get; set; }

    public Func<Task>? After { get; set; }

    public int Reads { get; private set; }

    public int Writes { get; private set; }

    public int Rows => _rows.Count;

    public AuthorityRecord? Only => _rows.Count == 0 ? null : (AuthorityRecord)_rows.Values.Single().State;

    public RecordStore Store(NodeClock clock) => new(clock, AnySerializer, this, new AuthorityMeter());

    /// <summary>What comes of it when it has been written and read.</summary>
    public static T Copy<T>(T value) => AnySerializer.Deserialize<T>(AnySerializer.SerializeToArray(value))!;

    public static byte[] Write<T>(T value) => AnySerializer.SerializeToArray(value);

    public static T Read<T>(byte[] written) => AnySerializer.Deserialize<T>(written)!;

    public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        await (Before?.Invoke() ?? Task.CompletedTask);
        Reads++;
        if (!_rows.TryGetValue((stateName, grainId), out var row))
            return;
        (grainState.State, grainState.ETag, grainState.RecordExists) = (Copy((T)row.State), row.Tag, true);
    }

    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        await (Before?.Invoke() ?? Task.CompletedTask);
        Check(stateName, grainId, grainState.ETag);
        Writes++;
        var tag = $"{++_lastTag}";
        _rows[(stateName, grainId)] = (Copy(grainState.State)!, tag);
        await (After?.Invoke() ?? Task.CompletedTask);
        (grainState.ETag, grainState.RecordExists) = (tag, true);
    }

    public async Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        await (Before?.Invoke() ?? Task.CompletedTask);
        Check(stateName, grainId, grainState.ETag);
        _rows.Remove((stateName, grainId));
        (grainState.ETag, grainState.RecordExists) = (null, false);
    }

    private void Check(string stateName, GrainId grainId, string? tag)
    {
        var newest = _rows.TryGetValue((stateName, grainId), out var row) ? row.Tag : null;
        if (newest != tag)
            throw new InconsistentStateException($"{tag} is not {newest}");
    }
}
