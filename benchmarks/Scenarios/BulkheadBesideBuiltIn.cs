using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>The bulkhead that holds slots, beside the one of the base class library, which knows of no other process.</summary>
internal sealed class BulkheadBesideBuiltIn : IScenario
{
    private const int Batch = 1_000;

    public string Name => "slots";

    public async Task<IReadOnlyList<Row>> MeasureAsync(Settings settings)
    {
        await using var silo = await Silo.StartAsync();
        await using var builtIn = new ConcurrencyLimiter(new ConcurrencyLimiterOptions { PermitLimit = Silo.Slots });
        var ours = silo.Toolkit.GetBulkhead(Silo.Policy);
        return
        [
            .. await AttemptAsync(settings, builtIn, ours, 1),
            .. await AttemptAsync(settings, builtIn, ours, 2),
            .. await AcquireAsync(settings, builtIn, ours),
            .. await ManyHeldAsync(settings, ours, silo.Toolkit.GetBulkhead(Silo.Policy, "crowded")),
        ];
    }

    private static async Task<IReadOnlyList<Row>> AttemptAsync(
        Settings settings, ConcurrencyLimiter builtInLimiter, ClusterBulkhead bulkhead, int threads)
    {
        var shown = threads == 1 ? "1 thread" : $"{threads} threads";
        var builtIn = new Contender($"ConcurrencyLimiter.AttemptAcquire and Dispose, one process only, {shown}", Attempt(builtInLimiter));
        var ours = new Contender(
            $"ClusterBulkhead.AttemptAcquire and Dispose from what the node holds, {shown}", Attempt(bulkhead), () => BorrowAsync(bulkhead));
        var contest = await Contest.RunAsync(settings, threads, builtIn, ours);
        return [contest.CallsPerSecond(builtIn), contest.CallsPerSecond(ours, builtIn, Target.ThreeTimes)];
    }

    private static async Task<IReadOnlyList<Row>> AcquireAsync(Settings settings, ConcurrencyLimiter builtInLimiter, ClusterBulkhead bulkhead)
    {
        var builtIn = new Contender("ConcurrencyLimiter.AcquireAsync and Dispose, one process only", Acquire(() => builtInLimiter.AcquireAsync()));
        var ours = new Contender("ClusterBulkhead.AcquireAsync and Dispose from what the node holds", Acquire(bulkhead), () => BorrowAsync(bulkhead));
        var contest = await Contest.RunAsync(settings, 1, builtIn, ours);
        return [contest.NanosecondsPerCall(builtIn), contest.NanosecondsPerCall(ours, builtIn)];
    }

    // What others hold on the node is no matter to one more.
    private static async Task<IReadOnlyList<Row>> ManyHeldAsync(Settings settings, ClusterBulkhead empty, ClusterBulkhead crowded)
    {
        var held = new BulkheadPermit[50_000];
        for (var i = 0; i < held.Length; i++)
            held[i] = await crowded.AcquireAsync();
        var alone = new Contender("ClusterBulkhead.AcquireAsync and Dispose, nothing else held", Acquire(empty), () => BorrowAsync(empty));
        var among = new Contender(
            "ClusterBulkhead.AcquireAsync and Dispose, 50,000 permits in hand", Acquire(crowded), () => BorrowAsync(crowded));
        var contest = await Contest.RunAsync(settings, 1, alone, among);
        Array.ForEach(held, static permit => permit.Dispose());
        return [contest.NanosecondsPerCall(alone), contest.NanosecondsPerCall(among, alone)];
    }

    // As many as there are threads, so that nobody has to ask.
    private static async Task<bool> BorrowAsync(ClusterBulkhead bulkhead)
    {
        (await bulkhead.AcquireAsync(2)).Dispose();
        return true;
    }

    // A loop for each: one for both would be compiled for the one that came first.
    private static Func<StopSignal, Task<long>> Attempt(ConcurrencyLimiter limiter) => stop => OnItsOwnThread(() =>
    {
        var (calls, refused) = (0L, 0L);
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
            {
                using var lease = limiter.AttemptAcquire();
                refused += lease.IsAcquired ? 0 : 1;
            }
        }

        RequireFew(refused, calls);
        return calls;
    });

    private static Func<StopSignal, Task<long>> Attempt(ClusterBulkhead bulkhead) => stop => OnItsOwnThread(() =>
    {
        var (calls, refused) = (0L, 0L);
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
            {
                using var lease = bulkhead.AttemptAcquire();
                refused += lease.IsAcquired ? 0 : 1;
            }
        }

        RequireFew(refused, calls);
        return calls;
    });

    private static Func<StopSignal, Task<long>> Acquire(Func<ValueTask<RateLimitLease>> acquire) => async stop =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
                (await acquire()).Dispose();
        }

        return calls;
    };

    private static Func<StopSignal, Task<long>> Acquire(ClusterBulkhead bulkhead) => async stop =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
                (await bulkhead.AcquireAsync()).Dispose();
        }

        return calls;
    };

    private static Task<T> OnItsOwnThread<T>(Func<T> loop) =>
        Task.Factory.StartNew(loop, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private static void RequireFew(long refused, long calls)
    {
        if (refused > calls / 10_000)
            throw new InvalidOperationException($"{refused:N0} of {calls:N0} were refused.");
    }
}
