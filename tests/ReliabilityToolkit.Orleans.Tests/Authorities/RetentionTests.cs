using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class RetentionTests
{
    private Retention _retention;

    [Fact]
    public void Retention_NothingToRemember_AsksForNothing()
    {
        _retention.Follow(default, At(5)).Should().BeNull();
        _retention.Follow(At(5), At(5)).Should().BeNull();
    }

    [Fact]
    public void Retention_SomethingToRemember_IsKeptForALittleLonger()
    {
        _retention.Follow(At(60), At(5)).Should().Be(Seconds(65));
        _retention.Follow(At(60), At(6)).Should().BeNull("asked for already");
        _retention.Follow(At(70), At(6)).Should().BeNull("that is covered, too");
        _retention.Follow(At(70.1), At(6)).Should().Be(Seconds(74.1));
    }

    [Fact]
    public void Retention_LessToRemember_IsNotKeptForTheWhole()
    {
        // One failure used to pin a breaker's activation for a day, also after a reset.
        _retention.Follow(At(3_600), At(0)).Should().Be(Seconds(3_610));
        _retention.Follow(At(3_500), At(1)).Should().Be(Seconds(3_509), "100 s less");
        _retention.Follow(At(3_495), At(2)).Should().BeNull("not worth a word");
        _retention.Follow(default, At(3)).Should().Be(TimeSpan.Zero);
        _retention.Follow(default, At(4)).Should().BeNull();
        _retention.Follow(At(60), At(4)).Should().Be(Seconds(66));
        _retention.Follow(default, At(45)).Should().Be(TimeSpan.Zero);
        _retention.Follow(At(60), At(45)).Should().Be(Seconds(25));
        _retention.Follow(default, At(55)).Should().BeNull("it ends by itself in a few seconds");
    }

    [Fact]
    public void Retention_ForEver_UntilItIsNot()
    {
        _retention.Follow(Instant.Never, At(0)).Should().Be(Timeout.InfiniteTimeSpan);
        _retention.Follow(Instant.Never, At(1)).Should().BeNull();
        _retention.Follow(At(60), At(1)).Should().Be(Seconds(69));
        _retention.Follow(Instant.Never, At(2)).Should().Be(Timeout.InfiniteTimeSpan);
        _retention.Follow(default, At(3)).Should().Be(TimeSpan.Zero);
    }

    [Fact]
    public void Retention_EndedByItself_IsAskedForAgain()
    {
        _retention.Follow(At(10), At(0));
        _retention.Follow(At(100), At(99)).Should().Be(Seconds(11));
    }
}
