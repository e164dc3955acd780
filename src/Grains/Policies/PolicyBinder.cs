using System.Reflection;
using Microsoft.Extensions.Configuration;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Reads policies from configuration. A setting that is misspelled or malformed becomes one fault beside the others, not the end of reading.
/// </summary>
internal static class PolicyBinder
{
    public static void Bind(IConfiguration section, ReliabilityToolkitPolicies policies)
    {
        foreach (var kind in section.GetChildren())
        {
            switch (kind.Key.ToUpperInvariant())
            {
                case "RATELIMITERS":
                    BindAll(kind, policies.RateLimiters, policies.UnreadableSettings);
                    break;
                case "CIRCUITBREAKERS":
                    BindAll(kind, policies.CircuitBreakers, policies.UnreadableSettings);
                    break;
                case "BULKHEADS":
                    BindAll(kind, policies.Bulkheads, policies.UnreadableSettings);
                    break;
                default:
                    policies.UnreadableSettings.Add($"{kind.Path}: legal here: RateLimiters, CircuitBreakers, Bulkheads.");
                    break;
            }
        }
    }

    private static void BindAll<TPolicy>(IConfiguration kind, IDictionary<string, TPolicy> policies, List<string> faults)
        where TPolicy : new()
    {
        foreach (var entry in kind.GetChildren())
        {
            if (!policies.TryGetValue(entry.Key, out var policy))
                policies.Add(entry.Key, policy = new TPolicy());
            foreach (var setting in entry.GetChildren())
                Bind(setting, policy, faults);
        }
    }

    // One at a time, so that a fault in one setting does not hide the next.
    private static void Bind<TPolicy>(IConfigurationSection setting, TPolicy policy, List<string> faults)
    {
        var one = new ConfigurationBuilder().AddInMemoryCollection([new(setting.Key, setting.Value)]).Build();
        try
        {
            one.Bind(policy, options => options.ErrorOnUnknownConfiguration = true);
        }
        catch (InvalidOperationException e)
        {
            var isKnown = typeof(TPolicy).GetProperty(setting.Key, BindingFlags.Public | BindingFlags.Instance | BindingFlags.IgnoreCase) is not null;
            var known = string.Join(", ", typeof(TPolicy).GetProperties().Select(property => property.Name));
            faults.Add(isKnown
                ? $"{setting.Path}: {setting.Value} cannot be read. {e.InnerException?.Message ?? e.Message}"
                : $"{setting.Path}: no such setting; legal here: {known}.");
        }
    }
}
