using System.Globalization;
using SiloHost;

namespace ReliabilityToolkit.Orleans.Chaos;

/// <summary>What happened.</summary>
internal enum What
{
    /// <summary>A limiter admitted a caller, between the two instants.</summary>
    Admitted,

    /// <summary>A permit was held at the first instant, and the program knew it by the second.</summary>
    Held,

    /// <summary>A breaker let a call through, between the two instants; <see cref="Happening.Note"/> tells its state.</summary>
    Entered,

    /// <summary>A trial was under way at the first instant.</summary>
    Trying,

    /// <summary>A kill switch was thrown after the first instant, and had returned by the second.</summary>
    Tripped,

    /// <summary>A fault began at the first instant.</summary>
    Fault,
}

/// <summary>One thing that happened, as the process that did it saw it, by this machine's monotonic clock in ticks of 100 ns.</summary>
/// <param name="What">What.</param>
/// <param name="Name">Of the limiter, permit, call or fault.</param>
/// <param name="From">Not before this.</param>
/// <param name="To">Not after this.</param>
/// <param name="Note">What else there is to say.</param>
internal readonly record struct Happening(What What, string Name, long From, long To, string Note = "")
{
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{What} {Name} {From} {To} {Note}");

    /// <summary>Of a line; null where a process was killed while it wrote it.</summary>
    public static Happening? Parse(string line)
    {
        var parts = line.Split(' ');
        return parts.Length == 5 && Enum.TryParse<What>(parts[0], out var what)
            && long.TryParse(parts[2], CultureInfo.InvariantCulture, out var from)
            && long.TryParse(parts[3], CultureInfo.InvariantCulture, out var to)
                ? new Happening(what, parts[1], from, to, parts[4])
                : null;
    }
}

/// <summary>The history of one process, written as it happens: what it did before it was killed is there. Thread-safe.</summary>
internal sealed class History(string file) : IDisposable
{
    private readonly Lock _lock = new();
    private readonly StreamWriter _writer = new(new FileStream(file, FileMode.Append, FileAccess.Write, FileShare.Read)) { AutoFlush = true };

    public static long Now => MachineClock.BeforeNow;

    public static IEnumerable<Happening> Read(IEnumerable<string> files) =>
        files.SelectMany(File.ReadLines).Select(Happening.Parse).OfType<Happening>();

    public void Write(in Happening happening)
    {
        lock (_lock)
            _writer.WriteLine(happening.ToString());
    }

    public void Dispose() => _writer.Dispose();
}
