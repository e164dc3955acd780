namespace ReliabilityToolkit.Orleans;

/// <summary>The name's policy is not configured on the silo that owns it.</summary>
[GenerateSerializer, Alias("rt.UnknownPolicyException")]
public sealed class UnknownPolicyException : ReliabilityException
{
    /// <summary>Nothing is known of <paramref name="policy"/>.</summary>
    /// <param name="kind">What was asked for: "rate limiter", "circuit breaker" or "bulkhead".</param>
    /// <param name="policy">The name that was asked for.</param>
    /// <param name="knownPolicies">The names of that kind that the silo has, sorted.</param>
    public UnknownPolicyException(string kind, string policy, IReadOnlyList<string> knownPolicies)
        : base(
            $"No {kind} policy \"{policy}\" is configured on the silo. "
            + $"Known: {(knownPolicies.Count == 0 ? "none" : string.Join(", ", knownPolicies))}.")
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
