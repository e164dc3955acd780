using Microsoft.Extensions.Options;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class PolicySourceTests
{
    private readonly LogBook<PolicySource> _log = new();

    [Fact]
    public void Source_WithoutAStorage_TakesNoPolicyThatWantsARecord()
    {
        var settings = new PolicyMonitor
        {
            Write = policies =>
            {
                policies.RateLimiters["a"] = new() { Durability = Durability.Durable };
                policies.RateLimiters["b"] = new() { Durability = Durability.Volatile };
                policies.Bulkheads["c"] = new() { Durability = Durability.Fenced };
                policies.CircuitBreakers["d"] = new();
            },
        };
        FluentActions.Invoking(() => new PolicySource(settings, new LogBook<PolicySource>(), hasStorage: false))
            .Should().Throw<OptionsValidationException>().Which.Failures.Should().Equal(
                "RateLimiters:a: Durability is Durable; legal: Volatile, for there is no grain storage named \"ReliabilityToolkit\".",
                "Bulkheads:c: Durability is Fenced; legal: Volatile, for there is no grain storage named \"ReliabilityToolkit\".");
        new PolicySource(settings, new LogBook<PolicySource>()).Current.RateLimiter("a").Durability.Should().Be(Durability.Durable);
    }

    [Fact]
    public void Source_ReloadBetweenTheFirstLookAndListening_IsNotMissed()
    {
        var monitor = new PolicyMonitor { Write = Burst(5) };
        monitor.OnListen = () => monitor.Write = Burst(7); // the file changes just then
        using var source = NewSource(monitor);
        source.Current.RateLimiter("api").Burst.Should().Be(7);
    }

    [Fact]
    public void Source_TwoReloadsAtOnce_EndOnTheNewer()
    {
        var monitor = new PolicyMonitor { Write = Burst(5) };
        using var source = NewSource(monitor);
        var older = monitor.CurrentValue;
        monitor.Write = Burst(7);
        monitor.Tell(monitor.CurrentValue);
        monitor.Tell(older); // that of the first reload arrives last
        source.Current.RateLimiter("api").Burst.Should().Be(7);
    }

    [Fact]
    public void Source_Followers_AreToldOfEachReplacementAndOfNoFault()
    {
        var monitor = new PolicyMonitor { Write = Burst(5) };
        using var source = NewSource(monitor);
        var (first, second) = (new Follower(), new Follower());
        source.Follow(first);
        source.Follow(second);
        source.Unfollow(second);
        monitor.Write = Burst(7);
        monitor.Tell(monitor.CurrentValue);
        monitor.Write = Burst(0);
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
        var monitor = new PolicyMonitor { Write = Burst(5) };
        NewSource(monitor).Dispose();
        monitor.Listeners.Should().Be(0);
        monitor.Write = Burst(0);
        FluentActions.Invoking(() => NewSource(monitor)).Should().Throw<OptionsValidationException>();
        monitor.Listeners.Should().Be(0, "it was not made");
    }

    private static Action<ReliabilityToolkitPolicies> Burst(int burst) =>
        policies => policies.RateLimiters["api"] = new RateLimiterPolicy { Burst = burst };

    private PolicySource NewSource(PolicyMonitor monitor) => new(monitor, _log);

    private sealed class Follower : IPolicyFollower
    {
        public int Told { get; private set; }

        public void OnPoliciesReplaced() => Told++;
    }
}
