using System.Diagnostics;
using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>The limiter that holds a part, beside the one of the base class library, which knows of no other process.</summary>
internal sealed class LimiterBesideBuiltIn : IScenario
{
    private const int Batch = 1_000;

    public string Name => "builtin";

    public async Task<IReadOnlyList<Row>> MeasureAsync(Settings settings)
    {
        await using var silo = await Silo.StartAsync();
        await using var plenty = NewBuiltIn(int.MaxValue);
        await using var rationed = NewBuiltIn(10_000);
        var ours = silo.Toolkit.GetRateLimiter(Silo.Policy);
        return
        [
            .. await AttemptAsync(settings, plenty, ours, 1, Target.OneAndAThird),
            .. await AttemptAsync(settings, plenty, ours, 2, Target.FourTimes),
            .. await AcquireAsync(settings, plenty, ours),
            .. await RefuseAsync(settings, rationed, silo.Toolkit.GetRateLimiter(Silo.Rationed)),
        ];
    }

    private static async Task<IReadOnlyList<Row>> AttemptAsync(
        Settings settings, TokenBucketRateLimiter builtInLimiter, ClusterRateLimiter limiter, int threads, Target target)
    {
        var shown = threads == 1 ? "1 thread" : $"{threads} threads";
        var builtIn = new Contender($"TokenBucketRateLimiter.AttemptAcquire, one process only, {shown}", Attempt(builtInLimiter));
        var ours = new Contender($"ClusterRateLimiter.AttemptAcquire from the part, {shown}", Attempt(limiter), () => BorrowAsync(limiter));
        var contest = await Contest.RunAsync(settings, threads, builtIn, ours);
        return [contest.CallsPerSecond(builtIn), contest.CallsPerSecond(ours, builtIn, target)];
    }

    private static async Task<IReadOnlyList<Row>> AcquireAsync(Settings settings, RateLimiter builtInLimiter, ClusterRateLimiter limiter)
    {
        var builtIn = new Contender("TokenBucketRateLimiter.AcquireAsync, one process only", Acquire(() => builtInLimiter.AcquireAsync()));
        var tryOurs = new Contender(
            "ClusterRateLimiter.TryAcquireAsync from the part", Acquire(() => limiter.TryAcquireAsync()), () => BorrowAsync(limiter));
        var ours = new Contender(
            "ClusterRateLimiter.AcquireAsync from the part", Acquire(() => limiter.AcquireAsync()), () => BorrowAsync(limiter));
        var contest = await Contest.RunAsync(settings, 1, builtIn, tryOurs, ours);
        return
        [
            contest.NanosecondsPerCall(builtIn),
            contest.NanosecondsPerCall(tryOurs, builtIn, Target.NoAllocation),
            contest.NanosecondsPerCall(ours, builtIn, Target.NoAllocation),
        ];
    }

    // As fast as one loop asks, of which ten thousand a second are admitted.
    private static async Task<IReadOnlyList<Row>> RefuseAsync(Settings settings, RateLimiter builtInLimiter, ClusterRateLimiter limiter)
    {
        var builtIn = new Contender("TokenBucketRateLimiter.AttemptAcquire, mostly refused", Ask(() => builtInLimiter.AttemptAcquire()));
        var ours = new Contender("ClusterRateLimiter.AttemptAcquire, mostly refused", Ask(() => limiter.AttemptAcquire()));
        var tryOurs = new Contender("ClusterRateLimiter.TryAcquireAsync, mostly refused", AskAsync(limiter));
        var contest = await Contest.RunAsync(settings, 1, builtIn, ours, tryOurs);
        return [contest.CallsPerSecond(builtIn), contest.CallsPerSecond(ours, builtIn), contest.CallsPerSecond(tryOurs, builtIn)];
    }

    private static TokenBucketRateLimiter NewBuiltIn(int perSecond) => new(new TokenBucketRateLimiterOptions
    {
        TokenLimit = perSecond,
        TokensPerPeriod = perSecond,
        ReplenishmentPeriod = TimeSpan.FromSeconds(1),
    });

    // What is lent follows what is asked for: for half a second it is asked for as much as a loop can.
    private static Task<bool> BorrowAsync(ClusterRateLimiter limiter) => OnItsOwnThread(() =>
    {
        for (var startedAt = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(startedAt) < TimeSpan.FromSeconds(0.5);)
        {
            for (var i = 0; i < Batch; i++)
                limiter.AttemptAcquire();
        }

        return true;
    });

    // A loop for each: one for both would be compiled for the one that came first.
    private static Func<StopSignal, Task<long>> Attempt(TokenBucketRateLimiter limiter) => stop => OnItsOwnThread(() =>
    {
        var (calls, refused) = (0L, 0L);
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
            {
                if (!limiter.AttemptAcquire().IsAcquired)
                    refused++;
            }
        }

        RequireFew(refused, calls);
        return calls;
    });

    private static Func<StopSignal, Task<long>> Attempt(ClusterRateLimiter limiter) => stop => OnItsOwnThread(() =>
    {
        var (calls, refused) = (0L, 0L);
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
            {
                if (!limiter.AttemptAcquire().IsAcquired)
                    refused++;
            }
        }

        RequireFew(refused, calls);
        return calls;
    });

    private static Func<StopSignal, Task<long>> Acquire(Func<ValueTask<RateLimitLease>> acquire) => async stop =>
    {
        var (calls, refused) = (0L, 0L);
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
            {
                if (!(await acquire()).IsAcquired)
                    refused++;
            }
        }

        RequireFew(refused, calls);
        return calls;
    };

    private static Func<StopSignal, Task<long>> Ask(Func<RateLimitLease> attempt) => stop => OnItsOwnThread(() =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
                attempt();
        }

        return calls;
    });

    private static Func<StopSignal, Task<long>> AskAsync(ClusterRateLimiter limiter) => async stop =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
                await limiter.TryAcquireAsync();
        }

        return calls;
    };

    // Loops that never await would keep the thread pool from everybody else in this process, the silo among them.
    private static Task<T> OnItsOwnThread<T>(Func<T> loop) =>
        Task.Factory.StartNew(loop, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private static void RequireFew(long refused, long calls)
    {
        if (refused > calls / 10_000)
            throw new InvalidOperationException($"{refused:N0} of {calls:N0} were refused.");
    }
}
