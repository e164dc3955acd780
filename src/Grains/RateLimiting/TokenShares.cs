namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Who is to get how much: max-min fair shares of the rate by demand, and of the room in proportion. It decides only what is useful; that it is safe
/// <see cref="TokenParts"/> sees to. Not thread-safe.
/// </summary>
internal sealed class TokenShares
{
    /// <summary>How often a node asks while its part is in use.</summary>
    public static readonly TimeSpan Renewal = LeaseTerm.RenewAfter(LeaseTerm.OfPart);

    private static readonly TimeSpan CountedFor = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan FreshFor = TimeSpan.FromMilliseconds(15);

    // A part that earns less between two renewals is not worth its messages.
    private const double LeastTokensPerRenewal = 5;
    private const int LeastRoom = 4;

    // What is not lent of the rate, so that the rest can even out.
    private const double RestOfRate = 0.03;

    // Sparse nodes in overload ask a quarter more often than a token of theirs comes, and all together no more than so often.
    private const double AsksPerToken = 1.25;
    private const double MostAsksPerSecond = 50_000;

    private double[] _demands = [];
    private Instant _reckonedAt;
    private bool _isReckoned;
    private double _rate;
    private int _burst;
    private double _level;
    private double _roomScale;
    private double _demand;
    private int _askers;

    /// <summary>Tokens per second that this one is to get.</summary>
    public double FairRate(double demand) => Math.Min(demand, _level);

    /// <summary>Reckons the shares anew where they are out of date.</summary>
    /// <param name="known">Whoever asked lately.</param>
    /// <param name="rate">Tokens per second in all.</param>
    /// <param name="burst">Of the policy.</param>
    /// <param name="now">The grain's instant.</param>
    public void Reckon(TokenParts known, double rate, int burst, Instant now)
    {
        if (_isReckoned && now - _reckonedAt < FreshFor && rate.Equals(_rate) && burst == _burst)
            return;
        (_isReckoned, _reckonedAt, _rate, _burst) = (true, now, rate, burst);
        var count = 0;
        _demand = 0;
        foreach (var part in known.Known)
        {
            if (part.Demand <= 0 || now - part.HeardAt >= CountedFor)
                continue;
            if (count == _demands.Length)
                Array.Resize(ref _demands, Math.Max(4, 2 * count));
            _demands[count++] = part.Demand;
            _demand += part.Demand;
        }

        _askers = count;
        _level = Level(_demands.AsSpan(0, count), rate);
        double wishes = 0;
        foreach (var demand in _demands.AsSpan(0, count))
            wishes += IsWorthwhile(FairRate(demand)) ? RoomWish(FairRate(demand)) : 0;
        _roomScale = wishes > 0 ? Math.Min(1, burst / 2.0 / wishes) : 1;
    }

    /// <summary>The room of a part for one who wants so much; 0: he gets none.</summary>
    /// <param name="demand">Of the node.</param>
    /// <param name="roomBefore">What it has; a little more than it needs is left to it.</param>
    public int Room(double demand, int roomBefore = 0)
    {
        var fair = FairRate(demand);
        var room = IsWorthwhile(fair) ? (int)(RoomWish(fair) * _roomScale) : 0;
        if (room < LeastRoom)
            return 0;
        return room < roomBefore && room > roomBefore * 3 / 4 ? roomBefore : room;
    }

    /// <summary>The rate of such a part, as far as there is rate to lend; tokens per second.</summary>
    /// <param name="demand">Of the node.</param>
    /// <param name="room">Of its part. A small one is full at times, and what it earns then is lost.</param>
    /// <param name="lentToOthers">What the others have.</param>
    public double Rate(double demand, int room, double lentToOthers) =>
        room == 0 ? 0 : Math.Max(0, Math.Min(FairRate(demand) * (1 - (1.0 / room)), (_rate * (1 - RestOfRate)) - lentToOthers));

    /// <summary>Tokens for a part, as far as it has room for them.</summary>
    /// <param name="rest">Tokens there are.</param>
    /// <param name="homeless">Tokens for which there will be no room in the rest.</param>
    public long TopUp(long rest, long homeless) =>
        Math.Min(rest, Math.Max(homeless, IsPlenty(rest) ? rest / 2 : rest / Math.Max(_askers, 1)));

    /// <summary>Whether one is not to ask before his next renewal: all want more than there is, he has his share, and the rest is scarce.</summary>
    public bool IsRationed(double demand, long rest) => _demand > _rate && demand >= FairRate(demand) && !IsPlenty(rest);

    /// <summary>How long one who asks for tokens one by one, and has been refused, is to wait in overload; zero below it.</summary>
    public TimeSpan ComeBackAfter(double demand) =>
        _demand <= _rate
            ? default
            : TimeSpan.FromSeconds(Math.Max(1 / (AsksPerToken * Math.Max(FairRate(demand), 0.001)), _askers / MostAsksPerSecond));

    private bool IsPlenty(long rest) => rest >= Math.Max(1, Math.Min(_rate * 0.02, _burst / 4.0));

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
