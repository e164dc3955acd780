using System.Globalization;

namespace ReliabilityToolkit.Orleans;

/// <summary>What the caller hears of a number of permits that can never be had: his own parameter's name, whoever noticed it.</summary>
internal static class PermitCount
{
    private const string Parameter = "permitCount";

    public static void ThrowIfBelowOne(int permitCount) => ArgumentOutOfRangeException.ThrowIfLessThan(permitCount, 1);

    public static ArgumentOutOfRangeException IsAbove(int most, int permitCount) =>
        new(Parameter, permitCount, string.Create(CultureInfo.InvariantCulture, $"{permitCount} at once can never be had; legal: 1 to {most}."));

    /// <summary>The authority's refusal of an argument, told as one of the caller's.</summary>
    public static ArgumentOutOfRangeException IsRefused(ArgumentOutOfRangeException authoritys, int permitCount)
    {
        var suffix = authoritys.Message.IndexOf(" (Parameter", StringComparison.Ordinal);
        return new(Parameter, permitCount, suffix < 0 ? authoritys.Message : authoritys.Message[..suffix]);
    }
}
