using Microsoft.Extensions.Options;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class PolicySourceTests
{
    private readonly LogBook<PolicySource> _log = new();

    [Fact]
    public void Source_ReloadBetweenTheFirstLookAndListening_IsNotMissed()
    {
        var monitor = new Monitor();
        monitor.OnListen = () => monitor.Burst = 7; // the file changes just then
        using var source = NewSource(monitor);
        source.Current.RateLimiter("api").Burst.Should().Be(7);
    }

    [Fact]
    public void Source_TwoReloadsAtOnce_EndOnTheNewer()
    {
        var monitor = new Monitor();
        using var source = NewSource(monitor);
        var older = monitor.CurrentValue;
        monitor.Burst = 7;
        monitor.Tell(monitor.CurrentValue);
        monitor.Tell(older); // that of the first reload arrives last
        source.Current.RateLimiter("api").Burst.Should().Be(7);
    }

    [Fact]
    public void Source_Followers_AreToldOfEachReplacementAndOfNoFault()
    {
        var monitor = new Monitor();
        using var source = NewSource(monitor);
        var (first, second) = (new Follower(), new Follower());
        source.Follow(first);
        source.Follow(second);
        source.Unfollow(second);
        monitor.Burst = 7;
        monitor.Tell(monitor.CurrentValue);
        monitor.Burst = 0;
        monitor.Tell(monitor.CurrentValue);
        (first.Told, second.Told).Should().Be((1, 0));
        source.Current.RateLimiter("api").Burst.Should().Be(7);
        _log.Lines.Should().Equal(
            "Error: The reloaded policies have faults and are ignored; those before stay in force. "
            + "RateLimiters:api: Burst is 0; legal: 1 to 1,000,000,000.");
    }

    [Fact]
    public void Source_Disposed_ListensNoMore()
    {
        var monitor = new Monitor();
        NewSource(monitor).Dispose();
        monitor.Listeners.Should().Be(0);
        monitor.Burst = 0;
        FluentActions.Invoking(() => NewSource(monitor)).Should().Throw<OptionsValidationException>();
        monitor.Listeners.Should().Be(0, "it was not made");
    }

    private PolicySource NewSource(Monitor monitor) => new(monitor, _log);

    private sealed class Follower : IPolicyFollower
    {
        public int Told { get; private set; }

        public void OnPoliciesReplaced() => Told++;
    }

    private sealed class Monitor : IOptionsMonitor<ReliabilityToolkitPolicies>
    {
        private readonly List<Action<ReliabilityToolkitPolicies, string?>> _listeners = [];

        public int Burst { get; set; } = 5;

        public Action? OnListen { get; set; }

        public int Listeners => _listeners.Count;

        public ReliabilityToolkitPolicies CurrentValue
        {
            get
            {
                var policies = new ReliabilityToolkitPolicies();
                policies.RateLimiters["api"] = new RateLimiterPolicy { Burst = Burst };
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
}
