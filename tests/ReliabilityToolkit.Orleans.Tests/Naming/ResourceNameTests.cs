namespace ReliabilityToolkit.Orleans.Tests;

public sealed class ResourceNameTests
{
    [Theory]
    [InlineData("api", "api", null)]
    [InlineData("api/tenant-42", "api", "tenant-42")]
    [InlineData("A.b_c-9/a/b c/ü", "A.b_c-9", "a/b c/ü")]
    [InlineData("api/\ud83d\ude00", "api", "\ud83d\ude00")]
    public void Name_Legal_IsTakenApartAtTheFirstSlash(string grainKey, string policy, string? key)
    {
        var name = ResourceName.Parse(grainKey);
        name.Should().Be(new ResourceName(policy, key));
        name.ToString().Should().Be(grainKey);
    }

    public static TheoryData<string> IllegalNames => new(
        "", "/", "/key", "api/", "a b", "a:b", "ä", "a\n", "api/a\nb", "api/\u0000", "api/\u0085",
        new string('a', 65), $"api/{new string('k', 257)}");

    [Theory]
    [MemberData(nameof(IllegalNames))]
    public void Name_Illegal_IsRefusedInWordsFitForALog(string grainKey)
    {
        var thrown = FluentActions.Invoking(() => ResourceName.Parse(grainKey)).Should().Throw<ArgumentException>().Which;
        thrown.Message.Should().NotContainAny("\n", "\u0000", "\u0085");
        thrown.Message.Length.Should().BeLessThan(300);
    }

    [Fact]
    public void Name_KeysThatDifferOnlyInALoneSurrogate_AreNotOneLimit()
    {
        // Both used to become "api/" and a replacement character on their way, and shared a grain. (Not a theory: a test's own name could not hold
        // them.)
        foreach (var key in new[] { "\ud800", "\udc00", "a\ud83d", "\ude00\ud83d", "\ud83d\ud83d\ude00" })
        {
            var thrown = FluentActions.Invoking(() => ResourceName.Of("api", key)).Should().Throw<ArgumentException>().WithParameterName("key").Which;
            thrown.Message.Any(char.IsSurrogate).Should().BeFalse();
        }
    }

    [Fact]
    public void Name_LongestParts_AreLegal() =>
        ResourceName.Parse($"{new string('a', 64)}/{new string('k', 256)}").Key.Should().HaveLength(256);

    [Theory]
    [InlineData("a b", null, "policy", "A policy name is 1 to 64 characters of A-Z a-z 0-9 . _ -; got \"a b\" (3 characters).*")]
    [InlineData("api", "", "key", "A key is 1 to 256 characters of well-formed UTF-16, no control characters; got \"\" (0 characters).*")]
    public void Name_Illegal_SaysWhichPartIsAndWhatWouldBeLegal(string policy, string? key, string parameter, string message) =>
        FluentActions.Invoking(() => ResourceName.Of(policy, key))
            .Should().Throw<ArgumentException>().WithParameterName(parameter).WithMessage(message);

    [Fact]
    public void Name_TooLong_IsShownCut()
    {
        FluentActions.Invoking(() => ResourceName.Of(new string('a', 65), null)).Should().Throw<ArgumentException>()
            .WithMessage($"*\"{new string('a', 64)}…\" (65 characters)*");
        FluentActions.Invoking(() => ResourceName.Of("a!" + new string('b', 62), null)).Should().Throw<ArgumentException>()
            .WithMessage($"*\"a!{new string('b', 62)}\" (64 characters)*");
    }

    [Fact]
    public void Name_WithoutAKey_IsTheBarePolicy()
    {
        ResourceName.Of("api", null).ToString().Should().Be("api");
        FluentActions.Invoking(() => ResourceName.Of(null!, null)).Should().Throw<ArgumentNullException>().WithParameterName("policy");
    }
}
