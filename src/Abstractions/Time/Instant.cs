namespace ReliabilityToolkit.Orleans;

/// <summary>
/// A moment on this node's monotonic clock, in ticks of 100 ns. It means nothing on another node, so it has no
/// serializer: what crosses the wire is the difference of two of them.
/// </summary>
internal readonly record struct Instant(long Ticks) : IComparable<Instant>
{
    public static readonly Instant Never = new(long.MaxValue);

    public static Instant operator +(Instant instant, TimeSpan duration) => new(instant.Ticks + duration.Ticks);

    public static TimeSpan operator -(Instant later, Instant earlier) => new(later.Ticks - earlier.Ticks);

    public static bool operator <(Instant left, Instant right) => left.Ticks < right.Ticks;

    public static bool operator >(Instant left, Instant right) => left.Ticks > right.Ticks;

    public static bool operator <=(Instant left, Instant right) => left.Ticks <= right.Ticks;

    public static bool operator >=(Instant left, Instant right) => left.Ticks >= right.Ticks;

    public static Instant Later(Instant left, Instant right) => left > right ? left : right;

    /// <summary>How long until this instant, seen from <paramref name="now"/>; zero when it has passed.</summary>
    public TimeSpan After(Instant now) => this > now ? this - now : TimeSpan.Zero;

    public int CompareTo(Instant other) => Ticks.CompareTo(other.Ticks);
}
