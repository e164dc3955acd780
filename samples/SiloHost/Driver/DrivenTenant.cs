using ReliabilityToolkit.Orleans;

namespace SiloHost;

/// <summary>A tenant, its limiter, and the driver's own record of what it answered. Thread-safe.</summary>
internal sealed class DrivenTenant(string policy, string name, ClusterRateLimiter limiter, TokenLimit limit)
{
    private readonly Lock _lock = new();
    private readonly List<Admission> _admissions = [];
    private int _refused;
    private int _unanswered;

    /// <summary>Reads the limit from the limiter itself, and so wakes it.</summary>
    public static async Task<DrivenTenant> OpenAsync(IReliabilityToolkit toolkit, string policy, string name, CancellationToken cancellationToken)
    {
        var limiter = toolkit.GetRateLimiter(policy, name);
        var status = await limiter.GetStatusAsync(cancellationToken);
        return new DrivenTenant(policy, name, limiter, new TokenLimit(status.Burst, status.TokensPerPeriod, status.Period));
    }

    /// <summary>Asks for one token and records the answer.</summary>
    public async Task<CallResult> AskAsync()
    {
        var sentAt = MachineClock.BeforeNow;
        using var lease = await limiter.TryAcquireAsync();
        var call = new Admission(sentAt, MachineClock.AfterNow);
        var answer = lease.IsAcquired ? Answer.Admitted
            : lease.TryGetMetadata(ToolkitMetadata.Reason, out var reason) && reason == RefusalReason.AuthorityUnavailable ? Answer.None
            : Answer.Refused;
        Record(answer, call);
        return new CallResult(answer, call.AnsweredAt - call.SentAt);
    }

    public TenantRecord ToRecord(Guid run, long startedAt, long endedAt)
    {
        lock (_lock)
            return new TenantRecord(
                run, policy, name, limit, startedAt, endedAt, _admissions.Count + _refused + _unanswered, _refused, _unanswered, [.. _admissions]);
    }

    private void Record(Answer answer, Admission call)
    {
        lock (_lock)
        {
            if (answer == Answer.Admitted)
                _admissions.Add(call);
            else if (answer == Answer.Refused)
                _refused++;
            else
                _unanswered++;
        }
    }
}

/// <summary>What a limiter said.</summary>
internal enum Answer
{
    None,
    Admitted,
    Refused,
}

/// <summary>One call: what was answered, and after how many ticks of 100 ns.</summary>
internal readonly record struct CallResult(Answer Answer, long Ticks);
