using System.Collections.Concurrent;
using System.Globalization;
using System.Reflection;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Guards grain calls as their attributes say: the limits first, then the bulkheads, the breakers, the call; those of one kind in the order in which
/// they stand, the method's before the class's. What guards a method is found out once.
/// </summary>
internal sealed class CallGuardFilter(IReliabilityToolkit toolkit) : IIncomingGrainCallFilter
{
    private readonly ConcurrentDictionary<(Type Grain, MethodInfo Implementation, MethodInfo Interface), CallGuardAttribute[]> _guards = new();

    public Task Invoke(IIncomingGrainCallContext context)
    {
        if (context.ImplementationMethod is null || context.InterfaceMethod is null || context.Grain is not { } grain)
            return context.Invoke();
        var guards = _guards.GetOrAdd((grain.GetType(), context.ImplementationMethod, context.InterfaceMethod), static call => Find(call));
        return guards.Length == 0 ? context.Invoke() : InvokeAsync(context, guards, 0);
    }

    // It runs as the grain's own code does, on the grain's scheduler.
    private async Task InvokeAsync(IIncomingGrainCallContext context, CallGuardAttribute[] guards, int next)
    {
        if (next == guards.Length)
        {
            await context.Invoke().ConfigureAwait(true);
            return;
        }

        var (policy, key) = (guards[next].Policy, KeyOf(guards[next], context));
        switch (guards[next])
        {
            case RateLimitedAttribute limited:
                var limiter = toolkit.GetRateLimiter(policy, key);
                using (var lease = limited.Wait
                    ? await limiter.AcquireAsync(limited.Tokens).ConfigureAwait(true)
                    : await limiter.TryAcquireAsync(limited.Tokens).ConfigureAwait(true))
                {
                    lease.EnsureAcquired();
                }

                await InvokeAsync(context, guards, next + 1).ConfigureAwait(true);
                break;

            case BulkheadedAttribute bulkheaded:
                var bulkhead = toolkit.GetBulkhead(policy, key);
                using (var permit = bulkheaded.Wait
                    ? await bulkhead.AcquireAsync().ConfigureAwait(true)
                    : await bulkhead.TryAcquireAsync().ConfigureAwait(true))
                {
                    permit.EnsureAcquired();
                    await InvokeAsync(context, guards, next + 1).ConfigureAwait(true);
                }

                break;

            default:
                await toolkit.GetCircuitBreaker(policy, key).CallAsync(
                    static (call, _) => new ValueTask(call.Filter.InvokeAsync(call.context, call.guards, call.Next)),
                    (Filter: this, context, guards, Next: next + 1)).ConfigureAwait(true);
                break;
        }
    }

    // The method may be that of a base class, and the interface one that the grain's own extends.
    private static CallGuardAttribute[] Find((Type Grain, MethodInfo Implementation, MethodInfo Interface) call)
    {
        var interfaces = call.Grain.GetInterfaces().Where(it => call.Interface.DeclaringType!.IsAssignableFrom(it));
        MemberInfo[] places = [call.Implementation, call.Interface, call.Grain, .. interfaces];
        return
        [
            .. places.SelectMany(static place => place.GetCustomAttributes<CallGuardAttribute>(inherit: true))
                .OrderBy(static guard => guard is RateLimitedAttribute ? 0 : guard is BulkheadedAttribute ? 1 : 2),
        ];
    }

    /// <exception cref="ArgumentException">There is no such argument, or no such value, or it is null or empty.</exception>
    private static string? KeyOf(CallGuardAttribute guard, IIncomingGrainCallContext context)
    {
        if (guard.Key is null)
            return null;
        object? value;
        if (guard.Key == CallKey.GrainId)
        {
            value = context.TargetId.Key.ToString();
        }
        else if (guard.Key.StartsWith(CallKey.RequestContext, StringComparison.Ordinal))
        {
            value = RequestContext.Get(guard.Key[CallKey.RequestContext.Length..]);
        }
        else if (guard.Key.StartsWith(CallKey.Argument, StringComparison.Ordinal))
        {
            var name = guard.Key[CallKey.Argument.Length..];
            var at = Array.FindIndex(context.ImplementationMethod.GetParameters(), parameter => parameter.Name == name);
            at = at < 0 ? Array.FindIndex(context.InterfaceMethod.GetParameters(), parameter => parameter.Name == name) : at;
            value = at < 0 ? null : context.Request.GetArgument(at);
        }
        else
        {
            throw new ArgumentException($"\"{guard.Key}\" names no source of a key: see {nameof(CallKey)}.");
        }

        return Convert.ToString(value, CultureInfo.InvariantCulture) is { Length: > 0 } key
            ? key
            : throw new ArgumentException(
                $"The call of {context.InterfaceName}.{context.MethodName} has no {guard.Key}, which is its key under \"{guard.Policy}\".");
    }
}
