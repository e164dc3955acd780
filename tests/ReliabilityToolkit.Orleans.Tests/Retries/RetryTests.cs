using System.Threading.Tasks.Sources;
using Microsoft.Extensions.Time.Testing;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class RetryTests
{
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public async Task Retry_Success_IsReturnedAfterOneAttempt()
    {
        var attempts = 0;
        (await new Retry().RunAsync(_ => ValueTask.FromResult(++attempts))).Should().Be(1);
        attempts.Should().Be(1);
    }

    [Fact]
    public async Task Retry_Failures_AreTriedAfreshUpToMaxAttemptsAndTheLastErrorIsUnchanged()
    {
        var errors = Enumerable.Range(1, 3).Select(i => new InvalidOperationException($"{i}")).ToArray();
        var attempts = 0;
        var thrown = await NewRetry().Awaiting(retry => Finish(() => retry.RunAsync(ValueTask<int> (_) => throw errors[attempts++]).AsTask()))
            .Should().ThrowAsync<InvalidOperationException>();
        thrown.Which.Should().BeSameAs(errors[2]);
        attempts.Should().Be(3);
    }

    [Fact]
    public async Task Retry_ErrorThatMayNotBeRetried_ReachesTheCallerAtOnce()
    {
        var attempts = 0;
        var retry = NewRetry(options => options.RetryIf = e => e is not UnauthorizedAccessException);
        await retry.Awaiting(r => r.RunAsync(ValueTask (_) =>
        {
            attempts++;
            throw new UnauthorizedAccessException();
        }).AsTask()).Should().ThrowAsync<UnauthorizedAccessException>();
        attempts.Should().Be(1);
    }

    [Fact]
    public async Task Retry_Delays_AreDrawnUniformlyFromTheFormula()
    {
        // 4,000 runs of two retries: the first delay is uniform over 100 ms, the second over 150 ms, at the cap.
        var (first, second) = (new List<double>(), new List<double>());
        var retry = NewRetry(options => (options.MaxDelay, options.Random) = (TimeSpan.FromMilliseconds(150), new Random(7)));
        for (var i = 0; i < 4_000; i++)
        {
            var starts = new List<DateTimeOffset>();
            await _time.FinishAsync(
                () => retry.RunAsync(ValueTask<int> (_) =>
                {
                    starts.Add(_time.GetUtcNow());
                    return starts.Count < 3 ? throw new InvalidOperationException() : ValueTask.FromResult(0);
                }).AsTask(),
                TimeSpan.FromMilliseconds(1));
            first.Add((starts[1] - starts[0]).TotalMilliseconds);
            second.Add((starts[2] - starts[1]).TotalMilliseconds);
        }

        IsUniform(first, 100);
        IsUniform(second, 150);

        // The largest distance between what was drawn and the straight line (Kolmogorov-Smirnov, 1 in 1,000); the millisecond steps of the clock are
        // allowed for.
        static void IsUniform(List<double> delays, double cap)
        {
            delays.Sort();
            var distance = delays.Select((delay, i) => Math.Abs(((i + 1.0) / delays.Count) - Math.Min(1, delay / cap))).Max();
            distance.Should().BeLessThan((1.95 / Math.Sqrt(delays.Count)) + (1.5 / cap));
        }
    }

    [Fact]
    public async Task Retry_RetryAfterOfOurExceptions_IsAFloorUnderTheJitter()
    {
        var starts = new List<DateTimeOffset>();
        await NewRetry(options => options.MaxAttempts = 2).Awaiting(retry => Finish(() => retry.RunAsync(ValueTask (_) =>
        {
            starts.Add(_time.GetUtcNow());
            throw new CircuitOpenException("payments", CircuitState.Open, TimeSpan.FromSeconds(30));
        }).AsTask())).Should().ThrowAsync<CircuitOpenException>();
        (starts[1] - starts[0]).Should().BeGreaterThanOrEqualTo(TimeSpan.FromSeconds(30)).And.BeLessThan(TimeSpan.FromSeconds(30.2));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(0.5)]
    [InlineData(0.999)]
    public async Task Retry_AfterARetryAfter_TheJitteredDelayComesOnTop(double chance)
    {
        // A thousand callers are told "in 30 s" in the same instant: they must not come back in one.
        var starts = new List<DateTimeOffset>();
        await NewRetry(options => (options.MaxAttempts, options.BaseDelay, options.Random) = (2, TimeSpan.FromSeconds(2), new FixedRandom(chance)))
            .Awaiting(retry => Finish(() => retry.RunAsync(ValueTask (_) =>
            {
                starts.Add(_time.GetUtcNow());
                throw new RateLimitedException(RefusalReason.RateLimited, TimeSpan.FromSeconds(30));
            }).AsTask())).Should().ThrowAsync<RateLimitedException>();
        (starts[1] - starts[0]).Should().BeCloseTo(TimeSpan.FromSeconds(30 + (2 * chance)), TimeSpan.FromMilliseconds(11));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-5)]
    [InlineData(double.MaxValue)]
    public async Task Retry_RetryAfterThatMakesNoSense_LeavesTheJitteredDelay(double seconds)
    {
        var retryAfter = seconds == double.MaxValue ? TimeSpan.MaxValue : TimeSpan.FromSeconds(seconds);
        var starts = new List<DateTimeOffset>();
        await NewRetry(
            options => (options.MaxAttempts, options.Random) = (2, new FixedRandom(0.5))).Awaiting(retry =>
                Finish(() => retry.RunAsync(ValueTask (_) =>
        {
            starts.Add(_time.GetUtcNow());
            throw new CircuitOpenException("payments", CircuitState.Open, retryAfter);
        }).AsTask())).Should().ThrowAsync<CircuitOpenException>();
        (starts[1] - starts[0]).Should().BeCloseTo(TimeSpan.FromMilliseconds(50), TimeSpan.FromMilliseconds(11));
    }

    [Fact]
    public async Task Retry_PredicateThatThrows_DoesNotHideTheOperationsError()
    {
        var attempts = 0;
        var retry = NewRetry(options => options.RetryIf = _ => throw new InvalidOperationException("a bug in the predicate"));
        (await retry.Awaiting(r => r.RunAsync(ValueTask (_) =>
        {
            attempts++;
            throw new TimeoutException("downstream");
        }).AsTask()).Should().ThrowAsync<TimeoutException>()).Which.Message.Should().Be("downstream");
        attempts.Should().Be(1);
    }

    [Fact]
    public async Task Retry_BaseDelayAboveMaxDelay_IsCapped()
    {
        var starts = new List<DateTimeOffset>();
        var retry = NewRetry(
            options => (options.BaseDelay, options.MaxDelay, options.Random) = (
                TimeSpan.FromSeconds(10), TimeSpan.FromSeconds(1), new FixedRandom(0.999)));
        await Finish(() => retry.RunAsync(ValueTask<int> (_) =>
        {
            starts.Add(_time.GetUtcNow());
            return starts.Count < 3 ? throw new TimeoutException() : ValueTask.FromResult(0);
        }).AsTask());
        for (var i = 1; i < 3; i++)
            (starts[i] - starts[i - 1]).Should().BeCloseTo(TimeSpan.FromSeconds(1), TimeSpan.FromMilliseconds(11));
    }

    [Fact]
    public async Task Retry_OperationOverAReusableSource_IsConsumedExactlyOnce()
    {
        // Such a source serves the next operation once its result has been taken: never taken, it is lost to its pool; taken twice, it is somebody
        // else's.
        var retry = new Retry();
        foreach (var isDoneAtOnce in new[] { true, false })
        {
            var source = new ReusableSource();
            var run = retry.RunAsync(_ => source.Begin(isDoneAtOnce));
            source.Complete();
            await run;
            source.Taken.Should().Be(1);

            var withState = retry.RunAsync((s, _) => s.Begin(isDoneAtOnce), source);
            source.Complete();
            await withState;
            source.Taken.Should().Be(2);

            var withResult = retry.RunAsync(_ => source.BeginWithResult(isDoneAtOnce));
            source.Complete();
            (await withResult).Should().BeTrue();
            source.Taken.Should().Be(3);
        }
    }

    [Fact]
    public async Task Retry_CancelledWait_EndsAtOnceAndIsNotRetried()
    {
        using var cancellation = new CancellationTokenSource();
        var attempts = 0;
        var run = NewRetry(options => options.MaxDelay = options.BaseDelay = TimeSpan.FromHours(1)).RunAsync(
            ValueTask (_) =>
            {
                attempts++;
                throw new InvalidOperationException();
            },
            cancellation.Token).AsTask();
        run.IsCompleted.Should().BeFalse("it waits");
        await cancellation.CancelAsync();
        await run.Awaiting(task => task).Should().ThrowAsync<OperationCanceledException>();
        attempts.Should().Be(1);
    }

    [Fact]
    public async Task Retry_CancelledOperation_IsNotRetried()
    {
        using var cancellation = new CancellationTokenSource();
        var attempts = 0;
        await NewRetry().Awaiting(retry => retry.RunAsync(
            async token =>
            {
                attempts++;
                await cancellation.CancelAsync();
                token.ThrowIfCancellationRequested();
            },
            cancellation.Token).AsTask()).Should().ThrowAsync<OperationCanceledException>();
        attempts.Should().Be(1);
        await NewRetry().Awaiting(retry => retry.RunAsync(_ => ValueTask.FromResult(++attempts), cancellation.Token).AsTask())
            .Should().ThrowAsync<OperationCanceledException>();
        attempts.Should().Be(1, "cancelled before it began");
    }

    [Fact]
    public async Task Retry_OperationsOwnTimeout_IsAnErrorLikeAnyOther()
    {
        var attempts = 0;
        await Finish(
            () => NewRetry().RunAsync(
                _ => ++attempts < 3 ? throw new TaskCanceledException("its own clock") : ValueTask.FromResult(attempts)).AsTask());
        attempts.Should().Be(3);
    }

    [Fact]
    public async Task Retry_EveryShapeOfOperation_Runs()
    {
        var retry = new Retry();
        (await retry.RunAsync(token => Task.FromResult(1))).Should().Be(1);
        (await retry.RunAsync(async token =>
        {
            await Task.Yield();
            return 2;
        })).Should().Be(2);
        (await retry.RunAsync(static (state, token) => ValueTask.FromResult(state), 3)).Should().Be(3);
        var ran = 0;
        await retry.RunAsync(token => Task.FromResult(ran++).ContinueWith(_ => { }, TaskScheduler.Default));
        await retry.RunAsync(async token =>
        {
            await Task.Yield();
            ran++;
        });
        await retry.RunAsync((state, token) =>
        {
            ran += state;
            return ValueTask.CompletedTask;
        }, 5);
        ran.Should().Be(7);
    }

    [Fact]
    public async Task Retry_SynchronousSuccess_AllocatesNothing()
    {
        var retry = new Retry();
        Func<int, CancellationToken, ValueTask<int>> operation = static (state, _) => ValueTask.FromResult(state);
        for (var i = 0; i < 100; i++)
            await retry.RunAsync(operation, 1);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1_000; i++)
            await retry.RunAsync(operation, 1);
        (GC.GetAllocatedBytesForCurrentThread() - before).Should().Be(0);
    }

    [Fact]
    public void Retry_FaultyOptions_AreAllToldAtOnce()
    {
        var faulty = new RetryOptions
        {
            MaxAttempts = 0,
            BaseDelay = TimeSpan.FromSeconds(
            -1),
            MaxDelay = TimeSpan.FromDays(2),
            TimeProvider = null!,
            Random = null!
        };
        var thrown = FluentActions.Invoking(() => new Retry(faulty)).Should().Throw<ArgumentException>().Which;
        string[] faults = ["MaxAttempts is 0", "BaseDelay is -00:00:01", "MaxDelay is 2.00:00:00", "TimeProvider is null", "Random is null"];
        foreach (var fault in faults)
            thrown.Message.Should().Contain(fault);
    }

    [Fact]
    public async Task Retry_NoOperation_Throws()
    {
        var retry = new Retry();
        await retry.Awaiting(r => r.RunAsync((Func<CancellationToken, ValueTask>)null!).AsTask()).Should().ThrowAsync<ArgumentNullException>();
        await retry.Awaiting(r => r.RunAsync((Func<CancellationToken, Task<int>>)null!).AsTask()).Should().ThrowAsync<ArgumentNullException>();
        await retry.Awaiting(r => r.RunAsync<int, int>(null!, 1).AsTask()).Should().ThrowAsync<ArgumentNullException>();
    }

    private sealed class FixedRandom(double chance) : Random
    {
        public override double NextDouble() => chance;
    }

    private sealed class ReusableSource : IValueTaskSource<bool>, IValueTaskSource
    {
        private ManualResetValueTaskSourceCore<bool> _core;
        private bool _isDone;

        public int Taken { get; private set; }

        public ValueTask Begin(bool isDone)
        {
            Reset(isDone);
            return new ValueTask(this, _core.Version);
        }

        public ValueTask<bool> BeginWithResult(bool isDone)
        {
            Reset(isDone);
            return new ValueTask<bool>(this, _core.Version);
        }

        public void Complete()
        {
            if (!_isDone)
                _core.SetResult(true);
            _isDone = true;
        }

        public bool GetResult(short token)
        {
            Taken++;
            return _core.GetResult(token);
        }

        public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

        public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            _core.OnCompleted(continuation, state, token, flags);

        void IValueTaskSource.GetResult(short token) => GetResult(token);

        private void Reset(bool isDone)
        {
            _core.Reset();
            _isDone = false;
            if (isDone)
                Complete();
        }
    }

    private Retry NewRetry(Action<RetryOptions>? configure = null)
    {
        var options = new RetryOptions { TimeProvider = _time, Random = new Random(1), Budget = null };
        configure?.Invoke(options);
        return new Retry(options);
    }

    private Task Finish(Func<Task> run) => _time.FinishAsync(run, TimeSpan.FromMilliseconds(10));
}
