namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>What can happen to messages, in the worlds that share it.</summary>
/// <param name="RoundTrip">To the authority and back, in milliseconds.</param>
/// <param name="Loss">The share of messages that never arrive.</param>
/// <param name="Duplication">The share of those that arrive twice.</param>
/// <param name="Delay">The share of those that are late, and overtaken, by up to 2 s.</param>
internal readonly record struct Weather(double RoundTrip, double Loss, double Duplication, double Delay);

/// <summary>A node, as far as messages to it and from it go.</summary>
internal interface IActor
{
    int Number { get; }

    bool IsGone { get; }

    bool IsPaused(out Instant until);
}

/// <summary>
/// Virtual time, and what lies between nodes and their authority: messages that take their time, get lost, come twice or late; nodes that are parted
/// from it, one way or both; faults that come by chance, until their time is over.
/// </summary>
internal sealed class Stage(Weather weather, Chances chances, Instant faultsEnd)
{
    private const int MostEventsAtOnce = 100_000;

    private readonly PriorityQueue<Action, (long At, long Number)> _agenda = new();
    private readonly Dictionary<(int Node, bool IsUp), Instant> _partedUntil = [];
    private long _planned;

    public Instant Now { get; private set; }

    public long Events { get; private set; }

    /// <summary>Whether the time of faults is not over.</summary>
    public bool AreThereFaults => Now < faultsEnd;

    /// <exception cref="BrokenPromiseException">A checker found something.</exception>
    public void Run(Instant end)
    {
        var eventsNow = 0;
        while (_agenda.TryDequeue(out var action, out var key) && key.At <= end.Ticks)
        {
            eventsNow = key.At == Now.Ticks ? eventsNow + 1 : 0;
            if (eventsNow > MostEventsAtOnce)
                throw new BrokenPromiseException("Stuck", $"time does not pass at {TimeSpan.FromTicks(Now.Ticks)}");
            Now = new Instant(key.At);
            Events++;
            action();
        }
    }

    public void Plan(TimeSpan after, Action action) => _agenda.Enqueue(action, (Now.Ticks + Math.Max(0, after.Ticks), ++_planned));

    /// <summary>Something that a node notices; not while it stands still, and never when it is gone.</summary>
    public void Plan(IActor node, TimeSpan after, Action action) => Plan(after, () => Notice(node, action));

    /// <summary>The same, now.</summary>
    public void Notice(IActor node, Action action)
    {
        if (node.IsGone)
            return;
        if (node.IsPaused(out var until))
            Plan(until - Now, () => Notice(node, action));
        else
            action();
    }

    /// <summary>A message of a node, or to it.</summary>
    public void Travel(IActor node, bool isUp, Action arrive)
    {
        if (AreThereFaults)
        {
            if (chances.Is(weather.Loss) || (_partedUntil.TryGetValue((node.Number, isUp), out var until) && until > Now))
                return;
            if (chances.Is(weather.Duplication))
                Plan(Time(), arrive);
        }

        Plan(Time(), arrive);

        TimeSpan Time()
        {
            var time = TimeSpan.FromMilliseconds(weather.RoundTrip) / 2 * (0.8 + (0.4 * chances.Next()));
            if (AreThereFaults && chances.Is(weather.Delay))
                time += TimeSpan.FromMilliseconds(chances.One(5, 50, 500, 2_000) * chances.Next());
            return time;
        }
    }

    /// <summary>A fault that comes so often.</summary>
    public void Often(double perSecond, Action fault)
    {
        if (perSecond > 0)
        {
            Plan(chances.NextGap(perSecond), () =>
            {
                if (!AreThereFaults)
                    return;
                fault();
                Often(perSecond, fault);
            });
        }
    }

    /// <summary>Parts one of so many nodes from the authority, one way or both, for so long at most.</summary>
    public void Part(int nodes, TimeSpan longest)
    {
        var number = chances.Next(0, nodes);
        var until = Now + (longest * chances.Next());
        var direction = chances.Next(0, 3);
        if (direction != 0)
            _partedUntil[(number, true)] = until;
        if (direction != 1)
            _partedUntil[(number, false)] = until;
    }
}

/// <summary>A node's clock, which began at some other time than the authority's, and runs a little faster or slower.</summary>
internal readonly struct DriftingClock
{
    private readonly double _speed;
    private readonly long _origin;

    /// <param name="drift">In millionths, at most.</param>
    /// <param name="chances">Of the node.</param>
    public DriftingClock(double drift, Chances chances)
    {
        if (drift <= 0)
            return;
        _speed = ((2 * chances.Next()) - 1) * drift / 1e6;
        _origin = (long)(chances.Next() * TimeSpan.TicksPerDay);
    }

    /// <summary>What it shows at a true instant.</summary>
    public Instant At(Instant trueNow) => new(_origin + trueNow.Ticks + (long)(trueNow.Ticks * _speed));

    /// <summary>When it will show that; not before.</summary>
    public Instant TrueAt(Instant shown) => new((long)((shown.Ticks - _origin) / (1 + _speed)) + 2);
}
