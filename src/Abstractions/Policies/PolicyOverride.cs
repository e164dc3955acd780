namespace ReliabilityToolkit.Orleans;

/// <summary>A policy of one name's own, in place of the configured one.</summary>
/// <param name="Policy">Null: the configured one holds again.</param>
/// <param name="Version">An older one never wins.</param>
[GenerateSerializer, Immutable, Alias("rt.PolicyOverride`1")]
internal sealed record PolicyOverride<TPolicy>([property: Id(0)] TPolicy? Policy, [property: Id(1)] long Version)
    where TPolicy : class, ICommonPolicy
{
    /// <exception cref="ArgumentException">The policy has faults; the message tells all of them.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The version is below 1.</exception>
    public static void Check(TPolicy? policy, long version)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(version, 1);
        if (policy?.Validate() is { Count: > 0 } faults)
            throw new ArgumentException(string.Join(" ", faults), nameof(policy));
    }
}
