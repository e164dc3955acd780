using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class HeldPermitsTests
{
    private readonly HeldPermits _held = new();

    [Fact]
    public void Held_Permit_IsLostOnePercentBeforeItsLeaseCountedFromTheAsking()
    {
        _held.Add(1, At(0), Seconds(15));
        _held.TakeLost(At(14.84)).Should().BeEmpty();
        _held.TakeLost(At(14.85)).Should().Equal(1);
        _held.NextDueAt.Should().Be(Instant.Never);
    }

    [Fact]
    public void Held_Permits_AreRenewedTogetherAtAThird()
    {
        _held.Add(1, At(0), Seconds(15));
        _held.Add(2, At(3), Seconds(15));
        _held.NextDueAt.Should().Be(At(5));
        _held.TakeRenewal(At(4.9), Seconds(1)).Should().BeEmpty();
        var asked = _held.TakeRenewal(At(5), Seconds(1));
        asked.Should().BeEquivalentTo([1L, 2L]);
        _held.TakeRenewal(At(5.9), Seconds(1)).Should().BeEmpty("the answer is under way");
        _held.Renew(asked, new SlotRenewal(Seconds(15), [1, 2]), At(5)).Should().BeEmpty();
        _held.NextDueAt.Should().Be(At(10));
        _held.TakeLost(At(19.84)).Should().BeEmpty();
        _held.TakeLost(At(19.85)).Should().BeEquivalentTo([1L, 2L]);
    }

    [Fact]
    public void Held_RenewalWithoutAnswer_IsAskedAgain()
    {
        _held.Add(1, At(0), Seconds(15));
        _held.TakeRenewal(At(5), Seconds(1));
        _held.TakeRenewal(At(6), Seconds(1)).Should().Equal(1);
    }

    [Fact]
    public void Held_PermitMissingInTheAnswer_IsLostAtOnceAndANewerOneIsNot()
    {
        _held.Add(1, At(0), Seconds(15));
        var asked = _held.TakeRenewal(At(5), Seconds(1));
        _held.Add(2, At(5), Seconds(15));
        _held.Renew(asked, new SlotRenewal(Seconds(15), []), At(5)).Should().Equal(1);
        _held.TakeLost(At(19)).Should().BeEmpty();
    }

    [Fact]
    public void Held_ReleasedPermit_IsForgotten()
    {
        _held.Add(1, At(0), Seconds(15));
        _held.Remove(1);
        _held.TakeLost(At(100)).Should().BeEmpty();
        _held.TakeRenewal(At(100), Seconds(1)).Should().BeEmpty();
    }
}
