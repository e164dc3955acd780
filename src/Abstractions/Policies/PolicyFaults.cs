using System.Globalization;

namespace ReliabilityToolkit.Orleans;

/// <summary>Gathers what is wrong with a policy, so that all of it is told at once: property, value, legal range.</summary>
internal sealed class PolicyFaults
{
    private readonly List<string> _faults = [];

    public IReadOnlyList<string> All => _faults;

    public void Unless(bool isLegal, string property, object value, string range)
    {
        if (!isLegal)
            _faults.Add(string.Create(CultureInfo.InvariantCulture, $"{property} is {value}; legal: {range}."));
    }
}
