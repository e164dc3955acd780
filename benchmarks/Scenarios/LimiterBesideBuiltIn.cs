using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>What the whole cluster costs more than one process: the limiter of the base class library, which knows of no other process.</summary>
internal sealed class LimiterBesideBuiltIn : IScenario
{
    private const int Batch = 1_000;

    public string Name => "builtin";

    public async Task<IReadOnlyList<Row>> MeasureAsync(Settings settings)
    {
        await using var silo = await Silo.StartAsync();
        await using var builtIn = new TokenBucketRateLimiter(new TokenBucketRateLimiterOptions
        {
            TokenLimit = int.MaxValue,
            TokensPerPeriod = int.MaxValue,
            ReplenishmentPeriod = TimeSpan.FromSeconds(1),
        });

        var attempt = new Contender("TokenBucketRateLimiter.AttemptAcquire, one process only", Attempt(builtIn));
        var acquire = new Contender("TokenBucketRateLimiter.AcquireAsync, one process only", Acquire(builtIn));
        var ours = new Contender(
            "ClusterRateLimiter.TryAcquireAsync, 1 caller, a grain call", Callers.TryAcquire(silo.Toolkit.GetRateLimiter(Silo.Policy)));
        var contest = await Contest.RunAsync(settings, 1, attempt, acquire, ours);
        return [contest.NanosecondsPerCall(attempt), contest.NanosecondsPerCall(acquire), contest.NanosecondsPerCall(ours, acquire)];
    }

    private static Func<StopSignal, Task<long>> Attempt(TokenBucketRateLimiter limiter) => stop =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
            {
                using var lease = limiter.AttemptAcquire();
                RequireYes(lease);
            }
        }

        return Task.FromResult(calls);
    };

    private static Func<StopSignal, Task<long>> Acquire(TokenBucketRateLimiter limiter) => async stop =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
            {
                using var lease = await limiter.AcquireAsync();
                RequireYes(lease);
            }
        }

        return calls;
    };

    private static void RequireYes(RateLimitLease lease)
    {
        if (!lease.IsAcquired)
            throw new InvalidOperationException("The built-in limiter ran out of tokens.");
    }
}
