using Microsoft.Extensions.Options;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>Settings that change when the test says so.</summary>
internal sealed class PolicyMonitor : IOptionsMonitor<ReliabilityToolkitPolicies>
{
    private readonly List<Action<ReliabilityToolkitPolicies, string?>> _listeners = [];

    /// <summary>Writes what stands in the settings by now.</summary>
    public required Action<ReliabilityToolkitPolicies> Write { get; set; }

    public Action? OnListen { get; set; }

    public int Listeners => _listeners.Count;

    public ReliabilityToolkitPolicies CurrentValue
    {
        get
        {
            var policies = new ReliabilityToolkitPolicies();
            Write(policies);
            return policies;
        }
    }

    public void Tell(ReliabilityToolkitPolicies policies) => _listeners.ToList().ForEach(listener => listener(policies, null));

    public ReliabilityToolkitPolicies Get(string? name) => CurrentValue;

    public IDisposable? OnChange(Action<ReliabilityToolkitPolicies, string?> listener)
    {
        _listeners.Add(listener);
        OnListen?.Invoke();
        return new Subscription(() => _listeners.Remove(listener));
    }

    private sealed class Subscription(Action end) : IDisposable
    {
        public void Dispose() => end();
    }
}
