using System.Globalization;
using System.Reflection;
using System.Runtime;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>The rows as a table for people and as JSON for machines. Neither tells when or on whose machine.</summary>
internal static class Report
{
    private static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    public static string ToMarkdown(Settings settings, IEnumerable<Row> rows)
    {
        var isConcurrent = GCSettings.LatencyMode != GCLatencyMode.Batch;
        var gc = $"{(GCSettings.IsServerGC ? "server" : "workstation")} GC, {(isConcurrent ? "concurrent" : "not concurrent")}";
        var text = new StringBuilder()
            .Append($"{RuntimeInformation.FrameworkDescription}, {RuntimeInformation.OSDescription}, ")
            .Append(CultureInfo.InvariantCulture, $"{Environment.ProcessorCount} cores, {gc}, {settings.Name} run.\n\n")
            .Append("| Measured | Value (least to most) | Allocated per operation | Peer | Ratio (least to most) | Target |\n")
            .Append("|---|--:|--:|---|--:|---|\n");
        foreach (var row in rows)
        {
            var ratio = row.Ratio is { } r
                ? string.Create(CultureInfo.InvariantCulture, $"{Shown(r.Median)} ({Shown(r.Least)} to {Shown(r.Most)})")
                : "";
            var target = row.Target is { } t ? $"{t.Text}: {(t.IsMetBy(row) ? "met" : "missed")}" : "";
            var allocated = row.AllocatedBytes is { } bytes ? string.Create(CultureInfo.InvariantCulture, $"{bytes:N0} B") : "";
            var range = row.Range is { } between ? $" ({Shown(between.Least)} to {Shown(between.Most)})" : "";
            text.Append($"| {row.Name} | {Shown(row.Value)} {row.Unit}{range} | {allocated} | {row.Peer} | {ratio} | {target} |\n");
        }

        return text.ToString();
    }

    /// <summary>Writes both files.</summary>
    public static void Write(string markdown, IEnumerable<Row> rows)
    {
        var folder = typeof(Report).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(entry => entry.Key == "ResultsFolder").Value!;
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "results.md"), markdown);
        var entries = rows.Select(row => new
        {
            row.Name,
            Value = Rounded(row.Value),
            row.Unit,
            Least = row.Range is { } range ? Rounded(range.Least) : (double?)null,
            Most = row.Range is { } also ? Rounded(also.Most) : (double?)null,
            AllocatedBytes = row.AllocatedBytes is { } bytes ? Math.Round(bytes) : (double?)null,
            row.Peer,
            Ratio = row.Ratio is { } ratio ? Rounded(ratio.Median) : (double?)null,
            Target = row.Target?.Text,
        });
        File.WriteAllText(Path.Combine(folder, "results.json"), JsonSerializer.Serialize(entries, Json) + "\n");
    }

    private static string Shown(double value) => Rounded(value).ToString("#,0.####", CultureInfo.InvariantCulture);

    // Three digits are more than a shared machine can tell apart.
    private static double Rounded(double value) =>
        value is 0 or >= 1_000 ? Math.Round(value) : Math.Round(value, Math.Max(0, 2 - (int)Math.Floor(Math.Log10(Math.Abs(value)))));
}
