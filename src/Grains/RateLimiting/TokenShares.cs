namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Who is to get how much: max-min fair shares of the rate by demand, and of the room in proportion. It decides only what is useful; that it is safe
/// <see cref="TokenParts"/> sees to. Not thread-safe.
/// </summary>
internal sealed class TokenShares
{
    /// <summary>How often a node asks while its part is in use.</summary>
    public static readonly TimeSpan Renewal = LeaseTerm.RenewAfter(TokenParts.Term);

    private static readonly TimeSpan CountedFor = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan FreshFor = TimeSpan.FromMilliseconds(15);

    // A part that earns less between two renewals is not worth its messages.
    private const double LeastTokensPerRenewal = 5;
    private const int LeastRoom = 4;

    // What is not lent of the rate, so that the rest can even out.
    private const double RestOfRate = 0.03;

    private double[] _demands = [];
    private Instant _reckonedAt;
    private bool _isReckoned;
    private double _level;
    private double _roomScale;

    /// <summary>How many have asked within the last second.</summary>
    public int Askers { get; private set; }

    /// <summary>Tokens per second that they ask for in all.</summary>
    public double Demand { get; private set; }

    /// <summary>Tokens per second that this one is to get.</summary>
    public double FairRate(double demand) => Math.Min(demand, _level);

    /// <summary>Reckons the shares anew where they are out of date.</summary>
    /// <param name="known">Whoever asked lately.</param>
    /// <param name="rate">Tokens per second in all.</param>
    /// <param name="burst">Of the policy.</param>
    /// <param name="now">The grain's instant.</param>
    public void Reckon(TokenParts known, double rate, int burst, Instant now)
    {
        if (_isReckoned && now - _reckonedAt < FreshFor)
            return;
        (_isReckoned, _reckonedAt) = (true, now);
        var count = 0;
        Demand = 0;
        foreach (var part in known.Known)
        {
            if (part.Demand <= 0 || now - part.HeardAt >= CountedFor)
                continue;
            if (count == _demands.Length)
                Array.Resize(ref _demands, Math.Max(4, 2 * count));
            _demands[count++] = part.Demand;
            Demand += part.Demand;
        }

        Askers = count;
        _level = Level(_demands.AsSpan(0, count), rate);
        double wishes = 0;
        foreach (var demand in _demands.AsSpan(0, count))
            wishes += IsWorthwhile(FairRate(demand)) ? RoomWish(FairRate(demand)) : 0;
        _roomScale = wishes > 0 ? Math.Min(1, burst / 2.0 / wishes) : 1;
    }

    /// <summary>The room of a part for one who wants so much; 0: he gets none.</summary>
    public int Room(double demand)
    {
        var fair = FairRate(demand);
        var room = IsWorthwhile(fair) ? (int)(RoomWish(fair) * _roomScale) : 0;
        return room < LeastRoom ? 0 : room;
    }

    /// <summary>The rate of such a part, as far as there is rate to lend; tokens per second.</summary>
    /// <param name="demand">Of the node.</param>
    /// <param name="room">Of its part. A small one is full at times, and what it earns then is lost.</param>
    /// <param name="rate">Of the policy.</param>
    /// <param name="lentToOthers">What the others have.</param>
    public double Rate(double demand, int room, double rate, double lentToOthers) =>
        room == 0 ? 0 : Math.Max(0, Math.Min(FairRate(demand) * (1 - (1.0 / room)), (rate * (1 - RestOfRate)) - lentToOthers));

    /// <summary>Whether the rest has so much that nobody need be kept short.</summary>
    public static bool IsPlenty(long rest, double rate, int burst) => rest >= Math.Max(1, Math.Min(rate * 0.02, burst / 4.0));

    private static bool IsWorthwhile(double fairRate) => fairRate * Renewal.TotalSeconds >= LeastTokensPerRenewal;

    private static double RoomWish(double fairRate) => (fairRate * 2 * Renewal.TotalSeconds) + 8;

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
