using System.Diagnostics;
using ReliabilityToolkit.Orleans;

namespace SiloHost;

/// <summary>One node that calls through a breaker, and what it saw.</summary>
internal sealed class DrivenNode
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(5);

    private readonly int _number;
    private readonly Func<bool> _isBroken;
    private int _made;
    private int _failed;
    private int _rejected;
    private CircuitState _state;

    public DrivenNode(int number, ClusterCircuitBreaker breaker, Func<bool> isBroken, Stopwatch clock)
    {
        (_number, _isBroken, Breaker) = (number, isBroken, breaker);
        breaker.StateChanged += (_, change) =>
        {
            _state = change.State;
            Console.WriteLine($"{clock.Elapsed.TotalSeconds,8:N3} s  node {_number}: {change.Previous} -> {change.State} ({change.Cause})");
        };
    }

    public ClusterCircuitBreaker Breaker { get; }

    /// <summary>Calls that were asked for.</summary>
    public long Asked { get; private set; }

    public async Task CallAsync(double perSecond, int seconds, CancellationToken stopping)
    {
        for (var startedAt = Stopwatch.GetTimestamp(); !stopping.IsCancellationRequested;)
        {
            var elapsed = Stopwatch.GetElapsedTime(startedAt).TotalSeconds;
            if (elapsed >= seconds)
                return;
            for (; Asked < elapsed * perSecond; Asked++)
                await CallAsync();
            await Task.Delay(Pause, CancellationToken.None);
        }
    }

    /// <summary>What happened since the last time.</summary>
    public string TakeLine() =>
        $"node {_number} {_state,-8} {Interlocked.Exchange(ref _made, 0),4} made {Interlocked.Exchange(ref _failed, 0),3} failed "
        + $"{Interlocked.Exchange(ref _rejected, 0),4} rejected";

    private async Task CallAsync()
    {
        try
        {
            await Breaker.CallAsync(
                static (node, _) =>
                {
                    node._made++;
                    return node._isBroken() ? throw new DownstreamException("broken") : ValueTask.CompletedTask;
                },
                this);
        }
        catch (DownstreamException)
        {
            _failed++;
        }
        catch (CircuitOpenException)
        {
            _rejected++;
        }
    }
}
