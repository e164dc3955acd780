namespace SiloHost;

/// <summary>What one driver, or several together, recorded of one tenant's limiter.</summary>
/// <param name="Run">Which run of a driver it is of: the same in two files is the same run, and counts once.</param>
/// <param name="Policy">The limiter's policy.</param>
/// <param name="Tenant">Its key.</param>
/// <param name="Limit">What it promises.</param>
/// <param name="StartedAt">When the driver began; the ticks of <see cref="Admission"/>.</param>
/// <param name="EndedAt">When it had its last answer.</param>
/// <param name="Offered">Calls made.</param>
/// <param name="Refused">Calls that were refused.</param>
/// <param name="Unanswered">Calls whose outcome nobody told: the authority did not answer in time.</param>
/// <param name="Admissions">Calls that were admitted.</param>
internal sealed record TenantRecord(
    Guid Run,
    string Policy,
    string Tenant,
    TokenLimit Limit,
    long StartedAt,
    long EndedAt,
    int Offered,
    int Refused,
    int Unanswered,
    IReadOnlyList<Admission> Admissions)
{
    /// <summary>The records of several drivers as one.</summary>
    /// <exception cref="UsageException">They do not speak of the same limit.</exception>
    public static TenantRecord Merge(IReadOnlyList<TenantRecord> records)
    {
        var first = records[0];
        if (records.FirstOrDefault(record => record.Limit != first.Limit) is { } other)
            throw new UsageException($"The records give {first.Tenant} different limits: {first.Limit}, {other.Limit}.");
        return first with
        {
            StartedAt = records.Min(record => record.StartedAt),
            EndedAt = records.Max(record => record.EndedAt),
            Offered = records.Sum(record => record.Offered),
            Refused = records.Sum(record => record.Refused),
            Unanswered = records.Sum(record => record.Unanswered),
            Admissions = [.. records.SelectMany(record => record.Admissions)],
        };
    }
}
