namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Who is to get how much: max-min fair shares of the rate by demand, and of the room in proportion. It decides only what is useful; that it is safe
/// <see cref="TokenParts"/> sees to. Not thread-safe.
/// </summary>
internal class TokenShares
{
    /// <summary>How often a node asks while its part is in use.</summary>
    public static readonly TimeSpan Renewal = LeaseTerm.RenewAfter(LeaseTerm.OfPart);

    private static readonly TimeSpan CountedFor = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan FreshFor = TimeSpan.FromMilliseconds(15);

    // A part that earns less between two renewals is not worth its messages.
    private const double LeastTokensPerRenewal = 5;
    private const int LeastRoom = 4;

    // Seconds for which a node's demand is averaged, about.
    private const double DemandAveragedOver = 0.43;

    // What is not lent of the rate, so that the rest can even out.
    private const double RestOfRate = 0.03;

    private const double MostAsksPerSecond = 50_000;

    private double[] _demands = [];
    private bool _isReckoned;
    private double _rate;
    private int _burst;
    private double _level;
    private double _fairInAll;
    private double _extra; // tokens per second that each may have of the rest until he asks again
    private double _roomScale;
    private double _asked; // tokens of late, and the seconds that they are of; what is older counts less
    private double _askedFor;
    private Instant _countedAt;
    private Instant _dryAt = new(long.MinValue / 2);

    /// <summary>When that was.</summary>
    public Instant ReckonedAt { get; private set; }

    /// <summary>How many have asked lately, as of the last reckoning; for whoever checks the books.</summary>
    public int Askers { get; private set; }

    /// <summary>Tokens per second that this one is to get.</summary>
    public double FairRate(double demand) => Math.Min(demand, _level);

    /// <summary>The part of the whole that this one is to go by while it hears nothing: of what nobody asks for each has his part too.</summary>
    public FairShare Share(double demand)
    {
        var share = FairRate(demand) / Math.Max(_fairInAll, FairRate(demand));
        return demand > 0 ? new FairShare(share * _rate, share * _burst) : default;
    }

    /// <summary>Reckons the shares anew where they are out of date.</summary>
    /// <param name="known">Whoever asked lately.</param>
    /// <param name="rate">Tokens per second in all.</param>
    /// <param name="burst">Of the policy.</param>
    /// <param name="rest">Tokens there are.</param>
    /// <param name="now">The grain's instant.</param>
    public void Reckon(TokenParts known, double rate, int burst, long rest, Instant now)
    {
        if (_isReckoned && now - ReckonedAt < FreshFor && rate.Equals(_rate) && burst == _burst)
            return;
        (_isReckoned, ReckonedAt, _rate, _burst) = (true, now, rate, burst);
        var count = 0;
        foreach (var part in known.Known)
        {
            if (part.Demand <= 0 || now - part.HeardAt >= CountedFor)
                continue;
            if (count == _demands.Length)
                Array.Resize(ref _demands, Math.Max(4, 2 * count));
            _demands[count++] = part.Demand;
        }

        Askers = count;
        _level = Level(_demands.AsSpan(0, count), rate);
        _extra = IsPlenty(rest) ? rest / Renewal.TotalSeconds / Math.Max(count, 1) : 0;
        (double wishes, _fairInAll) = (0, 0);
        foreach (var demand in _demands.AsSpan(0, count))
        {
            wishes += IsWorthwhile(FairRate(demand)) ? RoomWish(demand) : 0;
            _fairInAll += FairRate(demand);
        }
        _roomScale = wishes > 0 ? Math.Min(1, burst / 2.0 / wishes) : 1;
    }

    /// <summary>The room of a part for one who wants so much; 0: he gets none. Half of all is not lent.</summary>
    /// <param name="demand">Of the node.</param>
    /// <param name="roomBefore">What it has; a little more than it needs is left to it.</param>
    /// <param name="lentToOthers">What the others have.</param>
    public virtual int Room(double demand, int roomBefore, long lentToOthers)
    {
        var fair = FairRate(demand);
        var room = (int)Math.Min(RoomWish(demand) * _roomScale, Math.Max((_burst / 2) - lentToOthers, roomBefore));
        if (room < LeastRoom || !IsWorthwhile(roomBefore == 0 ? fair : 2 * fair)) // half is enough to go on
            return 0;
        return room < roomBefore && room > roomBefore * 3 / 4 ? roomBefore : room;
    }

    /// <summary>The rate of such a part, as far as there is rate to lend; tokens per second.</summary>
    /// <param name="demand">Of the node.</param>
    /// <param name="room">Of its part. A small one is full at times, and what it earns then is lost.</param>
    /// <param name="level">Tokens in it. What would overflow it need not earn.</param>
    /// <param name="rateBefore">
    /// What it uses so far. As long as it may use either, the higher is nobody else's: so it is changed for a reason only, not for what is chance.
    /// </param>
    /// <param name="lentToOthers">What the others have.</param>
    public virtual double Rate(double demand, int room, int level, double rateBefore, double lentToOthers)
    {
        if (room == 0)
            return 0;
        var fair = FairRate(demand);
        var isLess = demand > fair; // than it wants
        var rate = fair * (1 - LostWhileFull(demand / fair, room)) * (isLess ? 1 - RestOfRate : 1);
        var byChance = isLess ? fair * RestOfRate : 2 * Math.Sqrt(demand / DemandAveragedOver);
        if (Math.Abs(rate - rateBefore) <= byChance)
            rate = rateBefore;
        var tooMuch = level + ((rate - demand) * Renewal.TotalSeconds) - room;
        if (tooMuch > 0)
            rate -= tooMuch / Renewal.TotalSeconds;
        return Math.Max(0, Math.Min(rate, (_rate * (1 - RestOfRate)) - lentToOthers));
    }

    /// <summary>Tokens for a part, as far as it has room for them.</summary>
    /// <param name="rest">Tokens there are.</param>
    /// <param name="demand">Of the node.</param>
    /// <param name="room">Of its part.</param>
    /// <param name="level">Tokens in it.</param>
    public virtual long TopUp(long rest, double demand, int room, int level) =>
        Math.Min(IsPlenty(rest) ? rest / 2 : rest / Math.Max(Askers, 1), (long)Math.Max(Aim(demand, room) - level, 0));

    /// <summary>Counts what callers of a node have asked for.</summary>
    public void Count(long asked, Instant now)
    {
        var elapsed = _countedAt == default ? TimeSpan.Zero : now - _countedAt;
        var kept = Math.Pow(2, -(elapsed.TotalSeconds / HalfLife));
        (_asked, _askedFor, _countedAt) = ((_asked * kept) + Math.Max(asked, 0), (_askedFor * kept) + elapsed.TotalSeconds, now);
    }

    /// <summary>What one who asks for so many wants in a second at least: he is counted for one.</summary>
    public static double LeastDemand(int tokens) => tokens / CountedFor.TotalSeconds;

    /// <summary>Whether one is not to ask before his next renewal: more is wanted than there is, and the rest is scarce.</summary>
    public bool IsRationed(long rest) => IsOverload && !IsPlenty(rest);

    /// <summary>Somebody was refused what the rest has not got.</summary>
    public void NoteDry(Instant now) => _dryAt = now;

    /// <summary>
    /// How long apart one is to ask in overload who asks for tokens one by one. Zero: as he likes, while all get what they ask for and are not so
    /// many that the authority could not answer them.
    /// </summary>
    /// <param name="demand">Of the node.</param>
    /// <param name="restRoom">Tokens that there could be.</param>
    /// <param name="now">The grain's instant.</param>
    public TimeSpan AskEvery(double demand, long restRoom, Instant now)
    {
        if (!IsOverload)
            return default;
        var asksPerToken = AsksPerToken(restRoom);
        var tooMany = Math.Max(1, Math.Min(_asked / _askedFor, asksPerToken * _rate) / MostAsksPerSecond);
        if (tooMany.Equals(1) && now - _dryAt > CountedFor)
            return default;
        var apart = Math.Min(tooMany / Math.Min(asksPerToken * FairRate(demand), demand), tooMany * CountedFor.TotalSeconds);
        return TimeSpan.FromSeconds(Math.Max(apart - (1 / demand), 0)); // until the next comes
    }

    // More is asked for than there is, by more than chance explains.
    private bool IsOverload => _asked - (_rate * _askedFor) > (2 * Math.Sqrt(_rate * _askedFor)) + 3;

    // In seconds: long enough for a hundred tokens or so, and for all nodes to say several times what they were asked for.
    private double HalfLife => Math.Clamp(100 / _rate, 0.5, 1);

    // Sparse nodes in overload ask a quarter more often than a token of theirs comes; and more often where the rest is so small that it is full
    // now and then between their asking: of its tokens one in a hundred is lost so at most.
    private static double AsksPerToken(long restRoom) => Math.Max(1.25, Math.Exp(4.0 / Math.Max(restRoom, 1)));

    // Of what a bucket earns, where so many times as much is asked for: it is full in so much of the time.
    private static double LostWhileFull(double load, int room) => load < 1.001 ? 1.0 / (room + 1) : (load - 1) / (Math.Pow(load, room + 1) - 1);

    private bool IsPlenty(long rest) => rest >= Math.Max(1, Math.Min(_rate * 0.02, _burst / 4.0));

    private static bool IsWorthwhile(double fairRate) => fairRate * Renewal.TotalSeconds >= LeastTokensPerRenewal;

    private double RoomWish(double demand) => (Math.Min(demand, _level + _extra) * 2 * Renewal.TotalSeconds) + 8;

    // So many tokens a part is to have: what its callers ask for more or less by chance until it asks again is to find room, or tokens.
    private static double Aim(double demand, int room) => room - Math.Min(Math.Max(2, 2 * Math.Sqrt(demand * Renewal.TotalSeconds)), room / 2.0);

    // The water level: nobody gets more than he wants, and nobody less than another unless he wants less.
    private static double Level(Span<double> demands, double rate)
    {
        demands.Sort();
        for (var i = 0; i < demands.Length; i++)
        {
            var level = rate / (demands.Length - i);
            if (demands[i] >= level)
                return level;
            rate -= demands[i];
        }

        return double.PositiveInfinity;
    }
}
