namespace ReliabilityToolkit.Orleans;

/// <summary>What every exception of this library derives from. All of them cross the wire.</summary>
[GenerateSerializer, Alias("rt.ReliabilityException")]
public class ReliabilityException : Exception
{
    /// <summary>An exception with a message and, where one is known, a time to wait.</summary>
    /// <param name="message">What happened, in words.</param>
    /// <param name="retryAfter">Not before this long is a new attempt worth while; absent where nobody can tell.</param>
    /// <param name="innerException">What led to it.</param>
    public ReliabilityException(string message, TimeSpan? retryAfter = null, Exception? innerException = null)
        : base(message, innerException) => RetryAfter = retryAfter;

    /// <summary>Not before this long is a new attempt worth while; absent where nobody can tell. <c>Retry</c> takes it as a floor.</summary>
    [Id(0)]
    public TimeSpan? RetryAfter { get; private set; }
}
