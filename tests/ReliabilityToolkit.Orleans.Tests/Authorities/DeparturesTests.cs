using System.Net;
using Microsoft.Extensions.Time.Testing;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class DeparturesTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly Departures _departures;

    public DeparturesTests() => _departures = new Departures(new NodeClock(_time));

    [Fact]
    public void Departure_OfASilo_IsRecentForAWhile()
    {
        _departures.IsRecent.Should().BeFalse("nobody has gone");
        Hear(SiloStatus.Dead);
        _departures.IsRecent.Should().BeTrue();
        _time.Advance(LeaseTerm.OfPart * 7.9);
        _departures.IsRecent.Should().BeTrue("activations that it took with it may be made anew only now");
        _time.Advance(LeaseTerm.OfPart * 0.2);
        _departures.IsRecent.Should().BeFalse();
        Hear(SiloStatus.Dead);
        _departures.IsRecent.Should().BeTrue();
    }

    [Theory]
    [InlineData(SiloStatus.Joining)]
    [InlineData(SiloStatus.Active)]
    [InlineData(SiloStatus.ShuttingDown)]
    [InlineData(SiloStatus.Stopping)]
    public void Silo_ThatHasNotGone_IsNoDeparture(SiloStatus status)
    {
        Hear(status);
        _departures.IsRecent.Should().BeFalse();
    }

    [Theory]
    [InlineData(SiloStatus.Dead, true)]
    [InlineData(SiloStatus.ShuttingDown, true)]
    [InlineData(SiloStatus.Stopping, true)]
    [InlineData(SiloStatus.Active, false)]
    public void Silo_ThatGoesOrBeginsToGo_MayHaveLentForLonger(SiloStatus status, bool counts)
    {
        _departures.WasThereOneWithin(TimeSpan.FromHours(1)).Should().BeFalse("nobody has gone");
        Hear(status);
        _departures.WasThereOneWithin(TimeSpan.FromSeconds(15)).Should().Be(counts);
        _time.Advance(TimeSpan.FromSeconds(15));
        _departures.WasThereOneWithin(TimeSpan.FromSeconds(15)).Should().BeFalse();
        _departures.WasThereOneWithin(TimeSpan.FromSeconds(16)).Should().Be(counts);
    }

    private void Hear(SiloStatus status) =>
        ((ISiloStatusListener)_departures).SiloStatusChangeNotification(SiloAddress.New(IPAddress.Loopback, 11_111, 1), status);
}
