using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace ReliabilityToolkit.Orleans;

/// <summary>Somebody who is told when the policies have been replaced, on any thread.</summary>
internal interface IPolicyFollower
{
    void OnPoliciesReplaced();
}

/// <summary>
/// The policies in force. Faults at start stop the silo; faults in a reload are logged, and what was in force stays so. Thread-safe.
/// </summary>
internal sealed partial class PolicySource : IDisposable
{
    private readonly ILogger<PolicySource> _logger;
    private readonly IOptionsMonitor<ReliabilityToolkitPolicies> _monitor;
    private readonly IDisposable? _subscription;
    private readonly bool _hasStorage;
    private readonly Lock _lock = new();
    private readonly HashSet<IPolicyFollower> _followers = [];
    private volatile PolicySet? _current;

    /// <param name="monitor">Of the policies.</param>
    /// <param name="logger">Hears of reloads that are refused.</param>
    /// <param name="hasStorage">Whether records can be kept.</param>
    /// <exception cref="OptionsValidationException">With every fault.</exception>
    public PolicySource(IOptionsMonitor<ReliabilityToolkitPolicies> monitor, ILogger<PolicySource> logger, bool hasStorage = true)
    {
        (_monitor, _logger, _hasStorage) = (monitor, logger, hasStorage);

        // Listening begins before the first look, so that no reload falls in between.
        _subscription = monitor.OnChange((_, _) => Replace());
        lock (_lock)
        {
            var policies = monitor.CurrentValue;
            var faults = policies.Validate(_hasStorage);
            if (faults.Count > 0)
            {
                _subscription?.Dispose();
                throw new OptionsValidationException(Options.DefaultName, typeof(ReliabilityToolkitPolicies), faults);
            }

            _current = new PolicySet(policies);
        }
    }

    public PolicySet Current => _current!;

    public void Follow(IPolicyFollower follower)
    {
        lock (_lock)
            _followers.Add(follower);
    }

    public void Unfollow(IPolicyFollower follower)
    {
        lock (_lock)
            _followers.Remove(follower);
    }

    public void Dispose() => _subscription?.Dispose();

    // What is in force now, not what this reload brought: of two at once the one that comes last to the lock may be the older.
    private void Replace()
    {
        IPolicyFollower[] followers;
        lock (_lock)
        {
            if (_current is null)
                return; // the first look is still to come
            var policies = _monitor.CurrentValue;
            var faults = policies.Validate(_hasStorage);
            if (faults.Count > 0)
            {
                LogFaults(string.Join(" ", faults));
                return;
            }

            _current = new PolicySet(policies, _current);
            followers = [.. _followers];
        }

        foreach (var follower in followers)
            follower.OnPoliciesReplaced();
    }

    [LoggerMessage(
        EventId = 2, Level = LogLevel.Error, Message = "The reloaded policies have faults and are ignored; those before stay in force. {Faults}")]
    private partial void LogFaults(string faults);
}
