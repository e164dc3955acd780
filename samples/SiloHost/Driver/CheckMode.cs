namespace SiloHost;

/// <summary>Lays the records of several drivers together: each alone may be within a limit that they exceeded together.</summary>
internal static class CheckMode
{
    /// <exception cref="UsageException">No files, or one that is no record.</exception>
    public static int Run(IReadOnlyList<string> files)
    {
        if (files.Count == 0)
            throw new UsageException("check wants the files that drive --record wrote.");
        var records = files
            .SelectMany(RecordFile.Read)
            .GroupBy(record => (record.Policy, record.Tenant))
            .Select(sameTenant => TenantRecord.Merge([.. sameTenant]))
            .ToArray();
        Console.WriteLine($"{files.Count} record(s), {records.Sum(record => (long)record.Offered):N0} calls.");
        return Report.Write(Console.Out, records);
    }
}
