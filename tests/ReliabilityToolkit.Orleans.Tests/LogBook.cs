using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A logger that keeps its lines. Thread-safe.</summary>
internal sealed class LogBook<T> : ILogger<T>
{
    private readonly ConcurrentQueue<string> _lines = new();
    private readonly ConcurrentDictionary<int, TaskCompletionSource> _events = new();

    public IReadOnlyCollection<string> Lines => _lines;

    /// <summary>Until an event of that id has been logged.</summary>
    public Task WaitForAsync(int eventId) => Event(eventId).Task.WaitAsync(TimeSpan.FromSeconds(30));

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        _lines.Enqueue($"{logLevel}: {formatter(state, exception)}");
        Event(eventId.Id).TrySetResult();
    }

    private TaskCompletionSource Event(int id) =>
        _events.GetOrAdd(id, static _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
}
