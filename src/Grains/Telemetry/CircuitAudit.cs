using System.Threading.Channels;
using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Hands events to the application's audit sinks, one after the other, apart from all calls. Best effort: where a sink lags behind by
/// <see cref="MostPending"/> events the oldest are dropped, and counted. Thread-safe.
/// </summary>
internal sealed partial class CircuitAudit : IAsyncDisposable
{
    public const int MostPending = 1_000;

    // A host that stops waits for so long for what is pending.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly Func<CircuitEvent, CancellationToken, ValueTask>[] _sinks;
    private readonly AuthorityMeter _meter;
    private readonly ILogger _logger;
    private readonly Channel<CircuitEvent> _pending;
    private readonly CancellationTokenSource _end = new();
    private readonly Lazy<Task> _handing;

    public CircuitAudit(IEnumerable<Func<CircuitEvent, CancellationToken, ValueTask>> sinks, AuthorityMeter meter, ILogger<CircuitAudit> logger)
    {
        (_sinks, _meter, _logger) = ([.. sinks], meter, logger);
        _pending = Channel.CreateBounded<CircuitEvent>(
            new BoundedChannelOptions(MostPending) { FullMode = BoundedChannelFullMode.DropOldest }, _ => meter.Unaudited());
        _handing = new Lazy<Task>(() => Task.Run(HandAsync));
    }

    public void Tell(CircuitEvent what)
    {
        if (_sinks.Length == 0)
            return;
        _pending.Writer.TryWrite(what);
        _ = _handing.Value;
    }

    public async ValueTask DisposeAsync()
    {
        _pending.Writer.TryComplete();
        if (_handing.IsValueCreated)
            await _handing.Value.WaitAsync(Patience).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _end.CancelAsync().ConfigureAwait(false);
    }

    private async Task HandAsync()
    {
        await foreach (var what in _pending.Reader.ReadAllAsync().ConfigureAwait(false))
        {
            foreach (var sink in _sinks)
            {
                try
                {
                    await sink(what, _end.Token).ConfigureAwait(false);
                }
                catch (Exception e)
                {
                    _meter.Unaudited();
                    LogSinkFailed(_logger, e);
                }
            }
        }
    }

    [LoggerMessage(EventId = 10, Level = LogLevel.Error, Message = "An audit sink has thrown; its event is lost.")]
    private static partial void LogSinkFailed(ILogger logger, Exception exception);
}
