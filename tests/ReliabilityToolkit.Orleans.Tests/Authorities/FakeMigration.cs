using System.Buffers;
using System.Diagnostics.CodeAnalysis;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>What an activation takes along, written and read as between two silos.</summary>
internal sealed class FakeMigration : IDehydrationContext, IRehydrationContext
{
    private readonly Dictionary<string, byte[]> _values = [];

    public IEnumerable<string> Keys => _values.Keys;

    public void AddBytes(string key, ReadOnlySpan<byte> value) => throw new NotSupportedException();

    public void AddBytes<T>(string key, Action<T, IBufferWriter<byte>> valueWriter, T value) => throw new NotSupportedException();

    public bool TryAddValue<T>(string key, T? value) => _values.TryAdd(key, FakeStorage.Write(value!));

    public bool TryGetBytes(string key, out ReadOnlySequence<byte> value) => throw new NotSupportedException();

    public bool TryGetValue<T>(string key, [NotNullWhen(true)] out T? value)
    {
        value = _values.TryGetValue(key, out var written) ? FakeStorage.Read<T>(written) : default;
        return value is not null;
    }
}
