using CsCheck;
using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class AnswerLogTests
{
    private readonly AnswerLog<int> _log = new();

    [Fact]
    public void Log_RepeatedRequest_IsAnsweredAgainWithWhenItWasAnswered()
    {
        var id = new Asker(1).Next();
        _log.Find(id, At(0), out _).Should().Be(RequestState.New);
        _log.Remember(id, 7, At(0));
        _log.Find(id, At(1), out var earlier).Should().Be(RequestState.Done);
        earlier.Should().Be((7, At(0)));
    }

    [Fact]
    public void Log_RequestBelowTheOldestOpen_IsVoid()
    {
        var node = new Asker(1);
        var late = node.Next();
        _log.Find(node.Next(2), At(0), out _).Should().Be(RequestState.New);
        _log.Find(late, At(0), out _).Should().Be(RequestState.Void, "nobody awaits it any more: it must not be done");
    }

    [Fact]
    public void Log_RequestWhoseSlotHasANewerOne_IsVoid()
    {
        var channel = NewChannel(1);
        var stuck = channel.Open();
        var first = channel.Open();
        channel.Close(first);
        var second = channel.Open();
        (second.Slot, second.OldestOpen).Should().Be((first.Slot, stuck.Sequence));
        Do(second, 2).Should().Be(RequestState.New);
        Do(first, 1).Should().Be(RequestState.Void, "its node opened another in its slot, so nobody awaits it");
        _log.Find(second, At(0), out var earlier).Should().Be(RequestState.Done);
        earlier.Answer.Should().Be(2);
    }

    [Fact]
    public void Log_LaggardBehindFortyThousandOthers_IsStillAnsweredAgain()
    {
        // At 40,000 calls per second, a message is lost and repeated half a second later. It used to get the void answer, and a healthy authority to
        // count as unavailable.
        var channel = NewChannel(1);
        var lost = channel.Open();
        Do(lost, 1).Should().Be(RequestState.New);
        for (var i = 0; i < 40_000; i++)
        {
            var other = channel.Open();
            Do(other, 2).Should().Be(RequestState.New);
            channel.Close(other);
        }

        _log.Find(lost, At(0.5), out var earlier).Should().Be(RequestState.Done);
        earlier.Answer.Should().Be(1);
        _log.Count.Should().Be(2, "two were open at once, and two answers are remembered");
    }

    [Fact]
    public void Log_LaggardThatNeverArrivedBefore_IsDone()
    {
        var channel = NewChannel(1);
        var lost = channel.Open();
        for (var i = 0; i < 40_000; i++)
        {
            var other = channel.Open();
            Do(other, 2);
            channel.Close(other);
        }

        Do(lost, 1).Should().Be(RequestState.New);
    }

    [Fact]
    public void Log_ForgedChannelsFarBehind_CostNoMoreThanTheyAsk()
    {
        // One request for each of 1,000 forged channels, each as if 16,384 others were open: 458 MB once.
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var node = 0; node < 1_000; node++)
        {
            var id = new RequestId(new Guid(node, 1, 1, new byte[8]), 1, 16_384, 1, 16_383);
            _log.Find(id, At(0), out _);
            _log.Remember(id, 1, At(0));
        }

        (GC.GetAllocatedBytesForCurrentThread() - before).Should().BeLessThan(2_000_000);
        _log.ChannelCount.Should().Be(1_000);
    }

    [Fact]
    public void Log_MoreAnswersThanItsCapacity_ForgetsTheLongestSilentFirst()
    {
        for (var node = 0; node < AnswerLog<int>.Capacity + 10; node++)
            Do(new RequestId(new Guid(node, 1, 1, new byte[8]), 1, 1, 1, 0), node);
        _log.Count.Should().Be(AnswerLog<int>.Capacity);
        _log.ChannelCount.Should().Be(AnswerLog<int>.Capacity);
        Do(new RequestId(new Guid(9, 1, 1, new byte[8]), 1, 1, 1, 0), 0).Should().Be(RequestState.New, "forgotten");
        Do(new RequestId(new Guid(11, 1, 1, new byte[8]), 1, 1, 1, 0), 0).Should().Be(RequestState.Done, "one more went for that one, but not this");
    }

    [Fact]
    public void Log_OneChannelWithTooManySlots_StaysWithinTheCapacity()
    {
        var channel = NewChannel(1);
        for (var i = 0; i < AnswerLog<int>.Capacity + 10; i++)
            Do(channel.Open(), i);
        _log.Count.Should().BeLessThanOrEqualTo(AnswerLog<int>.Capacity);
    }

    [Fact]
    public void Log_BurstThatIsOver_LeavesNothing()
    {
        var channel = NewChannel(1);
        var burst = Enumerable.Range(0, 1_000).Select(_ => channel.Open()).ToArray();
        foreach (var id in burst)
            Do(id, 1);
        _log.Count.Should().Be(1_000);
        foreach (var id in burst)
            channel.Close(id);
        for (var i = 0; i < 1_001; i++)
            Do(Once(channel), 2);
        _log.Count.Should().Be(1, "only one is open at a time now");
    }

    [Fact]
    public void Log_AnonymousRequest_IsNotRemembered()
    {
        var anonymous = new RequestId(Guid.Empty, 0, 1, 0, 0);
        Do(anonymous, 7).Should().Be(RequestState.New);
        Do(anonymous, 7).Should().Be(RequestState.New);
        _log.Void(anonymous, At(0));
        Do(anonymous, 7).Should().Be(RequestState.New);
        _log.ChannelCount.Should().Be(0);
    }

    [Fact]
    public void Log_SilentChannels_AreForgottenWhenNoCopyCanBeUnderWayAnyMore()
    {
        CallTimeouts.AnswersKeptFor
            .Should().BeGreaterThanOrEqualTo(2 * CallTimeouts.Longest, "a request is repeated for one, and its last copy may be as late");
        new ReliabilityToolkitClientOptions { CallTimeout = CallTimeouts.Longest }.Validate().Should().BeEmpty();
        new ReliabilityToolkitClientOptions { CallTimeout = CallTimeouts.Longest + TimeSpan.FromTicks(1) }.Validate().Should().NotBeEmpty();

        var (first, second) = (new Asker(1).Next(), new Asker(2).Next());
        Do(first, 1);
        _log.Find(second, At(60), out _);
        _log.Remember(second, 2, At(60));
        _log.Find(new Asker(3).Next(), At(0) + CallTimeouts.AnswersKeptFor, out _);
        (_log.ChannelCount, _log.Count).Should().Be((2, 2), "the first has been silent for so long");
        _log.Find(first, At(0) + CallTimeouts.AnswersKeptFor, out _).Should().Be(RequestState.New);
        _log.Find(second, At(0) + CallTimeouts.AnswersKeptFor, out _).Should().Be(RequestState.Done);
    }

    [Fact]
    public void Log_ChannelThatIsHeardOf_IsNotForgotten()
    {
        var node = new Asker(1);
        var id = node.Next();
        Do(id, 1);
        _log.Find(id, At(110), out _);
        _log.Find(new Asker(2).Next(), At(150), out _);
        _log.Find(id, At(225), out _).Should().Be(RequestState.Done, "last heard of at 110 s");
    }

    [Fact]
    public void Log_OneThatSpokeAgain_DoesNotKeepTheSilentOnesBehindIt()
    {
        var (first, second) = (new Asker(1), new Asker(2));
        Do(first.Next(), 1);
        _log.Find(second.Next(), At(10), out _);
        _log.Find(first.Next(), At(110), out _);
        _log.Find(first.Next(), At(135), out _);
        (_log.ChannelCount, _log.Count).Should().Be((1, 1), "the second has been silent for 125 s");
        for (byte node = 3; node < 100; node++)
            _log.Find(new Asker(node).Next(), At(140), out _);
        _log.Find(new Asker(2).Next(), At(300), out _);
        _log.ChannelCount.Should().Be(1);
    }

    [Theory]
    [InlineData(0, 1, 0)]
    [InlineData(1, 2, 0)]
    [InlineData(1, 0, 0)]
    [InlineData(1, -1, 0)]
    [InlineData(1, 1, -1)]
    public void Log_NumbersThatContradictEachOther_AreRefused(long sequence, long oldestOpen, int slot)
    {
        var forged = new RequestId(new Guid(1, 2, 3, new byte[8]), 1, sequence, oldestOpen, slot);
        _log.Invoking(log => log.Find(forged, At(0), out _)).Should().Throw<ArgumentException>();
        _log.ChannelCount.Should().Be(0);
    }

    [Fact]
    public void Log_ManyNodes_AreToldApart()
    {
        // More than a list is walked for; also two channels of one node.
        var ids = Enumerable.Range(0, 40).Select(i => new RequestId(new Guid(i / 2, 1, 1, new byte[8]), i % 2, 1, 1, 0)).ToArray();
        for (var i = 0; i < ids.Length; i++)
            Do(ids[i], i);
        for (var i = 0; i < ids.Length; i++)
        {
            _log.Find(ids[i], At(0), out var earlier).Should().Be(RequestState.Done);
            earlier.Answer.Should().Be(i);
        }
    }

    [Fact]
    public void Once_VerbThatThrows_MayBeTriedAgain()
    {
        var id = new Asker(1).Next();
        var machine = new Counter();
        _log.Invoking(log => log.Once(id, At(0), machine, 0, (Counter _, int _, Instant _) => throw new InvalidOperationException()))
            .Should().Throw<InvalidOperationException>();
        _log.Once(id, At(0), machine, 5, static (counter, by, _) => counter.Add(by)).Should().Be(5);
        _log.Once(id, At(3), machine, 5, static (counter, by, _) => counter.Add(by)).Should().Be(1005, "said again, and not done again");
        machine.Sum.Should().Be(5);
    }

    [Fact]
    public void Once_OnlyAcknowledged_IsDoneOnceAndVoidIsNotDone()
    {
        var channel = NewChannel(1);
        var id = channel.Open();
        var machine = new Counter();
        _log.Once(id, At(0), machine, 5, Add).Should().Be(Acknowledgement.Done);
        _log.Once(id, At(0), machine, 5, Add).Should().Be(Acknowledgement.Done);
        machine.Sum.Should().Be(5);
        channel.Close(id);
        Do(channel.Open(), 1);
        _log.Once(id, At(0), machine, 5, Add).IsVoid().Should().BeTrue();
        _log.Once(id, At(0), machine, 5, static (counter, by, _) => counter.Add(by)).IsVoid().Should().BeTrue();
        machine.Sum.Should().Be(5);

        static void Add(Counter counter, int by, Instant now) => counter.Add(by);
    }

    [Fact]
    public void Void_BeforeItsRequestArrives_KeepsItFromBeingDone()
    {
        var channel = NewChannel(1);
        var (id, other) = (channel.Open(), channel.Open());
        _log.Void(id, At(0));
        _log.Find(id, At(0), out _).Should().Be(RequestState.Void);
        _log.Void(other, At(0));
        _log.Find(other, At(0), out _).Should().Be(RequestState.Void);
    }

    [Fact]
    public void Void_OfAnOlderRequestInTheSlot_LeavesTheNewerOnesAnswer()
    {
        var channel = NewChannel(1);
        _ = channel.Open();
        foreach (var _ in new[] { 0, 1 })
        {
            var old = channel.Open();
            channel.Close(old);
            var newer = channel.Open();
            Do(newer, 7);
            _log.Void(old, At(0));
            _log.Find(newer, At(0), out var earlier).Should().Be(RequestState.Done);
            earlier.Answer.Should().Be(7);
            channel.Close(newer);
        }
    }

    private enum Step
    {
        Open,
        Send,
        Cancel,
        Close,
    }

    /// <summary>
    /// Two channels, many open requests, sent, repeated, cancelled and closed in any order, copies of closed ones coming late: each is done once at
    /// most, every repetition gets the first answer, none that is awaited is void, and what is remembered is bounded by what was open at once.
    /// </summary>
    [Fact]
    public void Log_AnyHistory_DoesEachRequestOnceAndNoneThatIsAwaitedIsVoid() =>
        Gen.Select(
            Gen.Int[0, 1],
            Gen.Int[0, 300],
            Gen.Frequency((4, Gen.Const(Step.Open)), (8, Gen.Const(Step.Send)), (1, Gen.Const(Step.Cancel)), (3, Gen.Const(Step.Close))))
            .Array[1, 400].Sample(
            steps =>
            {
                var log = new AnswerLog<long>();
                RequestChannel[] channels = [NewChannel(1), NewChannel(2)];
                var requests = new List<Request>();
                int[] mostOpen = [0, 0];
                var done = 0L;
                foreach (var (which, pick, step) in steps)
                {
                    if (step == Step.Open || requests.Count == 0)
                    {
                        requests.Add(new Request(channels[which].Open(), channels[which]));
                        mostOpen[which] = Math.Max(mostOpen[which], requests.Count(request => request.IsOpen && request.Channel == channels[which]));
                        continue;
                    }

                    var request = requests[pick % requests.Count];
                    switch (step)
                    {
                        case Step.Send:
                            var state = log.Find(request.Id, At(0), out var earlier);
                            if (request.IsOpen)
                                state.Should().Be(
                                    request.IsCancelled ? RequestState.Void : request.Answer is null ? RequestState.New : RequestState.Done);
                            else
                                (state == RequestState.New && request.Answer is not null).Should().BeFalse("it was done before");
                            if (state == RequestState.Done)
                                earlier.Answer.Should().Be(request.Answer);
                            if (state == RequestState.New)
                                log.Remember(request.Id, (request.Answer = ++done).Value, At(0));
                            break;
                        case Step.Cancel:
                            log.Void(request.Id, At(0));
                            request.IsCancelled = true;
                            break;
                        case Step.Close when request.IsOpen:
                            request.IsOpen = false;
                            request.Channel.Close(request.Id);
                            break;
                    }

                    log.Count.Should().BeLessThanOrEqualTo(mostOpen.Sum() + 2, "a slot for each, and one for each channel");
                }
            },
            iter: 2_000);

    private static RequestChannel NewChannel(int channel) => new(new Guid(1, 2, 3, new byte[8]), channel);

    private static RequestId Once(RequestChannel channel)
    {
        var id = channel.Open();
        channel.Close(id);
        return id;
    }

    private RequestState Do(in RequestId id, int answer)
    {
        var state = _log.Find(id, At(0), out _);
        if (state == RequestState.New)
            _log.Remember(id, answer, At(0));
        return state;
    }

    private sealed class Request(RequestId id, RequestChannel channel)
    {
        public RequestId Id { get; } = id;

        public RequestChannel Channel { get; } = channel;

        public bool IsOpen { get; set; } = true;

        public bool IsCancelled { get; set; }

        public long? Answer { get; set; }
    }

    private sealed class Counter : IAnswers<int>
    {
        public int Sum { get; private set; }

        public int Add(int by) => Sum += by;

        public int Repeat(in int earlier, Instant answeredAt, Instant now) => earlier + 1_000;
    }
}
