namespace ReliabilityToolkit.Orleans.Tests;

public interface ICallerGrain : IGrainWithStringKey
{
    Task<int> CountRunsOutsideAsync();
}

/// <summary>A grain that uses the toolkit: what it hands over must run on its own scheduler, or its state is no longer its own.</summary>
public sealed class CallerGrain(IReliabilityToolkit toolkit) : Grain, ICallerGrain
{
    public async Task<int> CountRunsOutsideAsync()
    {
        var own = TaskScheduler.Current;
        var (runs, outside) = (0, 0);
        var retry = new Retry(new RetryOptions { MaxAttempts = 4, BaseDelay = TimeSpan.FromMilliseconds(2) });
        await retry.RunAsync(async ct =>
        {
            Note();
            await toolkit.GetCircuitBreaker("five", this.GetPrimaryKeyString()).CallAsync(
                _ =>
                {
                    Note();
                    return runs < 6 ? throw new TimeoutException() : ValueTask.CompletedTask;
                },
                ct);
        });
        return runs == 6 ? outside : throw new InvalidOperationException($"{runs} runs");

        void Note()
        {
            runs++;
            outside += TaskScheduler.Current == own ? 0 : 1;
        }
    }
}
