namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>
/// The loops that call grains. One loop per call, with nothing between the loop and the call that could be measured along with it but the choice of
/// one of very many: each is asked so seldom that it is not lent any part.
/// </summary>
internal static class Callers
{
    public const int Grains = 65_536;

    public static T[] Each<T>(Func<string, T> get) => [.. Enumerable.Range(0, Grains).Select(i => get($"{i}"))];

    public static Func<StopSignal, Task<long>> Ping(IEmptyGrain[] grains) => async stop =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls++)
            await grains[calls % Grains].PingAsync();
        return calls;
    };

    public static Func<StopSignal, Task<long>> PingTwice(IEmptyGrain grain) => async stop =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls++)
        {
            await grain.PingAsync();
            await grain.PingAsync();
        }

        return calls;
    };

    public static Func<StopSignal, Task<long>> TryAcquire(ClusterRateLimiter[] limiters) => async stop =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls++)
        {
            using var lease = await limiters[calls % Grains].TryAcquireAsync();
            RequireYes(lease.IsAcquired);
        }

        return calls;
    };

    public static Func<StopSignal, Task<long>> TryAcquire(IRateLimiterGrain[] limiters) => async stop =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls++)
            RequireYes(await limiters[calls % Grains].TryAcquireAsync(1));
        return calls;
    };

    public static Func<StopSignal, Task<long>> EnterAndReport(ICircuitBreakerGrain breaker) => async stop =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls++)
        {
            var pass = await breaker.EnterAsync();
            RequireYes(pass.IsAdmitted);
            await breaker.ReportAsync(pass, CircuitOutcome.Succeeded);
        }

        return calls;
    };

    public static Func<StopSignal, Task<long>> AcquireAndRelease(ClusterBulkhead bulkhead) => async stop =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls++)
        {
            using var permit = await bulkhead.TryAcquireAsync();
            RequireYes(permit.IsAcquired);
        }

        return calls;
    };

    // A refusal is cheaper than a grant, or dearer: a figure with refusals in it is of nothing.
    private static void RequireYes(bool isYes)
    {
        if (!isYes)
            throw new InvalidOperationException("A call was refused, or got no answer in time.");
    }
}
