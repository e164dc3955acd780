namespace SiloHost;

/// <summary>What the process answers to a script that runs it.</summary>
internal static class ExitCode
{
    public const int Good = 0;
    public const int LimitExceeded = 1;
    public const int BadUsage = 2;
    public const int CouldNotRun = 3;
}
