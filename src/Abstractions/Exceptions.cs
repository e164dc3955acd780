namespace ReliabilityToolkit.Orleans;

/// <summary>What every exception of this library derives from. All of them cross the wire.</summary>
[GenerateSerializer, Alias("rt.ReliabilityException")]
public class ReliabilityException : Exception
{
    /// <summary>An exception with a message and, where one is known, a time to wait.</summary>
    /// <param name="message">What happened, in words.</param>
    /// <param name="retryAfter">Not before this long is a new attempt worth while; absent where nobody can tell.</param>
    /// <param name="innerException">What led to it.</param>
    public ReliabilityException(string message, TimeSpan? retryAfter = null, Exception? innerException = null)
        : base(message, innerException) => RetryAfter = retryAfter;

    /// <summary>Not before this long is a new attempt worth while; absent where nobody can tell. <c>Retry</c> takes it as a floor.</summary>
    [Id(0)]
    public TimeSpan? RetryAfter { get; private set; }
}

/// <summary>The circuit is open (or half open with all its trials under way): the call was not made.</summary>
[GenerateSerializer, Alias("rt.CircuitOpenException")]
public sealed class CircuitOpenException : ReliabilityException
{
    /// <summary>A rejection by the breaker <paramref name="name"/>.</summary>
    /// <param name="name">The breaker's policy, with its key where it has one.</param>
    /// <param name="retryAfter">What is left of the cool-down; absent for an isolated breaker and for one whose trials are under way.</param>
    public CircuitOpenException(string name, TimeSpan? retryAfter)
        : base(retryAfter is { } wait ? $"Circuit \"{name}\" is open for another {wait}." : $"Circuit \"{name}\" is open.", retryAfter) => Name = name;

    /// <summary>The breaker's policy, with its key where it has one.</summary>
    [Id(0)]
    public string Name { get; private set; }
}

/// <summary>A limiter or a bulkhead refused, and the caller asked for an exception by <c>EnsureAcquired</c>.</summary>
[GenerateSerializer, Alias("rt.RateLimitedException")]
public sealed class RateLimitedException : ReliabilityException
{
    /// <summary>A refusal for <paramref name="reason"/>.</summary>
    /// <param name="reason">Why it was refused.</param>
    /// <param name="retryAfter">Who comes back after this long, with nobody else asking, is admitted; absent where nobody can tell.</param>
    public RateLimitedException(RefusalReason reason, TimeSpan? retryAfter)
        : base(retryAfter is { } wait ? $"Refused: {reason}. Retry after {wait}." : $"Refused: {reason}.", retryAfter) => Reason = reason;

    /// <summary>Why it was refused.</summary>
    [Id(0)]
    public RefusalReason Reason { get; private set; }
}

/// <summary>The bulkhead is closed: pending and later acquires fail until it is reopened.</summary>
[GenerateSerializer, Alias("rt.BulkheadClosedException")]
public sealed class BulkheadClosedException : ReliabilityException
{
    /// <summary>A refusal by the closed bulkhead <paramref name="name"/>.</summary>
    /// <param name="name">The bulkhead's policy, with its key where it has one.</param>
    public BulkheadClosedException(string name) : base($"Bulkhead \"{name}\" is closed.") => Name = name;

    /// <summary>The bulkhead's policy, with its key where it has one.</summary>
    [Id(0)]
    public string Name { get; private set; }
}

/// <summary>The name's policy is not configured on the silo that owns it.</summary>
[GenerateSerializer, Alias("rt.UnknownPolicyException")]
public sealed class UnknownPolicyException : ReliabilityException
{
    /// <summary>Nothing is known of <paramref name="policy"/>.</summary>
    /// <param name="kind">What was asked for: "rate limiter", "circuit breaker" or "bulkhead".</param>
    /// <param name="policy">The name that was asked for.</param>
    /// <param name="knownPolicies">The names of that kind that the silo has, sorted.</param>
    public UnknownPolicyException(string kind, string policy, IReadOnlyList<string> knownPolicies)
        : base($"No {kind} policy \"{policy}\" is configured on the silo. Known: {(knownPolicies.Count == 0 ? "none" : string.Join(", ", knownPolicies))}.")
    {
        Policy = policy;
        KnownPolicies = [.. knownPolicies];
    }

    /// <summary>The name that was asked for.</summary>
    [Id(0)]
    public string Policy { get; private set; }

    /// <summary>The names of that kind that the silo has, sorted.</summary>
    [Id(1)]
    public IReadOnlyList<string> KnownPolicies { get; private set; }
}

/// <summary>The grain that decides did not answer within the call's deadline: neither yes nor no. Whether the request was carried out is unknown.</summary>
[GenerateSerializer, Alias("rt.AuthorityUnavailableException")]
public sealed class AuthorityUnavailableException : ReliabilityException
{
    /// <summary>No answer for <paramref name="name"/>.</summary>
    /// <param name="name">The policy, with its key where it has one.</param>
    /// <param name="deadline">How long was waited.</param>
    /// <param name="innerException">What the last attempt ran into.</param>
    public AuthorityUnavailableException(string name, TimeSpan deadline, Exception? innerException)
        : this(name, $"The authority of \"{name}\" did not answer within {deadline}.", innerException)
    {
    }

    private AuthorityUnavailableException(string name, string message, Exception? innerException)
        : base(message, null, innerException) => Name = name;

    /// <summary>The policy, with its key where it has one.</summary>
    [Id(0)]
    public string Name { get; private set; }

    /// <summary>The request was repeated so late that the authority remembers nothing of it: its outcome is as unknown as without an answer.</summary>
    internal static AuthorityUnavailableException ForVoidAnswer(string name) =>
        new(name, $"The authority of \"{name}\" no longer remembers a request that was repeated too late.", null);
}
