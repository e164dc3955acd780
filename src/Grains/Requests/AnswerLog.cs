namespace ReliabilityToolkit.Orleans;

/// <summary>What an authority knows of a request that has just arrived.</summary>
internal enum RequestState
{
    /// <summary>To be done, and its answer to be remembered.</summary>
    New,

    /// <summary>Done before: the answer is repeated.</summary>
    Done,

    /// <summary>Nobody awaits it any more: not to be done, and answered with the <see cref="VoidAnswer">void answer</see>.</summary>
    Void,
}

/// <summary>
/// Stands ahead of a machine and does each request once: it remembers what was answered to each node's open requests, so that a repeated one is
/// answered again and not done again. Not thread-safe: the grain guards it.
/// </summary>
/// <remarks>
/// It keeps one answer per slot that a node really uses (see <see cref="RequestId"/>), <see cref="Capacity"/> in all, and a channel for
/// <see cref="CallTimeouts.AnswersKeptFor"/> of silence. Beyond the capacity, the channels that have been silent for longest are forgotten early. A
/// repeat that finds its answer forgotten is done again: the limiter then loses tokens, and an order is given twice.
/// </remarks>
internal sealed class AnswerLog<TAnswer>
    where TAnswer : struct, IEquatable<TAnswer>
{
    /// <summary>The most answers that one grain remembers: a thousand nodes with 64 callers each; some 6 MB when full.</summary>
    public const int Capacity = 65_536;

    // Up to so many channels are found by walking the list; a limiter that one node uses pays for no dictionary.
    private const int MostInAList = 8;

    private Dictionary<ChannelKey, Channel>? _byKey;
    private Channel? _longestSilent;
    private Channel? _lastHeard;

    public int ChannelCount { get; private set; }

    /// <summary>Answers that are remembered, each channel counted as one at least.</summary>
    public int Count { get; private set; }

    /// <summary>Does a request, or says again what came of it.</summary>
    /// <param name="id">The request's.</param>
    /// <param name="now">The grain's instant.</param>
    /// <param name="machine">Handed to <paramref name="verb"/>.</param>
    /// <param name="request">Handed to <paramref name="verb"/>.</param>
    /// <param name="verb">What the machine does. Where it throws, nothing is remembered.</param>
    public TAnswer Once<TMachine, TRequest>(
        in RequestId id, Instant now, TMachine machine, TRequest request, Func<TMachine, TRequest, Instant, TAnswer> verb)
        where TMachine : IAnswers<TAnswer>
    {
        switch (Find(id, now, out var earlier))
        {
            case RequestState.Void:
                return default;
            case RequestState.Done:
                return machine.Repeat(earlier.Answer, earlier.At, now);
        }

        var answer = verb(machine, request, now);
        if (machine.IsFinal(answer))
            Remember(id, answer, now);
        return answer;
    }

    /// <summary>
    /// As <see cref="Once{TMachine, TRequest}(in RequestId, Instant, TMachine, TRequest, Func{TMachine, TRequest, Instant, TAnswer})"/>, for what is
    /// told and only acknowledged.
    /// </summary>
    public Acknowledgement Once<TMachine, TRequest>(
        in RequestId id, Instant now, TMachine machine, TRequest request, Action<TMachine, TRequest, Instant> verb)
    {
        switch (Find(id, now, out _))
        {
            case RequestState.Void:
                return default;
            case RequestState.Done:
                return Acknowledgement.Done;
        }

        verb(machine, request, now);
        Remember(id, default, now);
        return Acknowledgement.Done;
    }

    /// <summary>What is known of a request. To be asked first for each that arrives.</summary>
    /// <exception cref="ArgumentException">The numbers contradict each other.</exception>
    public RequestState Find(in RequestId id, Instant now, out (TAnswer Answer, Instant At) earlier)
    {
        earlier = default;
        ForgetSilent(now);
        if (id.IsAnonymous)
            return RequestState.New;
        if (id.Sequence < id.OldestOpen || id.OldestOpen < 1 || id.Slot < 0)
            throw new ArgumentException($"No node numbers its requests so: {id}.", nameof(id));

        var channel = Hear(new ChannelKey(id.Node, id.Channel), now);
        var before = channel.Answers;
        var state = channel.Find(id, out earlier);
        Count += channel.Answers - before;
        return state;
    }

    /// <summary>Keeps the answer for as long as the request is open. To be called once per request that was done.</summary>
    public void Remember(in RequestId id, in TAnswer answer, Instant now) => Put(id, new Entry(id.Sequence, now, answer, IsVoid: false));

    /// <summary>Nobody awaits this one any more: it is not done, should it arrive after all.</summary>
    public void Void(in RequestId id, Instant now)
    {
        Find(id, now, out _);
        Put(id, new Entry(id.Sequence, now, default, IsVoid: true));
    }

    private void Put(in RequestId id, in Entry entry)
    {
        if (id.IsAnonymous || Find(new ChannelKey(id.Node, id.Channel)) is not { } channel)
            return;
        var before = channel.Answers;
        channel.Put(id.Slot, entry);
        Count += channel.Answers - before;
        while (Count > Capacity && _longestSilent is { } silent)
            Forget(silent);
    }

    private void ForgetSilent(Instant now)
    {
        while (_longestSilent is { } channel && now - channel.HeardAt >= CallTimeouts.AnswersKeptFor)
            Forget(channel);
    }

    private void Forget(Channel channel)
    {
        Unlink(channel);
        _byKey?.Remove(channel.Key);
        Count -= channel.Answers;
        ChannelCount--;
    }

    private Channel Hear(in ChannelKey key, Instant now)
    {
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
        return channel;
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
        Count += channel.Answers;
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

    private readonly record struct Entry(long Sequence, Instant At, TAnswer Answer, bool IsVoid);

    private sealed class Channel(ChannelKey key)
    {
        // Most callers have one request open: theirs is always in slot 0.
        private Entry _first;
        private Dictionary<int, Entry>? _others;
        private long _oldestOpen;
        private int _heardSinceSweep;

        public ChannelKey Key { get; } = key;

        public Instant HeardAt { get; set; }

        public Channel? Earlier { get; set; }

        public Channel? Later { get; set; }

        public int Answers => 1 + (_others?.Count ?? 0);

        public RequestState Find(in RequestId id, out (TAnswer Answer, Instant At) earlier)
        {
            earlier = default;
            _oldestOpen = Math.Max(_oldestOpen, id.OldestOpen);
            if (_others is not null && ++_heardSinceSweep >= _others.Count)
                Sweep(_others);
            var inSlot = id.Slot == 0 ? _first : _others?.GetValueOrDefault(id.Slot) ?? default;
            if (id.Sequence < _oldestOpen || id.Sequence < inSlot.Sequence)
                return RequestState.Void;
            if (id.Sequence > inSlot.Sequence)
                return RequestState.New;
            earlier = (inSlot.Answer, inSlot.At);
            return inSlot.IsVoid ? RequestState.Void : RequestState.Done;
        }

        // An older request in the slot is one that is only being cancelled: the newer one's answer stays.
        public void Put(int slot, in Entry entry)
        {
            if (slot == 0)
            {
                if (entry.Sequence >= _first.Sequence)
                    _first = entry;
                return;
            }

            _others ??= [];
            ref var inSlot = ref System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(_others, slot, out _);
            if (entry.Sequence >= inSlot.Sequence)
                inSlot = entry;
        }

        // What is below the oldest open request is void without being remembered. As often as there are answers, so that a request costs no more for
        // it.
        private void Sweep(Dictionary<int, Entry> others)
        {
            _heardSinceSweep = 0;
            foreach (var (slot, entry) in others)
            {
                if (entry.Sequence < _oldestOpen)
                    others.Remove(slot);
            }

            if (others.Count == 0)
                _others = null;
            else if (others.EnsureCapacity(0) > 4 * others.Count)
                others.TrimExcess();
        }
    }
}
