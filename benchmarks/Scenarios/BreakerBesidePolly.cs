using Polly;
using Polly.CircuitBreaker;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>The breaker by its verdict, beside that of Polly, which knows of no other process. The operation returns at once.</summary>
internal sealed class BreakerBesidePolly : IScenario
{
    private const int Batch = 1_000;

    public string Name => "polly";

    public async Task<IReadOnlyList<Row>> MeasureAsync(Settings settings)
    {
        await using var silo = await Silo.StartAsync();
        var closed = silo.Toolkit.GetCircuitBreaker(Silo.Policy);
        var open = silo.Toolkit.GetCircuitBreaker(Silo.Policy, "open");
        await open.IsolateAsync("a benchmark");
        var manual = new CircuitBreakerManualControl(isIsolated: true);
        return
        [
            .. await CallAsync(settings, NewPolly(), closed, 1),
            .. await CallAsync(settings, NewPolly(), closed, 2),
            .. await RejectAsync(settings, NewPolly(manual), open),
        ];
    }

    private static ResiliencePipeline NewPolly(CircuitBreakerManualControl? manual = null) =>
        new ResiliencePipelineBuilder().AddCircuitBreaker(new CircuitBreakerStrategyOptions { ManualControl = manual }).Build();

    private static async Task<IReadOnlyList<Row>> CallAsync(Settings settings, ResiliencePipeline polly, ClusterCircuitBreaker breaker, int threads)
    {
        var shown = threads == 1 ? "1 thread" : $"{threads} threads";
        var theirs = new Contender($"Polly ExecuteAsync with its breaker, one process only, {shown}", Execute(polly));
        var ours = new Contender($"ClusterCircuitBreaker.CallAsync, closed, {shown}", Call(breaker));
        var ticket = new Contender($"ClusterCircuitBreaker.TryEnterAsync and Succeed, closed, {shown}", Enter(breaker));
        var contest = await Contest.RunAsync(settings, threads, theirs, ours, ticket);
        return
        [
            contest.CallsPerSecond(theirs),
            contest.CallsPerSecond(ours, theirs, Target.TenTimesAndNoAllocation),
            contest.CallsPerSecond(ticket, theirs),
        ];
    }

    private static async Task<IReadOnlyList<Row>> RejectAsync(Settings settings, ResiliencePipeline polly, ClusterCircuitBreaker breaker)
    {
        var theirs = new Contender("Polly ExecuteAsync, open: rejected by exception", ThrowTheirs(polly));
        var theirOutcome = new Contender("Polly ExecuteOutcomeAsync, open: rejected by a value", Outcome(polly));
        var ours = new Contender("ClusterCircuitBreaker.CallAsync, open: rejected by exception", ThrowOurs(breaker));
        var ticket = new Contender("ClusterCircuitBreaker.TryEnterAsync, open: rejected by a ticket", Refuse(breaker));
        var contest = await Contest.RunAsync(settings, 1, theirs, theirOutcome, ours, ticket);
        return
        [
            contest.CallsPerSecond(theirs),
            contest.CallsPerSecond(theirOutcome),
            contest.CallsPerSecond(ours, theirs),
            contest.CallsPerSecond(ticket, theirOutcome),
        ];
    }

    private static Func<StopSignal, Task<long>> Execute(ResiliencePipeline polly) => stop => OnItsOwnThread(async () =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
                await polly.ExecuteAsync(static (state, _) => ValueTask.FromResult(state), 42);
        }

        return calls;
    });

    private static Func<StopSignal, Task<long>> Call(ClusterCircuitBreaker breaker) => stop => OnItsOwnThread(async () =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
                await breaker.CallAsync(static (state, _) => ValueTask.FromResult(state), 42);
        }

        return calls;
    });

    private static Func<StopSignal, Task<long>> Enter(ClusterCircuitBreaker breaker) => stop => OnItsOwnThread(async () =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
            {
                var ticket = await breaker.TryEnterAsync();
                if (!ticket.IsAdmitted)
                    throw new InvalidOperationException("Refused.");
                await ticket.Succeed();
            }
        }

        return calls;
    });

    private static Func<StopSignal, Task<long>> Refuse(ClusterCircuitBreaker breaker) => stop => OnItsOwnThread(async () =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
            {
                if ((await breaker.TryEnterAsync()).IsAdmitted)
                    throw new InvalidOperationException("Admitted.");
            }
        }

        return calls;
    });

    private static Func<StopSignal, Task<long>> Outcome(ResiliencePipeline polly) => stop => OnItsOwnThread(async () =>
    {
        var calls = 0L;
        var context = ResilienceContextPool.Shared.Get(CancellationToken.None);
        for (; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
            {
                var outcome = await polly.ExecuteOutcomeAsync(
                    static (_, state) => ValueTask.FromResult(Polly.Outcome.FromResult(state)), context, 42);
                if (outcome.Exception is not BrokenCircuitException)
                    throw new InvalidOperationException("Admitted.");
            }
        }

        return calls;
    });

    private static Func<StopSignal, Task<long>> ThrowTheirs(ResiliencePipeline polly) => stop => OnItsOwnThread(async () =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls++)
        {
            try
            {
                await polly.ExecuteAsync(static (state, _) => ValueTask.FromResult(state), 42);
            }
            catch (BrokenCircuitException)
            {
                continue;
            }

            throw new InvalidOperationException("Admitted.");
        }

        return calls;
    });

    private static Func<StopSignal, Task<long>> ThrowOurs(ClusterCircuitBreaker breaker) => stop => OnItsOwnThread(async () =>
    {
        var calls = 0L;
        for (; !stop.IsSet; calls++)
        {
            try
            {
                await breaker.CallAsync(static (state, _) => ValueTask.FromResult(state), 42);
            }
            catch (CircuitOpenException)
            {
                continue;
            }

            throw new InvalidOperationException("Admitted.");
        }

        return calls;
    });

    // Loops that seldom await would keep the thread pool from everybody else in this process, the silo among them.
    private static Task<long> OnItsOwnThread(Func<Task<long>> loop) =>
        Task.Factory.StartNew(loop, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default).Unwrap();
}
