using System.Buffers;
using System.Text;

namespace ReliabilityToolkit.Orleans;

/// <summary>A policy and, where wanted, a key under it. The grain key is "policy" or "policy/key".</summary>
internal readonly record struct ResourceName(string Policy, string? Key)
{
    public const int MaxPolicyLength = 64;
    public const int MaxKeyLength = 256;

    private static readonly SearchValues<char> PolicyCharacters =
        SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

    /// <summary>Checks both parts.</summary>
    /// <exception cref="ArgumentException">A part is empty, too long, or has a character that is not allowed.</exception>
    public static ResourceName Of(string policy, string? key)
    {
        ArgumentNullException.ThrowIfNull(policy);
        if (!IsPolicy(policy))
            throw new ArgumentException(
                $"A policy name is 1 to {MaxPolicyLength} characters of A-Z a-z 0-9 . _ -; got {Shown(policy)}.", nameof(policy));
        if (key is not null && !IsKey(key))
            throw new ArgumentException(
                $"A key is 1 to {MaxKeyLength} characters of well-formed UTF-16, no control characters; got {Shown(key)}.", nameof(key));
        return new ResourceName(policy, key);
    }

    /// <summary>Takes a grain key apart at its first slash, and checks both parts.</summary>
    /// <exception cref="ArgumentException">As for <see cref="Of"/>.</exception>
    public static ResourceName Parse(string grainKey)
    {
        var slash = grainKey.IndexOf('/', StringComparison.Ordinal);
        return slash < 0 ? Of(grainKey, null) : Of(grainKey[..slash], grainKey[(slash + 1)..]);
    }

    public static bool IsPolicy(string name) =>
        name.Length is >= 1 and <= MaxPolicyLength && !name.AsSpan().ContainsAnyExcept(PolicyCharacters);

    public override string ToString() => Key is null ? Policy : $"{Policy}/{Key}";

    private static bool IsKey(string key) => key.Length is >= 1 and <= MaxKeyLength && !key.Any(char.IsControl) && IsWellFormed(key);

    // A lone surrogate becomes U+FFFD on its way to the grain: two keys that differ only in one would share a limit.
    private static bool IsWellFormed(ReadOnlySpan<char> text)
    {
        while (!text.IsEmpty)
        {
            if (Rune.DecodeFromUtf16(text, out _, out var length) != OperationStatus.Done)
                return false;
            text = text[length..];
        }

        return true;
    }

    // A name that is refused may be long or hold line breaks: it is shown cut and with those replaced, fit for a log.
    private static string Shown(string name)
    {
        var cut = name.Length <= MaxPolicyLength ? name : name[..MaxPolicyLength] + "…";
        return $"\"{string.Concat(cut.Select(c => char.IsControl(c) || char.IsSurrogate(c) ? '\uFFFD' : c))}\" ({name.Length} characters)";
    }
}
