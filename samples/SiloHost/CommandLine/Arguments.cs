using System.Globalization;
using System.Numerics;

namespace SiloHost;

/// <summary>A command line of "--name value" pairs, read strictly: what is unknown, doubled, malformed or out of range is refused.</summary>
internal sealed class Arguments
{
    private readonly Dictionary<string, string> _values = new(StringComparer.Ordinal);

    /// <exception cref="UsageException">Something other than the legal options was given, or one of them twice or without a value.</exception>
    public Arguments(IReadOnlyList<string> args, params string[] legal)
    {
        for (var i = 0; i < args.Count; i++)
        {
            var name = args[i];
            if (!legal.Contains(name, StringComparer.Ordinal))
                throw new UsageException($"\"{name}\" is not understood; legal here: {string.Join(", ", legal)}.");
            if (++i == args.Count)
                throw new UsageException($"{name} wants a value.");
            if (!_values.TryAdd(name, args[i]))
                throw new UsageException($"{name} was given twice.");
        }
    }

    public string? Text(string name) => _values.GetValueOrDefault(name);

    /// <summary>The store that keeps the cluster; null where none is named.</summary>
    public ClusterStore? Store(string name)
    {
        try
        {
            return _values.TryGetValue(name, out var address) ? ClusterStore.Parse(address) : null;
        }
        catch (FormatException e)
        {
            throw new UsageException($"{name} {_values[name]}: {e.Message}");
        }
    }

    public int Port(string name, int otherwise) => Number(name, otherwise, 1, 65_535);

    public IReadOnlyList<int> Ports(string name, int otherwise) =>
        _values.TryGetValue(name, out var text)
            ? [.. text.Split(',').Select(port => Parse(name, port, 1, 65_535))]
            : [otherwise];

    public T Number<T>(string name, T otherwise, T min, T max)
        where T : INumber<T> =>
        _values.TryGetValue(name, out var text) ? Parse(name, text, min, max) : otherwise;

    private static T Parse<T>(string name, string text, T min, T max)
        where T : INumber<T> =>
        T.TryParse(text, NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number)
            && number >= min && number <= max
            ? number
            : throw new UsageException(
                $"{name} {text}: wants {(T.IsInteger(min) && default(T) is int ? "a whole number" : "a number")} from {min} to {max}.");
}
