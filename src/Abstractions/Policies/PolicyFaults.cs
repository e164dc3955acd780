using System.Globalization;

namespace ReliabilityToolkit.Orleans;

/// <summary>Gathers what is wrong with a policy, so that all of it is told at once: property, value, legal range.</summary>
internal sealed class PolicyFaults
{
    private readonly List<string> _faults = [];

    public IReadOnlyList<string> All => _faults;

    /// <summary>What all policies say of their records.</summary>
    public void OfRecords(ICommonPolicy policy)
    {
        Unless(policy.Durability is null || Enum.IsDefined(policy.Durability.Value), nameof(policy.Durability), policy.Durability ?? default,
            "Volatile, Durable or Fenced");
        Unless(
            !policy.RecordLate || policy.Durability != Durability.Fenced, nameof(policy.RecordLate), policy.RecordLate,
            "false where Durability is Fenced: by its record it shows that no other has taken its place");
    }

    public void Unless(bool isLegal, string property, object value, string range)
    {
        if (!isLegal)
            _faults.Add(string.Create(CultureInfo.InvariantCulture, $"{property} is {value}; legal: {range}."));
    }
}
