namespace ReliabilityToolkit.Orleans.Tests;

public sealed class ResourceNameTests
{
    [Theory]
    [InlineData("api", "api", null)]
    [InlineData("api/tenant-42", "api", "tenant-42")]
    [InlineData("A.b_c-9/a/b c/ü", "A.b_c-9", "a/b c/ü")]
    public void Name_Legal_IsTakenApartAtTheFirstSlash(string grainKey, string policy, string? key)
    {
        var name = ResourceName.Parse(grainKey);
        name.Should().Be(new ResourceName(policy, key));
        name.ToString().Should().Be(grainKey);
    }

    public static TheoryData<string> IllegalNames => new(
        "", "/", "/key", "api/", "a b", "a:b", "ä", "a\n", "api/a\nb", "api/\u0000", "api/\u0085", new string('a', 65), $"api/{new string('k', 257)}");

    [Theory]
    [MemberData(nameof(IllegalNames))]
    public void Name_Illegal_IsRefusedInWordsFitForALog(string grainKey)
    {
        var thrown = FluentActions.Invoking(() => ResourceName.Parse(grainKey)).Should().Throw<ArgumentException>().Which;
        thrown.Message.Should().NotContainAny("\n", "\u0000", "\u0085");
        thrown.Message.Length.Should().BeLessThan(300);
    }

    [Fact]
    public void Name_LongestParts_AreLegal() =>
        ResourceName.Parse($"{new string('a', 64)}/{new string('k', 256)}").Key.Should().HaveLength(256);
}
