namespace SiloHost;

/// <summary>What came of it, tenant by tenant, and whether every limit was kept.</summary>
internal static class Report
{
    /// <returns>The exit code: <see cref="ExitCode.Good"/> or <see cref="ExitCode.LimitExceeded"/>.</returns>
    public static int Write(TextWriter output, IReadOnlyList<TenantRecord> records)
    {
        output.WriteLine();
        output.WriteLine(
            $"{"tenant",-12} {"offered",9} {"admitted",9} {"refused",9} {"unanswered",10} {"limit",10}   "
            + "worst window (limit: burst + rate · length)");
        var violations = new List<string>();
        foreach (var record in records)
        {
            var worst = WorstWindow.Find(record.Admissions, record.Limit);
            var whole = record.Limit.Over(TimeSpan.FromTicks(record.EndedAt - record.StartedAt));
            output.WriteLine(
                $"{record.Tenant,-12} {record.Offered,9:N0} {record.Admissions.Count,9:N0} {record.Refused,9:N0} {record.Unanswered,10:N0} "
                + $"{whole,10:N1}   {Text(worst, record.Limit)}");
            if (worst is { IsViolation: true } violation)
                violations.Add($"{record.Tenant} EXCEEDED its limit: {Text(violation, record.Limit)}.");
        }

        output.WriteLine();
        foreach (var violation in violations)
            output.WriteLine(violation);
        if (violations.Count > 0)
            return ExitCode.LimitExceeded;
        output.WriteLine("No tenant exceeded its limit.");
        return ExitCode.Good;
    }

    private static string Text(Window? window, TokenLimit limit) =>
        window is not { } some
            ? "nothing admitted"
            : $"{some.Admitted:N0} in {some.Length.TotalSeconds:N4} s; limit {limit.Over(some.Length):N2}: "
                + $"{Math.Abs(some.Excess):N2} {(some.IsViolation ? "ABOVE" : "below")}";
}
