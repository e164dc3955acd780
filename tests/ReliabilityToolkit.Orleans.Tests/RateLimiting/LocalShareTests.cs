namespace ReliabilityToolkit.Orleans.Tests;

public sealed class LocalShareTests
{
    private readonly LocalShare _share = new(At(0));

    [Fact]
    public void Share_OfWhichNothingWasHeard_AdmitsNobody()
    {
        _share.TryTake(1, At(10_000)).Should().BeFalse();
        _share.ReadyAt(1).Should().Be(Instant.Never);
    }

    [Fact]
    public void Share_BeginsEmptyAndEarnsUpToItsBurst()
    {
        _share.ChangeTo(new FairShare(100, 50), At(0));
        _share.TryTake(1, At(0)).Should().BeFalse();
        _share.TryTake(2, At(20)).Should().BeTrue();
        _share.TryTake(51, At(5_000)).Should().BeFalse();
        _share.TryTake(50, At(5_000)).Should().BeTrue();
        _share.TryTake(1, At(5_000)).Should().BeFalse();
    }

    [Fact]
    public void Share_IsChargedForWhatTheAuthorityAdmits()
    {
        _share.ChangeTo(new FairShare(100, 50), At(0));
        _share.Charge(20, At(1_000));
        _share.TryTake(31, At(1_000)).Should().BeFalse();
        _share.TryTake(30, At(1_000)).Should().BeTrue();
        _share.Charge(1_000, At(1_000));
        _share.TryTake(1, At(1_010)).Should().BeTrue("below nothing it does not fall");
    }

    [Fact]
    public void Share_ThatChanges_KeepsWhatItEarned()
    {
        _share.ChangeTo(new FairShare(100, 100), At(0));
        _share.ChangeTo(new FairShare(10, 100), At(500));
        _share.TryTake(51, At(500)).Should().BeFalse();
        _share.TryTake(50, At(500)).Should().BeTrue();
        _share.TryTake(1, At(600)).Should().BeTrue();
    }

    [Fact]
    public void Share_TellsWhenItHasSoMany()
    {
        _share.ChangeTo(new FairShare(100, 3), At(0));
        _share.ReadyAt(4).Should().Be(Instant.Never);
        var ready = _share.ReadyAt(3);
        ready.Should().BeGreaterThan(At(30)).And.BeLessThan(At(30.1));
        _share.TryTake(3, At(29.9)).Should().BeFalse();
        _share.TryTake(3, ready).Should().BeTrue();
        _share.TryTake(1, At(1_000)).Should().BeTrue();
        _share.ReadyAt(1).Should().BeGreaterThanOrEqualTo(At(1_000), "it has them now, and had them not before");
    }

    [Fact]
    public void Share_OfLessThanAToken_HasRoomForOne()
    {
        _share.ChangeTo(new FairShare(1, 0.2), At(0));
        _share.TryTake(1, At(1_000)).Should().BeTrue();
        _share.TryTake(1, At(1_999)).Should().BeFalse();
    }

    private static Instant At(double milliseconds) => new((long)Math.Round(milliseconds * TimeSpan.TicksPerMillisecond));
}
