namespace SiloHost;

/// <summary>A line a second: what was answered in it, and how long that took. Thread-safe.</summary>
internal sealed class Progress
{
    private readonly Lock _lock = new();
    private List<CallResult> _sinceLast = [];

    public void Add(CallResult call)
    {
        lock (_lock)
            _sinceLast.Add(call);
    }

    public async Task ShowAsync(TextWriter output, CancellationToken until)
    {
        using var second = new PeriodicTimer(TimeSpan.FromSeconds(1));
        try
        {
            for (var seconds = 1; await second.WaitForNextTickAsync(until); seconds++)
                await output.WriteLineAsync(Line(seconds, Take()));
        }
        catch (OperationCanceledException)
        {
            // The load is over.
        }
    }

    private List<CallResult> Take()
    {
        lock (_lock)
        {
            var taken = _sinceLast;
            _sinceLast = new List<CallResult>(taken.Count);
            return taken;
        }
    }

    private static string Line(int seconds, List<CallResult> calls)
    {
        var ticks = calls.Select(call => call.Ticks).Order().ToArray();
        var unanswered = calls.Count(call => call.Answer == Answer.None);
        return $"{seconds,4} s   offered {calls.Count,6:N0}   admitted {calls.Count(call => call.Answer == Answer.Admitted),6:N0}"
            + $"   refused {calls.Count(call => call.Answer == Answer.Refused),6:N0}"
            + $"   p50 {Milliseconds(ticks, 0.5),7:N2} ms   p99 {Milliseconds(ticks, 0.99),7:N2} ms"
            + (unanswered == 0 ? "" : $"   unanswered {unanswered:N0}");
    }

    private static double Milliseconds(long[] sorted, double share) =>
        sorted.Length == 0 ? 0 : sorted[(int)Math.Ceiling(share * sorted.Length) - 1] / (double)TimeSpan.TicksPerMillisecond;
}
