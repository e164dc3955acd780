using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The policies in force. Faults at start stop the silo; faults in a reload are logged, and what was in force stays so.
/// </summary>
internal sealed partial class PolicySource : IDisposable
{
    private readonly ILogger<PolicySource> _logger;
    private readonly IDisposable? _subscription;
    private volatile PolicySet _current;

    /// <exception cref="OptionsValidationException">With every fault.</exception>
    public PolicySource(IOptionsMonitor<ReliabilityToolkitPolicies> monitor, ILogger<PolicySource> logger)
    {
        _logger = logger;
        var policies = monitor.CurrentValue;
        var faults = policies.Validate();
        if (faults.Count > 0)
            throw new OptionsValidationException(Options.DefaultName, typeof(ReliabilityToolkitPolicies), faults);
        _current = new PolicySet(policies);
        _subscription = monitor.OnChange(Replace);
    }

    public PolicySet Current => _current;

    public void Dispose() => _subscription?.Dispose();

    private void Replace(ReliabilityToolkitPolicies policies, string? name)
    {
        var faults = policies.Validate();
        if (faults.Count > 0)
            LogFaults(string.Join(" ", faults));
        else
            _current = new PolicySet(policies, _current);
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "The reloaded policies have faults and are ignored; those before stay in force. {Faults}")]
    private partial void LogFaults(string faults);
}
