using System.Runtime.InteropServices;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The slots of one loan that are in nobody's hands: what a hit needs. All permits that are taken from it are valid until the loan ends. Thread-safe
/// without a lock, but for those who want to hear of its end.
/// </summary>
/// <remarks>
/// While it is shut everybody has to ask the machine, which has taken what was in it. Slots that nobody holds and hits since it began are one word,
/// so that both change at once. What all hits write lies apart from what all hits read.
/// </remarks>
[StructLayout(LayoutKind.Explicit, Size = 2 * Line)]
internal sealed class SlotLot
{
    /// <summary>Of a node to which nothing is lent.</summary>
    public static readonly SlotLot None = new() { IsOver = true };

    /// <summary>In shadow mode, for one who would be refused: nothing is lent, and it never ends.</summary>
    public static SlotLot Shadow()
    {
        var lot = new SlotLot { ValidUntil = Instant.Never };
        lot.Open(0);
        return lot;
    }

    private const int Line = 128;
    private const long Hit = 1L << 32;
    private const long IsShut = 1L << 31; // the sign of the lower half

    [FieldOffset(0)]
    private long _validUntil;

    [FieldOffset(8)]
    private long _number;

    [FieldOffset(16)]
    private volatile bool _isOver;

    [FieldOffset(24)]
    private HashSet<CancellationTokenSource>? _watchers;

    [FieldOffset(32)]
    private readonly Lock _lock = new();

    [FieldOffset(Line)]
    private long _word = IsShut;

    /// <summary>When the loan ends for the holder.</summary>
    public Instant ValidUntil
    {
        get => new(Volatile.Read(ref _validUntil));
        set => Volatile.Write(ref _validUntil, value.Ticks);
    }

    /// <summary>Of the newest grant that lent something of it.</summary>
    public long Number
    {
        get => Volatile.Read(ref _number);
        set => Volatile.Write(ref _number, value);
    }

    /// <summary>It has ended, for ever.</summary>
    public bool IsOver
    {
        get => _isOver;
        private init => _isOver = value;
    }

    /// <summary>How often something was taken from it by hits; counts up to 2³² and begins anew.</summary>
    public uint Hits => (uint)(Volatile.Read(ref _word) >> 32);

    /// <summary>In nobody's hands, and there for hits; 0 while it is shut.</summary>
    public int Free => Math.Max(0, (int)Volatile.Read(ref _word));

    /// <summary>Takes slots, if they are there.</summary>
    /// <param name="slots">At least 1.</param>
    /// <param name="glance">By a clock that may be behind by <see cref="NodeClock.MostBehind"/>: hits end that much sooner.</param>
    public bool TryTake(int slots, Instant glance)
    {
        if (glance.Ticks >= Volatile.Read(ref _validUntil) - NodeClock.MostBehind.Ticks)
            return false;
        for (var word = Volatile.Read(ref _word); (int)word >= slots;)
        {
            var seen = Interlocked.CompareExchange(ref _word, word - slots + Hit, word);
            if (seen == word)
                return true;
            word = seen;
        }

        return false;
    }

    /// <summary>Gives slots back that were taken from it; false while it is shut.</summary>
    public bool TryGiveBack(int slots)
    {
        for (var word = Volatile.Read(ref _word); (int)word >= 0;)
        {
            var seen = Interlocked.CompareExchange(ref _word, word + slots, word);
            if (seen == word)
                return true;
            word = seen;
        }

        return false;
    }

    /// <summary>Hits find nothing any more. What was in it is the caller's.</summary>
    public int Shut()
    {
        for (var word = Volatile.Read(ref _word); (int)word >= 0;)
        {
            var seen = Interlocked.CompareExchange(ref _word, (word & ~(long)uint.MaxValue) | IsShut, word);
            if (seen == word)
                return (int)word;
            word = seen;
        }

        return 0;
    }

    /// <summary>It holds so many from now on; for one who has shut it.</summary>
    public void Open(int slots) => Interlocked.Exchange(ref _word, (Volatile.Read(ref _word) & ~(long)uint.MaxValue) + slots);

    /// <summary>To be cancelled when it ends; false: it has ended.</summary>
    public bool TryWatch(CancellationTokenSource watcher)
    {
        lock (_lock)
        {
            if (_isOver)
                return false;
            (_watchers ??= []).Add(watcher);
            return true;
        }
    }

    /// <summary>He does not want to hear of it any more.</summary>
    public void Unwatch(CancellationTokenSource watcher)
    {
        lock (_lock)
            _watchers?.Remove(watcher);
    }

    /// <summary>It has ended: all of its permits are lost with this.</summary>
    /// <returns>Who is to be told, each by himself.</returns>
    public IReadOnlyCollection<CancellationTokenSource> End()
    {
        lock (_lock)
        {
            _isOver = true;
            return Interlocked.Exchange(ref _watchers, null) ?? [];
        }
    }
}
