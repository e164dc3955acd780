using System.Diagnostics;

namespace SiloHost;

/// <summary>
/// Calls the limiters open-loop: when the next call is due does not depend on the answers to those before, as it is with a site's visitors.
/// </summary>
internal sealed class Load(IReadOnlyList<DrivenTenant> tenants, DriveOptions options, Progress progress) : IDisposable
{
    // Where the cluster does not keep up, calls pile up here; beyond this they are not sent, and counted as such.
    private const int MaxInFlight = 2_000;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(1);

    private readonly Demand _demand = new(tenants.Count, options.Skew);
    private readonly SemaphoreSlim _places = new(MaxInFlight);
    private Exception? _failure;

    public int NotSent { get; private set; }

    /// <summary>Returns when the last answer is there. Cancelled, it sends no more.</summary>
    public async Task RunAsync(CancellationToken stopping)
    {
        var startedAt = Stopwatch.GetTimestamp();
        var calls = (long)options.Rate * options.Seconds;
        for (var called = 0L; called < calls && !stopping.IsCancellationRequested && _failure is null;)
        {
            await Task.Delay(Pause, CancellationToken.None);
            var due = Math.Min(calls, (long)(Stopwatch.GetElapsedTime(startedAt).TotalSeconds * options.Rate));
            for (; called < due; called++)
                Call(tenants[_demand.Next(Random.Shared.NextDouble())]);
        }

        for (var free = 0; free < MaxInFlight; free++)
            await _places.WaitAsync(CancellationToken.None);
        if (_failure is not null)
            throw new InvalidOperationException($"A call failed: {_failure.Message}", _failure);
    }

    public void Dispose() => _places.Dispose();

    private void Call(DrivenTenant tenant)
    {
        if (_places.Wait(0))
            _ = CallAsync(tenant);
        else
            NotSent++;
    }

    private async Task CallAsync(DrivenTenant tenant)
    {
        try
        {
            progress.Add(await tenant.AskAsync());
        }
        catch (Exception e)
        {
            _failure ??= e;
        }
        finally
        {
            _places.Release();
        }
    }
}
