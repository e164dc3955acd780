using System.Numerics;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Remembers what was answered to each node's open requests, so that a repeated request is answered again and not done again
/// (the completion records of RIFL: Lee et al., SOSP 2015). Not thread-safe: the grain guards it.
/// </summary>
/// <remarks>
/// Each channel of a node costs one answer per open request, <see cref="RequestId.MaxOpen"/> at most, and is forgotten after
/// <see cref="Lifetime"/> of silence. A request delayed by more than that is done again: the limiter then loses tokens and the
/// bulkhead a slot for one lease, and neither admits anybody too many.
/// </remarks>
internal sealed class AnswerLog<TAnswer>
    where TAnswer : struct
{
    /// <summary>Far longer than a client goes on repeating a request.</summary>
    public static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(1);

    // Up to so many channels are found by walking the list; a limiter that one node uses pays for no dictionary.
    private const int MostInAList = 8;

    private Dictionary<ChannelKey, Channel>? _byKey;
    private Channel? _longestSilent;
    private Channel? _lastHeard;

    public int ChannelCount { get; private set; }

    /// <summary>
    /// True where the request needs no doing: it was done already, and <paramref name="answer"/> repeats what was said; or nobody awaits
    /// it any more, and the answer is the default one. To be called first for each request.
    /// </summary>
    /// <exception cref="ArgumentException">The sequence is not within <see cref="RequestId.MaxOpen"/> of the oldest open one.</exception>
    public bool TryRecall(in RequestId id, Instant now, out TAnswer answer)
    {
        answer = default;
        ForgetSilent(now);
        if (id.IsAnonymous)
            return false;
        if (id.Sequence < id.OldestOpen || id.Sequence - id.OldestOpen >= RequestId.MaxOpen)
            throw new ArgumentException($"Request {id.Sequence} is not within {RequestId.MaxOpen} of the oldest open one, {id.OldestOpen}.", nameof(id));

        var key = new ChannelKey(id.Node, id.Channel);
        var channel = Find(key);
        if (channel is null)
        {
            channel = new Channel(key);
            Add(channel);
        }
        else if (channel != _lastHeard)
        {
            Unlink(channel);
            Append(channel);
        }

        channel.HeardAt = now;
        return channel.TryRecall(id, out answer);
    }

    /// <summary>Keeps the answer for as long as the request is open. To be called once per request that was done.</summary>
    public void Remember(in RequestId id, TAnswer answer)
    {
        Find(new ChannelKey(id.Node, id.Channel))?.Remember(id.Sequence, answer);
    }

    private void ForgetSilent(Instant now)
    {
        while (_longestSilent is { } channel && now - channel.HeardAt >= Lifetime)
        {
            Unlink(channel);
            _byKey?.Remove(channel.Key);
            ChannelCount--;
        }
    }

    private Channel? Find(in ChannelKey key)
    {
        if (_lastHeard is null || _lastHeard.Key == key)
            return _lastHeard;
        if (_byKey is not null)
            return _byKey.GetValueOrDefault(key);
        var channel = _lastHeard.Earlier;
        while (channel is not null && channel.Key != key)
            channel = channel.Earlier;
        return channel;
    }

    private void Add(Channel channel)
    {
        Append(channel);
        ChannelCount++;
        if (_byKey is not null)
        {
            _byKey.Add(channel.Key, channel);
        }
        else if (ChannelCount > MostInAList)
        {
            _byKey = [];
            for (var each = _lastHeard; each is not null; each = each.Earlier)
                _byKey.Add(each.Key, each);
        }
    }

    private void Append(Channel channel)
    {
        channel.Earlier = _lastHeard;
        channel.Later = null;
        if (_lastHeard is null)
            _longestSilent = channel;
        else
            _lastHeard.Later = channel;
        _lastHeard = channel;
    }

    private void Unlink(Channel channel)
    {
        if (channel.Earlier is null)
            _longestSilent = channel.Later;
        else
            channel.Earlier.Later = channel.Later;
        if (channel.Later is null)
            _lastHeard = channel.Earlier;
        else
            channel.Later.Earlier = channel.Earlier;
    }

    private readonly record struct ChannelKey(Guid Node, int Channel);

    private sealed class Channel(ChannelKey key)
    {
        // Indexed by sequence modulo length: no two open requests are further apart than the length. Most callers have one open.
        private (long Sequence, TAnswer Answer)[] _answers = new (long, TAnswer)[1];
        private long _oldestOpen;

        public ChannelKey Key { get; } = key;

        public Instant HeardAt { get; set; }

        public Channel? Earlier { get; set; }

        public Channel? Later { get; set; }

        public bool TryRecall(in RequestId id, out TAnswer answer)
        {
            answer = default;
            _oldestOpen = Math.Max(_oldestOpen, id.OldestOpen);
            if (id.Sequence < _oldestOpen)
                return true;

            Widen(id.Sequence - _oldestOpen + 1);
            var (sequence, remembered) = _answers[id.Sequence & (_answers.Length - 1)];
            if (sequence != id.Sequence)
                return false;
            answer = remembered;
            return true;
        }

        public void Remember(long sequence, TAnswer answer)
        {
            if (sequence >= _oldestOpen)
                _answers[sequence & (_answers.Length - 1)] = (sequence, answer);
        }

        private void Widen(long open)
        {
            if (open <= _answers.Length)
                return;
            var wider = new (long Sequence, TAnswer Answer)[BitOperations.RoundUpToPowerOf2((uint)open)];
            foreach (var entry in _answers)
            {
                if (entry.Sequence >= _oldestOpen)
                    wider[entry.Sequence & (wider.Length - 1)] = entry;
            }

            _answers = wider;
        }
    }
}
