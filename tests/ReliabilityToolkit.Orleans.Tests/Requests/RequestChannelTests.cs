namespace ReliabilityToolkit.Orleans.Tests;

public sealed class RequestChannelTests
{
    private readonly RequestChannel _channel = new(Guid.NewGuid(), 1);

    [Fact]
    public void Channel_OneRequestAfterTheOther_LeavesNothingOpen()
    {
        for (var sequence = 1; sequence <= 5; sequence++)
        {
            var id = _channel.Open();
            (id.Sequence, id.OldestOpen).Should().Be((sequence, sequence));
            _channel.Close(id);
        }
    }

    [Fact]
    public void Channel_OpenRequest_IsNeverAboveTheOldestOpen()
    {
        var stuck = _channel.Open();
        for (var i = 0; i < 1_000; i++)
        {
            var id = _channel.Open();
            id.OldestOpen.Should().Be(stuck.Sequence);
            _channel.Close(id);
        }

        _channel.Close(stuck);
        var next = _channel.Open();
        next.OldestOpen.Should().Be(next.Sequence);
    }

    [Fact]
    public void Channel_RequestThatLagsTooFar_IsGivenUp()
    {
        var stuck = _channel.Open();
        for (var i = 1; i < RequestId.MaxOpen; i++)
            _channel.Open().OldestOpen.Should().Be(stuck.Sequence);
        _channel.Open().OldestOpen.Should().Be(stuck.Sequence + 1);
    }

    [Fact]
    public void Channel_ManyThreads_NumberEachRequestOnce()
    {
        var numbers = new System.Collections.Concurrent.ConcurrentBag<long>();
        Parallel.For(0, 8, _ =>
        {
            for (var i = 0; i < 10_000; i++)
            {
                var id = _channel.Open();
                numbers.Add(id.Sequence);
                _channel.Close(id);
            }
        });
        numbers.Distinct().Should().HaveCount(80_000);
        var last = _channel.Open();
        last.OldestOpen.Should().Be(last.Sequence);
    }
}
