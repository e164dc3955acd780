using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Under what names the toolkit measures and traces, for <c>AddMeter</c> and <c>AddSource</c> of OpenTelemetry. The same on nodes and on silos;
/// what there is to be read is in docs/operations.md.
/// </summary>
public static class ReliabilityToolkitTelemetry
{
    /// <summary>Of the meter (<see cref="Meter"/>).</summary>
    public const string MeterName = "ReliabilityToolkit.Orleans";

    /// <summary>Of the source of activities (<see cref="System.Diagnostics.ActivitySource"/>).</summary>
    public const string ActivitySourceName = "ReliabilityToolkit.Orleans";

    /// <summary>Keys stay out of what it tags, as they do out of metrics.</summary>
    internal static readonly ActivitySource Activities = new(ActivitySourceName);

    /// <summary>Begins one, if anybody traces.</summary>
    internal static Activity? Start(string name, string policy, ActivityKind kind = ActivityKind.Internal) =>
        Activities.StartActivity(name, kind)?.SetTag("policy", policy);

    /// <summary>The container's, so that two hosts in one process are told apart; where it has no metrics, one of its own.</summary>
    internal static Meter CreateMeter(IMeterFactory? factory) => factory?.Create(MeterName) ?? new Meter(MeterName);

    internal static KeyValuePair<string, object?> OfPolicy(string policy) => new("policy", policy);

    internal static KeyValuePair<string, object?> OfKind(string kind) => new("kind", kind);

    internal static KeyValuePair<string, object?> OfOutcome(string outcome) => new("outcome", outcome);

    /// <summary>The words of an enumeration, as tags have them: RateLimited is "rate_limited". Made once per kind.</summary>
    internal static string[] WordsOf<TEnum>()
        where TEnum : struct, Enum =>
    [
        .. Enum.GetNames<TEnum>().Select(static name => string.Concat(
            name.Select(static (letter, i) => char.IsUpper(letter) ? $"{(i == 0 ? "" : "_")}{char.ToLowerInvariant(letter)}" : $"{letter}"))),
    ];
}
