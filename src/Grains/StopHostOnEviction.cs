using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans;

/// <summary>Stops the host in order, where Orleans by itself ends the process.</summary>
internal sealed partial class StopHostOnEviction(IHostApplicationLifetime lifetime, ILogger<StopHostOnEviction> logger) : IFatalErrorHandler
{
    /// <inheritdoc/>
    public bool IsUnexpected(Exception exception) => exception is not ThreadAbortException;

    /// <inheritdoc/>
    public void OnFatalException(object? sender, string? context, Exception? exception)
    {
        LogEvicted(context, exception);
        lifetime.StopApplication();
    }

    [LoggerMessage(
        EventId = 4,
        Level = LogLevel.Critical,
        Message = "This silo cannot go on, and its host stops: the cluster has given it up, or it has found itself broken. {Context}")]
    private partial void LogEvicted(string? context, Exception? exception);
}
