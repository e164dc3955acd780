namespace ReliabilityToolkit.Orleans;

/// <summary>
/// What outlives the silo on which a limiter, breaker or bulkhead happens to live. What each mode promises is in docs/guarantees.md.
/// </summary>
public enum Durability
{
    /// <summary>
    /// Nothing is stored. Each loss of an activation that no asking node remembers costs a limiter at most one extra burst, and a breaker that was
    /// open is closed.
    /// </summary>
    Volatile,

    /// <summary>
    /// A record says who is the authority, and what must not be forgotten: it is written when one begins and when it leaves, and when a breaker
    /// changes its state or a bulkhead is closed; never per request. Promises hold when silos crash.
    /// </summary>
    Durable,

    /// <summary>
    /// As <see cref="Durable"/>, and an authority decides nothing unless it has shown within the last three seconds, by writing its record, that no
    /// other has taken its place: promises hold also where a silo that is cut off lives on. It costs a write a second for each name in use.
    /// </summary>
    Fenced,
}
