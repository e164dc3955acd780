using Microsoft.Extensions.Time.Testing;
using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class NodeClockTests
{
    [Fact]
    public void Clock_Now_CountsFromWhenItWasMade()
    {
        var time = new FakeTimeProvider();
        time.Advance(Seconds(100));
        var clock = new NodeClock(time);
        clock.Now.Should().Be(At(0));
        time.Advance(Seconds(1.5));
        clock.Now.Should().Be(At(1.5));
    }

    [Fact]
    public void Clock_GlanceAtATestsTime_IsItsNow()
    {
        var time = new FakeTimeProvider();
        var clock = new NodeClock(time);
        time.Advance(Seconds(1.5));
        clock.Glance.Should().Be(At(1.5));
    }

    [Fact]
    public void Clock_GlanceAtTheSystemsTime_IsNeverAheadAndNotFarBehind()
    {
        var clock = new NodeClock(TimeProvider.System);
        for (var i = 0; i < 200_000; i++)
        {
            var (before, glance, after) = (clock.Now, clock.Glance, clock.Now);
            if (glance.Ticks > after.Ticks + 1 || glance + NodeClock.MostBehind < before)
                throw new InvalidOperationException($"{glance} between {before} and {after}");
        }
    }

    [Fact]
    public Task Wait_OfMoreThanATimerCanCount_LastsAsLong() => Task.Run(async () =>
    {
        // A limiter may promise a token for the year after next; a timer counts 49 days.
        var time = new FakeTimeProvider();
        var wait = new NodeClock(time).WaitAsync(TimeSpan.FromDays(100), CancellationToken.None);
        for (var day = 0; day < 100; day++)
        {
            wait.IsCompleted.Should().BeFalse($"it is day {day}");
            time.Advance(TimeSpan.FromDays(1));
        }

        await wait.WaitAsync(TimeSpan.FromSeconds(20));
    });

    [Fact]
    // off the test's own context: what a timer sets free runs at once
    public Task Wait_WhoseTimerFiresEarly_IsWaitedToItsEnd() => Task.Run(async () =>
    {
        // Timers count whole milliseconds of another clock: half a millisecond early, and the token would not be there yet.
        var time = new EarlyTimers();
        var clock = new NodeClock(time);
        var wait = clock.WaitAsync(TimeSpan.FromMilliseconds(10.3), CancellationToken.None);
        time.Timers.Should().Equal(TimeSpan.FromMilliseconds(11));
        time.Fire(after: TimeSpan.FromMilliseconds(10.1));
        wait.IsCompleted.Should().BeFalse();
        time.Timers.Should().HaveCount(2);
        time.Timers[1].Should().Be(TimeSpan.FromMilliseconds(1));
        time.Fire(after: TimeSpan.FromMilliseconds(0.2));
        await wait.WaitAsync(TimeSpan.FromSeconds(20));
    });

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    public void Wait_OfNothing_IsOver(double seconds) =>
        new NodeClock(new FakeTimeProvider()).WaitAsync(Seconds(seconds), CancellationToken.None).IsCompletedSuccessfully.Should().BeTrue();

    [Fact]
    public void Timer_NotSetYet_DoesNotFire()
    {
        var time = new FakeTimeProvider();
        var fired = 0;
        using var timer = new NodeClock(time).CreateTimer(state => fired += (int)state!, 1);
        time.Advance(TimeSpan.FromDays(1));
        fired.Should().Be(0);
        timer.Change(TimeSpan.FromSeconds(1), Timeout.InfiniteTimeSpan);
        time.Advance(TimeSpan.FromSeconds(10));
        fired.Should().Be(1);
    }

    [Fact]
    public void Timer_InASuppressedContext_IsMadeAllTheSame()
    {
        using var nobodys = ExecutionContext.SuppressFlow();
        new NodeClock(TimeProvider.System).CreateTimer(_ => { }, null).Dispose();
        ExecutionContext.IsFlowSuppressed().Should().BeTrue("it was its caller's, and is left as it was");
    }

    [Fact]
    public void Instant_ComparisonsAndDifferences_AreThoseOfItsTicks()
    {
        var (earlier, later) = (At(1), At(3));
        (later - earlier).Should().Be(Seconds(2));
        (earlier + Seconds(2)).Should().Be(later);
        (earlier < later, later < earlier, earlier < At(1)).Should().Be((true, false, false));
        (later > earlier, earlier > later, earlier > At(1)).Should().Be((true, false, false));
        (earlier <= later, later <= earlier, earlier <= At(1)).Should().Be((true, false, true));
        (later >= earlier, earlier >= later, earlier >= At(1)).Should().Be((true, false, true));
        earlier.CompareTo(later).Should().BeNegative();
        Instant.Later(earlier, later).Should().Be(later);
        Instant.Later(later, earlier).Should().Be(later);
        later.After(earlier).Should().Be(Seconds(2));
        earlier.After(later).Should().Be(TimeSpan.Zero, "it has passed");
        Instant.Never.After(later).Should().BePositive();
    }

    private sealed class EarlyTimers : TimeProvider
    {
        private readonly Queue<(TimerCallback Callback, object? State)> _pending = [];
        private long _ticks;

        public List<TimeSpan> Timers { get; } = [];

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => _ticks;

        public void Fire(TimeSpan after)
        {
            _ticks += after.Ticks;
            var (callback, state) = _pending.Dequeue();
            callback(state);
        }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            Timers.Add(dueTime);
            _pending.Enqueue((callback, state));
            return new NoTimer();
        }

        private sealed class NoTimer : ITimer
        {
            public bool Change(TimeSpan dueTime, TimeSpan period) => true;

            public void Dispose()
            {
            }

            public ValueTask DisposeAsync() => default;
        }
    }
}
