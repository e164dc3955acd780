using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace ReliabilityToolkit.Orleans.PlantedBugs;

internal static class Priority
{
    /// <summary>What is computed here has time; the silos of the tests that run beside it have not.</summary>
    [ModuleInitializer]
    public static void Lower()
    {
        using var self = Process.GetCurrentProcess();
        self.PriorityClass = ProcessPriorityClass.BelowNormal;
    }
}
