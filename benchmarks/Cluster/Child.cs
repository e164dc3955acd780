using System.Diagnostics;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>
/// This program again, in a process of its own. It is told what to do by its arguments, answers in lines on its standard output, and ends when its
/// standard input does: so it does not outlive us, whatever our end.
/// </summary>
internal sealed class Child : IAsyncDisposable
{
    private static readonly TimeSpan LongestAnswer = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan LongestStop = TimeSpan.FromSeconds(10);

    private readonly Process _process;

    private Child(Process process) => _process = process;

    public static Child Start(params string[] arguments)
    {
        var program = Environment.ProcessPath ?? throw new InvalidOperationException("This process does not know its own program.");
        var start = new ProcessStartInfo(program) { RedirectStandardInput = true, RedirectStandardOutput = true };
        if (Path.GetFileNameWithoutExtension(program) == "dotnet")
            start.ArgumentList.Add(typeof(Child).Assembly.Location);
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);
        return new Child(Process.Start(start) ?? throw new InvalidOperationException("The process did not start."));
    }

    public async Task<string> ReadLineAsync()
    {
        using var deadline = new CancellationTokenSource(LongestAnswer);
        return await _process.StandardOutput.ReadLineAsync(deadline.Token) ?? throw new InvalidOperationException(
            "The process ended before it had an answer.");
    }

    public Task WriteLineAsync(string line) => _process.StandardInput.WriteLineAsync(line);

    public async ValueTask DisposeAsync()
    {
        using (_process)
        {
            using var deadline = new CancellationTokenSource(LongestStop);
            try
            {
                _process.StandardInput.Close();
                await _process.WaitForExitAsync(deadline.Token);
            }
            catch (OperationCanceledException)
            {
                _process.Kill();
            }
        }
    }
}
