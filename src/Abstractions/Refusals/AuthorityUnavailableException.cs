namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The grain that decides did not answer within the call's deadline: neither yes nor no. Whether the request was carried out is unknown.
/// </summary>
[GenerateSerializer, Alias("rt.AuthorityUnavailableException")]
public sealed class AuthorityUnavailableException : ReliabilityException
{
    /// <summary>No answer for <paramref name="name"/>.</summary>
    /// <param name="name">The policy, with its key where it has one.</param>
    /// <param name="deadline">How long was waited.</param>
    /// <param name="innerException">What the last attempt ran into.</param>
    public AuthorityUnavailableException(string name, TimeSpan deadline, Exception? innerException)
        : this(name, $"The authority of \"{name}\" did not answer within {deadline}.", innerException)
    {
    }

    private AuthorityUnavailableException(string name, string message, Exception? innerException)
        : base(message, null, innerException) => Name = name;

    /// <summary>The policy, with its key where it has one.</summary>
    [Id(0)]
    public string Name { get; private set; }

    /// <summary>The authority may not decide, since it cannot read or write its record, or has lost it to another.</summary>
    internal static AuthorityUnavailableException ForRecord(string name, string why) =>
        new(name, $"The authority of \"{name}\" may not decide: {why}", null);

    /// <summary>
    /// The request was repeated so late that the authority remembers nothing of it: its outcome is as unknown as without an answer.
    /// </summary>
    internal static AuthorityUnavailableException ForVoidAnswer(string name) =>
        new(name, $"The authority of \"{name}\" no longer remembers a request that was repeated too late.", null);
}
