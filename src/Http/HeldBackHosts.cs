using System.Collections.Concurrent;
using System.Net.Http.Headers;

namespace ReliabilityToolkit.Orleans.Http;

/// <summary>Hosts that asked to be left in peace for a while, on this node. Thread-safe.</summary>
internal sealed class HeldBackHosts(TimeProvider time)
{
    // Beyond, those whose time is over are looked for; and where there are none, one more is not noted.
    private const int Most = 1_000;

    private readonly ConcurrentDictionary<string, DateTimeOffset> _until = new(StringComparer.Ordinal);

    /// <summary>For how long yet; null: it may be called.</summary>
    public TimeSpan? For(string host)
    {
        if (!_until.TryGetValue(host, out var until))
            return null;
        var wait = until - time.GetUtcNow();
        if (wait > TimeSpan.Zero)
            return wait;
        _until.TryRemove(new(host, until));
        return null;
    }

    /// <summary>It has said so; a date or a number of seconds (RFC 9110, section 10.2.3).</summary>
    public void Note(string host, RetryConditionHeaderValue? retryAfter, TimeSpan most)
    {
        var now = time.GetUtcNow();
        var wait = retryAfter?.Delta ?? (retryAfter?.Date - now) ?? TimeSpan.Zero;
        wait = wait < most ? wait : most;
        if (wait <= TimeSpan.Zero)
            return;
        if (_until.Count >= Most)
        {
            foreach (var entry in _until.Where(entry => entry.Value <= now))
                _until.TryRemove(entry);
            if (_until.Count >= Most)
                return;
        }

        _until[host] = now + wait;
    }
}
