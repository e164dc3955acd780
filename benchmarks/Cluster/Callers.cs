namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>The loops that call grains. One loop per call, with nothing between the loop and the call that could be measured along with it.</summary>
internal static class Callers
{
    public static Func<StopSignal, Task<long>> Ping(IEmptyGrain grain) => async stop =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls++)
            await grain.PingAsync();
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

    public static Func<StopSignal, Task<long>> TryAcquire(ClusterRateLimiter limiter) => async stop =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls++)
        {
            using var lease = await limiter.TryAcquireAsync();
            RequireYes(lease.IsAcquired);
        }

        return calls;
    };

    public static Func<StopSignal, Task<long>> TryAcquire(IRateLimiterGrain limiter) => async stop =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls++)
            RequireYes(await limiter.TryAcquireAsync(1));
        return calls;
    };

    public static Func<StopSignal, Task<long>> EnterAndReport(ClusterCircuitBreaker breaker) => async stop =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls++)
        {
            var ticket = await breaker.TryEnterAsync();
            RequireYes(ticket.IsAdmitted);
            await ticket.Succeed();
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
