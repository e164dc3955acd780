using CsCheck;
using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class AnswerLogTests
{
    [Fact]
    public void Log_RepeatedRequest_IsRecalled()
    {
        var log = new AnswerLog<int>();
        var id = new Asker(1).Next();
        log.TryRecall(id, At(0), out _).Should().BeFalse();
        log.Remember(id, 7);
        log.TryRecall(id, At(1), out var answer).Should().BeTrue();
        answer.Should().Be(7);
    }

    [Fact]
    public void Log_RequestBelowTheOldestOpen_GetsTheVoidAnswer()
    {
        var log = new AnswerLog<int>();
        var node = new Asker(1);
        var late = node.Next(1);
        log.TryRecall(node.Next(2), At(0), out _).Should().BeFalse();
        log.TryRecall(late, At(0), out var answer).Should().BeTrue("nobody awaits it any more: it must not be done");
        answer.Should().Be(0);
    }

    [Fact]
    public void Log_AnonymousRequest_IsNotRemembered()
    {
        var log = new AnswerLog<int>();
        var anonymous = new RequestId(Guid.Empty, 0, 1, 1);
        log.TryRecall(anonymous, At(0), out _).Should().BeFalse();
        log.Remember(anonymous, 7);
        log.TryRecall(anonymous, At(0), out _).Should().BeFalse();
        log.ChannelCount.Should().Be(0);
    }

    [Fact]
    public void Log_SilentChannels_AreForgotten()
    {
        var log = new AnswerLog<int>();
        for (byte node = 1; node <= 100; node++)
            log.TryRecall(new Asker(node).Next(), At(node), out _);
        log.ChannelCount.Should().Be(60, "those of the last minute");
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(RequestId.MaxOpen + 1, 1)]
    [InlineData(long.MaxValue, 1)]
    public void Log_SequenceOutsideTheWindow_Throws(long sequence, long oldestOpen) =>
        new AnswerLog<int>().Invoking(log => log.TryRecall(new RequestId(Guid.NewGuid(), 1, sequence, oldestOpen), At(0), out _)).Should().Throw<ArgumentException>();

    /// <summary>Two channels, many open requests, answered and repeated in any order: each is done once, and every repetition gets the first answer.</summary>
    [Fact]
    public void Log_AnyOrder_EachRequestIsDoneOnce() =>
        Gen.Select(Gen.Int[0, 1], Gen.Int[0, 300], Gen.Bool).Array[1, 400].Sample(
            steps =>
            {
                var log = new AnswerLog<long>();
                var channels = new[] { new RequestChannel(new Guid(1, 2, 3, new byte[8]), 1), new RequestChannel(new Guid(1, 2, 3, new byte[8]), 2) };
                var open = new List<(RequestId Id, int Channel, long? Answer)>();
                var done = 0L;
                foreach (var (channel, which, closes) in steps)
                {
                    if (which < 150 || open.Count == 0)
                        open.Add((channels[channel].Open(), channel, null));
                    var at = which % open.Count;
                    var (id, itsChannel, before) = open[at];
                    var isRecalled = log.TryRecall(id, At(0), out var answer);
                    isRecalled.Should().Be(before is not null);
                    if (isRecalled)
                        answer.Should().Be(before);
                    else
                        log.Remember(id, ++done);
                    open[at] = (id, itsChannel, before ?? done);
                    if (!closes)
                        continue;
                    channels[itsChannel].Close(id);
                    open.RemoveAt(at);
                }
            },
            iter: 2_000);
}
