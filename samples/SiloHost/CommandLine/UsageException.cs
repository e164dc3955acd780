namespace SiloHost;

/// <summary>The command line, or a file named on it, cannot be understood. The message is for the one who typed it.</summary>
internal sealed class UsageException(string message) : Exception(message);
