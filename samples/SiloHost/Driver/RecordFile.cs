using System.Text.Json;

namespace SiloHost;

/// <summary>A driver's record as a file: JSON lines, one for each tenant.</summary>
internal static class RecordFile
{
    private static readonly JsonSerializerOptions Format = new(JsonSerializerDefaults.Web)
    {
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
    };

    /// <summary>Finds out before a run whether its record can be written.</summary>
    /// <exception cref="UsageException">It cannot: the folder does not exist, or may not be written to.</exception>
    public static void EnsureWritable(string path)
    {
        try
        {
            using var file = File.Open(path, FileMode.Append);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"--record {path} cannot be written: {e.Message}");
        }
    }

    public static void Write(string path, IEnumerable<TenantRecord> records) =>
        File.WriteAllLines(path, records.Select(record => JsonSerializer.Serialize(record, Format)));

    /// <exception cref="UsageException">The file cannot be read, or is no record.</exception>
    public static IReadOnlyList<TenantRecord> Read(string path)
    {
        try
        {
            return [.. File.ReadLines(path).Select(line => JsonSerializer.Deserialize<TenantRecord>(line, Format)
                ?? throw new JsonException("A line is empty."))];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException)
        {
            throw new UsageException($"{path} cannot be read as a record: {e.Message}");
        }
    }
}
