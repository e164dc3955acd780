using Polly;
using Polly.Retry;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>What a retry costs a call that needs none: the operation completes at once, without waiting.</summary>
internal sealed class RetryOverhead : IScenario
{
    private const int Batch = 1_000;

    private static readonly Func<int, CancellationToken, ValueTask<int>> Operation = static (state, _) => new ValueTask<int>(state + 1);

    public string Name => "retry";

    public async Task<IReadOnlyList<Row>> MeasureAsync(Settings settings)
    {
        var retry = new Retry();
        var pipeline = new ResiliencePipelineBuilder().AddRetry(new RetryStrategyOptions()).Build();

        var bare = new Contender("Bare call that completes at once", CallBare);
        var polly = new Contender("Polly pipeline with retry", stop => CallPipeline(pipeline, stop));
        var ours = new Contender("Retry.RunAsync", stop => CallRetry(retry, stop));
        var contest = await Contest.RunAsync(settings, 1, bare, polly, ours);
        return
        [
            contest.NanosecondsPerCall(bare),
            contest.NanosecondsPerCall(polly),
            contest.NanosecondsPerCall(ours, polly, Target.NoAllocation),
            contest.NanosecondsPerCall(ours, bare, Target.NoAllocation) with { Name = ours.Name + " beside the bare call" },
        ];
    }

    private static async Task<long> CallBare(StopSignal stop)
    {
        var calls = 0L;
        for (var state = 0; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
                state = await Operation(state, CancellationToken.None);
        }

        return calls;
    }

    private static async Task<long> CallRetry(Retry retry, StopSignal stop)
    {
        var calls = 0L;
        for (var state = 0; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
                state = await retry.RunAsync(Operation, state);
        }

        return calls;
    }

    private static async Task<long> CallPipeline(ResiliencePipeline pipeline, StopSignal stop)
    {
        var calls = 0L;
        for (var state = 0; !stop.IsSet; calls += Batch)
        {
            for (var i = 0; i < Batch; i++)
                state = await pipeline.ExecuteAsync(Operation, state);
        }

        return calls;
    }
}
