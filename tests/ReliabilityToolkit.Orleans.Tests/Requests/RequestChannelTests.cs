using CsCheck;

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
            (id.Sequence, id.OldestOpen, id.Slot).Should().Be((sequence, sequence, 0));
            _channel.Close(id);
        }
    }

    [Fact]
    public void Channel_OpenRequest_IsNeverBelowTheOldestOpenHoweverFarItLags()
    {
        var stuck = _channel.Open();
        for (var i = 0; i < 100_000; i++)
        {
            var id = _channel.Open();
            id.OldestOpen.Should().Be(stuck.Sequence);
            id.Slot.Should().Be(1);
            _channel.Close(id);
        }

        _channel.Close(stuck);
        var next = _channel.Open();
        next.OldestOpen.Should().Be(next.Sequence);
    }

    /// <summary>No two open requests share a slot, no slot is higher than needed, and the oldest open is never told too high.</summary>
    [Fact]
    public void Channel_AnyHistory_GivesEachOpenRequestASlotOfItsOwn() => Gen.Int[-300, 300].Array[1, 600].Sample(
        steps =>
        {
            var channel = new RequestChannel(new Guid(1, 2, 3, new byte[8]), 1);
            var open = new List<RequestId>();
            var expected = 1L;
            foreach (var step in steps)
            {
                if (step < 0 && open.Count > 0)
                {
                    channel.Close(open[-step % open.Count]);
                    open.RemoveAt(-step % open.Count);
                    continue;
                }

                var free = Enumerable.Range(0, open.Count + 1).Except(open.Select(id => id.Slot)).Min();
                var id = channel.Open();
                id.Slot.Should().Be(free);
                id.Sequence.Should().Be(expected++);
                open.Add(id);
                id.OldestOpen.Should().BeInRange(1, open.Min(one => one.Sequence));
            }
        },
        iter: 500);

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
        (last.OldestOpen, last.Slot).Should().Be((last.Sequence, 0));
    }
}
