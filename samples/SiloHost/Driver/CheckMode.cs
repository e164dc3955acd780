namespace SiloHost;

/// <summary>Lays the records of several drivers together: each alone may be within a limit that they exceeded together.</summary>
internal static class CheckMode
{
    /// <exception cref="UsageException">No files, or one that is no record.</exception>
    public static int Run(IReadOnlyList<string> files)
    {
        if (files.Count == 0)
            throw new UsageException("check wants the files that drive --record wrote.");
        var read = files.SelectMany(RecordFile.Read).ToArray();
        var distinct = read.DistinctBy(record => (record.Run, record.Policy, record.Tenant)).ToArray(); // a run counted twice would exceed any limit
        if (distinct.Length < read.Length)
            Console.WriteLine($"{read.Length - distinct.Length} tenant record(s) are of a run that another file has, too: counted once.");
        var records = distinct
            .GroupBy(record => (record.Policy, record.Tenant))
            .Select(sameTenant => TenantRecord.Merge([.. sameTenant]))
            .ToArray();
        Console.WriteLine($"{distinct.DistinctBy(record => record.Run).Count()} run(s), {records.Sum(record => (long)record.Offered):N0} calls.");
        return Report.Write(Console.Out, records);
    }
}
