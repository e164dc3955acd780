namespace ReliabilityToolkit.Orleans;

/// <summary>
/// What guards calls of a grain method, or of all methods of a grain: on the implementation or on the interface. It takes effect on silos that have
/// <c>AddReliabilityToolkitCallGuards</c>.
/// </summary>
[AttributeUsage(AttributeTargets.Method | AttributeTargets.Class | AttributeTargets.Interface, AllowMultiple = true)]
public abstract class CallGuardAttribute : Attribute
{
    private protected CallGuardAttribute(string policy) => Policy = policy;

    /// <summary>The policy of the silos.</summary>
    public string Policy { get; }

    /// <summary>
    /// Where the key comes from: <see cref="CallKey.GrainId"/>, or <see cref="CallKey.Argument"/> or <see cref="CallKey.RequestContext"/> with a name
    /// after it, as in <c>CallKey.Argument + "tenant"</c>. Default absent: the policy has one for all.
    /// </summary>
    public string? Key { get; set; }
}

/// <summary>The values of <see cref="CallGuardAttribute.Key"/>.</summary>
public static class CallKey
{
    /// <summary>The key of the grain that is called, as text.</summary>
    public const string GrainId = "grain";

    /// <summary>To be followed by the name of an argument, of which the text is the key.</summary>
    public const string Argument = "argument:";

    /// <summary>To be followed by the name of a value in <c>RequestContext</c>, of which the text is the key.</summary>
    public const string RequestContext = "context:";
}

/// <summary>Each call takes tokens of a limiter; refused, it throws <see cref="RateLimitedException"/>, and the method does not run.</summary>
/// <param name="policy">Of the silos.</param>
public sealed class RateLimitedAttribute(string policy) : CallGuardAttribute(policy)
{
    /// <summary>How many. Default 1; 1 to the policy's burst.</summary>
    public int Tokens { get; set; } = 1;

    /// <summary>Whether the call waits for them. Default false: a grain that is not reentrant does nothing else meanwhile.</summary>
    public bool Wait { get; set; }
}

/// <summary>
/// Each call holds a slot of a bulkhead while it runs; where it gets none it throws <see cref="RateLimitedException"/>, and where the bulkhead is
/// closed <see cref="BulkheadClosedException"/>, and the method does not run.
/// </summary>
/// <param name="policy">Of the silos.</param>
public sealed class BulkheadedAttribute(string policy) : CallGuardAttribute(policy)
{
    /// <summary>Whether the call waits for it. Default false: a grain that is not reentrant does nothing else meanwhile.</summary>
    public bool Wait { get; set; }
}

/// <summary>
/// Each call goes through a circuit breaker, which counts how it went, by <c>ReliabilityToolkitClientOptions.IsFailure</c>; one that is not let
/// through throws <see cref="CircuitOpenException"/>, and the method does not run.
/// </summary>
/// <param name="policy">Of the silos.</param>
public sealed class CircuitBrokenAttribute(string policy) : CallGuardAttribute(policy);
