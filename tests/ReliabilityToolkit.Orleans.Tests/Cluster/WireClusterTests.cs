using System.Reflection;
using System.Runtime.CompilerServices;

namespace ReliabilityToolkit.Orleans.Tests;

public interface IEchoGrain : IGrainWithStringKey
{
    Task<object> EchoAsync(object message);

    Task ThrowAsync(Exception exception);
}

public sealed class EchoGrain : Grain, IEchoGrain
{
    public Task<object> EchoAsync(object message) => Task.FromResult(message);

    public Task ThrowAsync(Exception exception) => throw exception;
}

/// <summary>Everything that crosses the wire does so over TCP, from the outside client to a silo and back, with every field set.</summary>
[Collection(ClusterTests.Name)]
public sealed class WireClusterTests(ToolkitCluster cluster)
{
    private static readonly Type[] WireTypes = [.. typeof(RequestId).Assembly.GetTypes().Where(
        type => type.GetCustomAttribute<GenerateSerializerAttribute>() is not null && !type.IsAbstract)];

    public static TheoryData<string> Messages => new(WireTypes.Where(type => !type.IsAssignableTo(typeof(Exception))).Select(type => type.FullName!));

    public static TheoryData<string> Exceptions =>
        new(WireTypes.Where(type => type.IsAssignableTo(typeof(Exception))).Select(type => type.FullName!));

    [Theory]
    [MemberData(nameof(Messages))]
    public async Task Message_WithEveryFieldSet_ArrivesAsItWas(string typeName)
    {
        var type = typeof(RequestId).Assembly.GetType(typeName)!;
        var message = Fill(type.IsGenericTypeDefinition ? type.MakeGenericType(typeof(CircuitBreakerPolicy)) : type);
        var echoed = await cluster.Grains.GetGrain<IEchoGrain>("echo").EchoAsync(message);
        echoed.Should().BeOfType(message.GetType());
        Text(echoed).Should().Be(Text(message));
        Text(message).Should().NotBe(Text(RuntimeHelpers.GetUninitializedObject(message.GetType())), "else it would prove nothing");
    }

    [Theory]
    [MemberData(nameof(Exceptions))]
    public async Task Exception_ThrownByAGrain_ArrivesAsItWas(string typeName)
    {
        var exception = (Exception)Fill(typeof(RequestId).Assembly.GetType(typeName)!);
        var thrown = (
            await cluster.Grains.GetGrain<IEchoGrain>("echo").Awaiting(grain => grain.ThrowAsync(exception))
                .Should().ThrowAsync<ReliabilityException>()).Which;
        thrown.Should().BeOfType(exception.GetType());
        thrown.Message.Should().Be(exception.Message);
        var ours = exception.GetType().GetProperties(BindingFlags.Public | BindingFlags.Instance)
            .Where(property => property.DeclaringType!.Assembly == typeof(RequestId).Assembly);
        foreach (var property in ours)
            property.GetValue(thrown).Should().BeEquivalentTo(property.GetValue(exception), property.Name);
    }

    [Fact]
    public void WireTypes_AllOfThem_AreCovered() => WireTypes
        .Should().HaveCountGreaterThan(25).And.Contain(
            [typeof(SlotsGrant), typeof(TokenGrant), typeof(CircuitPass), typeof(UnknownPolicyException)]);

    // Records print arrays as their types' names: their elements are compared beside. So are the properties of what is no record.
    private static string Text(object message) =>
        string.Join(", ", message.GetType().GetProperties().Where(property => property.GetIndexParameters().Length == 0)
        .Select(
            property => property.GetValue(message) switch
            {
                IReadOnlyList<BulkheadHolder> holders => string.Join(" ", holders),
                Array array => $"[{string.Join(" ", array.Cast<object>())}]",
                CircuitBreakerPolicy policy => Text(policy),
                var value => $"{value}",
            })) + message;

    private static object Fill(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type.IsEnum)
            return Enum.GetValues(type).GetValue(1)!;
        if (Value(type) is { } value)
            return value;
        if (type.IsArray)
            return FilledArray(type.GetElementType()!);
        var constructor = type.GetConstructors().MaxBy(candidate => candidate.GetParameters().Length)!;
        if (constructor.GetParameters().Length == 0)
            return FilledProperties(type);
        return constructor.Invoke([.. constructor.GetParameters().Select(
            parameter => parameter.ParameterType == typeof(INodeObserver) ? null : Fill(parameter.ParameterType))]);
    }

    private static Array FilledArray(Type elementType)
    {
        var array = Array.CreateInstance(elementType, 1);
        array.SetValue(Fill(elementType), 0);
        return array;
    }

    private static object FilledProperties(Type type)
    {
        var message = Activator.CreateInstance(type)!;
        foreach (var property in type.GetProperties())
            property.SetValue(message, Fill(property.PropertyType));
        return message;
    }

    private static object? Value(Type type) =>
        type == typeof(bool) ? true
        : type == typeof(int) ? 42
        : type == typeof(long) ? 1L << 40
        : type == typeof(double) ? 1.5
        : type == typeof(Guid) ? new Guid(1, 2, 3, new byte[8])
        : type == typeof(string) ? "some text"
        : type == typeof(TimeSpan) ? TimeSpan.FromTicks(12_345_678)
        : type == typeof(IReadOnlyList<BulkheadHolder>) ? new[] { (BulkheadHolder)Fill(typeof(BulkheadHolder)) }
        : type == typeof(IReadOnlyList<string>) ? (IReadOnlyList<string>)["api", "web"]
        : type == typeof(Exception) ? new TimeoutException("inner")
        : null;
}
