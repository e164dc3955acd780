using Microsoft.Extensions.Time.Testing;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class ConversationTests : IDisposable
{
    private static readonly TimeSpan CallTimeout = TimeSpan.FromSeconds(1);

    private readonly FakeTimeProvider _time = new();
    private readonly RequestChannel _channel = new(new Guid(1, 2, 3, new byte[8]), 1);
    private readonly LogBook<ConversationTests> _log = new();
    private readonly NodeMeter _meter = new();
    private readonly Peer _peer;
    private Conversation<Peer> _conversation;

    public ConversationTests()
    {
        _peer = new Peer(_time);
        _conversation = NewConversation(new Random(1));
    }

    public void Dispose() => _meter.Dispose();

    public static TheoryData<Exception> Unanswered => new(
        new TimeoutException(), new SiloUnavailableException(), new OperationCanceledException("the runtime's own"));

    [Theory]
    [MemberData(nameof(Unanswered))]
    public async Task Ask_NoAnswer_IsRepeatedUnderTheSameNumberUntilThereIsOne(Exception unanswered)
    {
        _peer.Answers(unanswered, unanswered, unanswered, 7);
        var reply = await Finish(() => Ask());
        reply.Answer.Should().Be(7);
        _peer.Asked.Should().HaveCount(4).And.OnlyContain(id => id == reply.Id);
        reply.AskedAt.Should().Be(new Instant(0), "what it lends counts from before the first copy was sent");
        Elapsed.Should().BeLessThan(CallTimeout);
        _log.Lines.Should().BeEmpty("it has answered in time");
        NothingIsOpen();
    }

    [Fact]
    public async Task Ask_SilentAuthority_IsGivenUpWhenTheCallsTimeIsOver()
    {
        _peer.Hangs();
        var thrown = await Failing<AuthorityUnavailableException>(() => Ask());
        thrown.Name.Should().Be("api/key");
        thrown.InnerException.Should().BeOfType<TaskCanceledException>();
        _peer.Asked.Count.Should().BeInRange(3, 5, "one message lost, or two, do not cost the call");
        Elapsed.Should().BeCloseTo(CallTimeout, TimeSpan.FromMilliseconds(20));
        NothingIsOpen();
    }

    [Fact]
    public async Task Ask_Failures_TheLastOneIsTold()
    {
        _peer.Answers([new TimeoutException("the first"), .. Enumerable.Repeat<object>(new SiloUnavailableException("the last"), 100)]);
        (await Failing<AuthorityUnavailableException>(() => Ask())).InnerException!.Message.Should().Be("the last");
    }

    [Fact]
    public async Task Ask_AnsweredJustWithinHalfOfTheTime_IsNotRepeated()
    {
        _peer.Answers(7);
        _peer.TakesEach = CallTimeout * 0.499;
        await Finish(() => Ask(), TimeSpan.FromMilliseconds(1));
        _peer.Asked.Should().ContainSingle();
    }

    [Fact]
    public async Task Ask_HungAttemptAfterAnInstantRejection_LeavesTimeForAnother()
    {
        _peer.Answers(new SiloUnavailableException(), Peer.Hang, 7);
        (await Finish(() => Ask())).Answer.Should().Be(7);
        Elapsed.Should().BeLessThan(TimeSpan.FromSeconds(0.6));
    }

    [Fact]
    public async Task Ask_RepeatsAfterRejections_AreJitteredOverAGrowingRange()
    {
        // Whoever was turned away in the same instant must not come back in step: the delay is chance · (5, 10, 20 … ms).
        foreach (var chance in new[] { 0.0, 0.5, 0.999 })
        {
            _conversation = NewConversation(new FixedRandom(chance));
            _peer.Answers([.. Enumerable.Repeat<object>(new SiloUnavailableException(), 5), 7]);
            var before = _peer.AskedAt.Count;
            await Finish(() => Ask(), TimeSpan.FromMilliseconds(1));
            var asked = _peer.AskedAt.Skip(before).ToArray();
            for (var i = 1; i < asked.Length; i++)
                (asked[i] - asked[i - 1]).TotalMilliseconds.Should().BeApproximately(chance * 5 * (1 << (i - 1)), 1.01);
        }
    }

    [Fact]
    public async Task Ask_AnswerThatIsAnException_IsTheCallersAndNotRepeated()
    {
        _peer.Answers(new UnknownPolicyException("rate limiter", "api", []));
        await Failing<UnknownPolicyException>(() => Ask());
        _peer.Asked.Should().ContainSingle();
        _peer.TakenBack.Should().BeEmpty("nothing was got");
        NothingIsOpen();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public async Task Ask_CallersCancellation_EndsTheCallAtOnceWhicheverAttemptItIs(int attempt)
    {
        using var cancellation = new CancellationTokenSource();
        _peer.Answers([.. Enumerable.Repeat<object>(new SiloUnavailableException(), attempt - 1), Peer.Hang]);
        var thrown = await this.Awaiting(_ => Task.Run(async () =>
        {
            var call = Ask(cancellation.Token).AsTask();
            while (_peer.Asked.Count < attempt)
                _time.Advance(TimeSpan.FromMilliseconds(1));
            await cancellation.CancelAsync();
            await call.WaitAsync(TimeSpan.FromSeconds(20));
        })).Should().ThrowAsync<OperationCanceledException>();
        thrown.Which.CancellationToken.Should().Be(cancellation.Token);
        _peer.Asked.Should().HaveCount(attempt);
        _peer.TakenBack.Should().Equal(_peer.Asked[0]);
        NothingIsOpen();
    }

    [Fact]
    public async Task Cancelled_Beforehand_NothingIsSent()
    {
        var cancelled = new CancellationToken(canceled: true);
        await Failing<OperationCanceledException>(() => Ask(cancelled));
        await Failing<OperationCanceledException>(() => Call(cancelled));
        _peer.Asked.Should().BeEmpty();
        _peer.TakenBack.Should().BeEmpty();
        NothingIsOpen();
    }

    [Fact]
    public async Task Ask_NoAnswer_IsTakenBackAndItsNumberStaysOpenUntilThatIsTold()
    {
        _peer.Hangs();
        _peer.TakingBack = new TaskCompletionSource();
        await Failing<AuthorityUnavailableException>(() => Ask());
        _peer.TakenBack.Should().Equal(_peer.Asked[0]);
        var next = _channel.Open();
        (next.Slot, next.OldestOpen).Should().Be((1, 1));
        _channel.Close(next);
        _peer.TakingBack.SetResult();
        await ToolkitCluster.EventuallyAsync(() => Task.FromResult(OldestOpenIsTheNext()), "the number is closed");
    }

    [Fact]
    public async Task Ask_OfOneWhoWaits_IsRepeatedUnderTheSameNumberUntilItIsDecided()
    {
        _peer.Answers(Peer.Undecided, Peer.Undecided, 7);
        _peer.TakesEach = TimeSpan.FromMilliseconds(250);
        var reply = await Finish(() => Ask());
        reply.Answer.Should().Be(7);
        _peer.Asked.Should().HaveCount(3).And.OnlyContain(id => id == reply.Id);
        reply.AskedAt.Should().Be(new Instant(500 * TimeSpan.TicksPerMillisecond), "what the last answer lends counts from before it was asked for");
    }

    [Fact]
    public async Task Ask_OfOneWhoWaits_WhenTheAuthorityFallsSilentIsToldAsSoonAsOthers()
    {
        _peer.Answers(Peer.Undecided, Peer.Undecided, Peer.Hang, Peer.Hang, Peer.Hang, Peer.Hang, Peer.Hang, Peer.Hang);
        await Failing<AuthorityUnavailableException>(() => Ask());
        Elapsed.Should().BeCloseTo(CallTimeout, TimeSpan.FromMilliseconds(20));
    }

    [Fact]
    public async Task Ask_OfOneWhoWaits_WhenThePolicyGoesGivesUpHisPlace()
    {
        _peer.Answers(Peer.Undecided, new UnknownPolicyException("bulkhead", "api", []));
        await Failing<UnknownPolicyException>(() => Ask());
        _peer.TakenBack.Should().Equal(_peer.Asked[0]);
    }

    [Fact]
    public void Hold_IsShorterThanAnyAttempt()
    {
        // An authority that holds a call for as long as it may is not taken for one that has gone, and one that is to move is free in time.
        _conversation.Caller.Hold.Should().BeLessThanOrEqualTo(CallTimeout / 2).And.BeGreaterThan(TimeSpan.Zero);
        CallTimeouts.LongestHold.Should().BeLessThanOrEqualTo(CallTimeouts.Default / 2);
    }

    [Fact]
    public async Task Ask_AttemptsThatAreAnsweredAfterTheHold_AreHeardAlsoAfterALoss()
    {
        _peer.Answers(Peer.Hang, Peer.Undecided, 7);
        _peer.TakesEach = _conversation.Caller.Hold + TimeSpan.FromMilliseconds(20);
        (await Finish(() => Ask())).Answer.Should().Be(7);
        _peer.Asked.Should().HaveCount(3);
    }

    [Fact]
    public async Task Ask_VoidAnswerToWhatWasSentOnce_IsAskedOnceMoreUnderAFreshNumber()
    {
        // It was not done: nobody but the authority has seen it, and the authority says that it did nothing.
        _peer.Answers(0, 7);
        var reply = await Finish(() => Ask());
        reply.Answer.Should().Be(7);
        _peer.Asked.Select(id => id.Sequence).Should().Equal(1, 2);
        reply.Id.Sequence.Should().Be(2);
        NothingIsOpen();
    }

    [Fact]
    public async Task Ask_VoidAnswerToWhatWasRepeated_MayHaveBeenDoneAndIsNotAskedAnew()
    {
        _peer.Answers(new TimeoutException(), 0, 7);
        await Failing<AuthorityUnavailableException>(() => Ask());
        _peer.Asked.Should().HaveCount(2);
        NothingIsOpen();
    }

    [Fact]
    public async Task Ask_VoidAnswerToOneWhoHasWaited_MayHaveBeenDoneAndIsNotAskedAnew()
    {
        _peer.Answers(Peer.Undecided, 0, 7);
        await Failing<AuthorityUnavailableException>(() => Ask());
        _peer.Asked.Should().HaveCount(2);
        _peer.TakenBack.Should().Equal(_peer.Asked[0]);
        NothingIsOpen();
    }

    [Fact]
    public async Task Ask_VoidAnswerAgain_IsNotAskedForEver()
    {
        _peer.Answers(0, 0, 7);
        await Failing<AuthorityUnavailableException>(() => Ask());
        _peer.Asked.Should().HaveCount(2);
    }

    [Fact]
    public async Task Ask_HostHasStopped_IsARefusalWithAReasonAtOnce()
    {
        _peer.Answers(new ObjectDisposedException("client"));
        (await Failing<AuthorityUnavailableException>(() => Ask())).InnerException.Should().BeOfType<ObjectDisposedException>();
        Elapsed.Should().Be(TimeSpan.Zero);
        _peer.Asked.Should().ContainSingle();
    }

    [Fact]
    public async Task Call_NoAnswer_IsRepeatedAndThenGivenUp()
    {
        _peer.Answers(new TimeoutException(), 7);
        (await Finish(() => Call())).Should().Be(7);
        _peer.Hangs();
        await Failing<AuthorityUnavailableException>(() => Call());
        using var cancellation = new CancellationTokenSource();
        await cancellation.CancelAsync();
        await Failing<OperationCanceledException>(() => Call(cancellation.Token));
    }

    [Theory]
    [InlineData(typeof(IRateLimiterProtocol))]
    [InlineData(typeof(ICircuitBreakerProtocol))]
    [InlineData(typeof(IBulkheadProtocol))]
    public void Protocol_ToldOfACancellation_WouldBeBusyForSeconds(Type protocol) =>
        // Measured: Orleans looks for the call that is to be cancelled once a second, three times, and till then the grain cannot be deactivated.
        protocol.GetMethods().SelectMany(static method => method.GetParameters())
            .Should().NotContain(static parameter => parameter.ParameterType == typeof(CancellationToken));

    [Fact]
    public async Task Outage_IsLoggedOnceWhenItBeginsAndOnceWhenItEndsAndEachCallIsCounted()
    {
        using var book = new MeterBook(_meter.Source);
        _peer.GoesOut();
        for (var i = 0; i < 3; i++)
            await Failing<AuthorityUnavailableException>(() => Ask());
        await Failing<AuthorityUnavailableException>(() => Call());
        _log.Lines.Should().Equal("Warning: The authority of api/key does not answer. Further failures are not logged until it does.");
        book.Of("calls.unanswered kind=bulkhead policy=api").Should().Be(7, "three were taken back, in vain");
        var calls = book.Of("calls kind=bulkhead policy=api");
        book.Of("calls.repeated kind=bulkhead policy=api").Should().Be(calls - 7, "all but the first of each");

        _peer.Answers(7, 7);
        await Finish(() => Ask());
        await Finish(() => Ask());
        _log.Lines.Skip(1).Should().Equal("Information: The authority of api/key answers again.");
        _peer.GoesOut();
        await Failing<AuthorityUnavailableException>(() => Ask());
        _log.Lines.Should().HaveCount(3, "another outage");
        _peer.Answers(7);
        await Finish(() => Call());
        _log.Lines.Should().HaveCount(4, "and its end, by a call without a number");
    }

    [Fact]
    public void Tell_WhatCannotBeTold_IsLoggedCountedAndKeptFromTheCaller()
    {
        using var book = new MeterBook(_meter.Source);
        _conversation.Tell(ValueTask.FromException(new InvalidOperationException("a bug")));
        _log.Lines.Should().Equal("Warning: Something could not be told to the authority of api/key.");
        _conversation.Tell(ValueTask.FromException(new AuthorityUnavailableException("api/key", CallTimeout, null)));
        _log.Lines.Should().HaveCount(1, "an outage has a line of its own");
        _conversation.Tell(ValueTask.FromException(new InvalidOperationException("another")));
        _log.Lines.Should().HaveCount(2);
        book.Of("calls.untold kind=bulkhead policy=api").Should().Be(3);
    }

    [Fact]
    public async Task Deadlines_AreNobodysContext()
    {
        // One timer serves many callers, and must not keep what the first of them had in an AsyncLocal.
        var time = new ContextWatch();
        var caller = new AuthorityCaller(new NodeClock(time), new Chance(new Random(1)), CallTimeout, _log, _meter);
        var conversation = new Conversation<Peer>(new ResourceName("api", null), _peer, caller, _channel);
        _peer.Answers(7, new TimeoutException(), 7);
        await conversation.AskAsync(1, Question, CancellationToken.None);
        await conversation.AskAsync(1, Question, CancellationToken.None);
        time.Timers.Should().Be(3, "one deadline for both first attempts, the delay before the repeat, and the repeat's deadline");
        time.TimersInSomebodysContext.Should().Be(0);
    }

    private static readonly Question<Peer, int, int> Question = new()
    {
        Send = static (peer, id, _) => peer.AskAsync(id),
        IsUndecided = static (_, answer) => answer == Peer.Undecided,
        TakeBack = static (conversation, id) =>
            new ValueTask(conversation.CallAsync(id, static (peer, id) => peer.TakeBackAsync(id), CancellationToken.None).AsTask()),
    };

    private TimeSpan Elapsed => _time.GetUtcNow() - _time.Start;

    private ValueTask<Reply<int>> Ask(CancellationToken cancellationToken = default) => _conversation.AskAsync(1, Question, cancellationToken);

    private ValueTask<int> Call(CancellationToken cancellationToken = default) =>
        _conversation.CallAsync(new RequestId(default, 0, 0, 0, 0), static (peer, id) => peer.AskAsync(id), cancellationToken);

    private Conversation<Peer> NewConversation(Random random) =>
        new(
            new ResourceName("api", "key"),
            _peer,
            new AuthorityCaller(new NodeClock(_time), new Chance(random), CallTimeout, _log, _meter),
            _channel);

    private async Task<T> Finish<T>(Func<ValueTask<T>> call, TimeSpan? step = null)
    {
        T result = default!;
        await _time.FinishAsync(async () => result = await call(), step ?? TimeSpan.FromMilliseconds(5));
        return result;
    }

    private async Task<TException> Failing<TException>(Func<ValueTask> call)
        where TException : Exception =>
        (await this.Awaiting(_ => Finish(async ValueTask<int> () =>
        {
            await call();
            return 0;
        })).Should().ThrowAsync<TException>()).Which;

    private Task<TException> Failing<TException>(Func<ValueTask<Reply<int>>> call)
        where TException : Exception => Failing<TException>(async () => { await call(); });

    private Task<TException> Failing<TException>(Func<ValueTask<int>> call)
        where TException : Exception => Failing<TException>(async () => { await call(); });

    private void NothingIsOpen() => OldestOpenIsTheNext().Should().BeTrue("every number is closed");

    private bool OldestOpenIsTheNext()
    {
        // The oldest open is told late at times: twice, and it is exact.
        _channel.Close(_channel.Open());
        var next = _channel.Open();
        _channel.Close(next);
        return (next.OldestOpen, next.Slot) == (next.Sequence, 0);
    }

    /// <summary>An authority that answers as it was told to: a number, an exception, or never. Zero is the void answer.</summary>
    private sealed class Peer(FakeTimeProvider time)
    {
        public const int Hang = -1;
        public const int Undecided = -2;

        private readonly Queue<object> _answers = [];
        private bool _hangs;
        private bool _isOut;

        public List<RequestId> Asked { get; } = [];

        public List<DateTimeOffset> AskedAt { get; } = [];

        public List<RequestId> TakenBack { get; } = [];

        public TaskCompletionSource? TakingBack { get; set; }

        public TimeSpan TakesEach { get; set; }

        public void Answers(params object[] answers)
        {
            _hangs = _isOut = false;
            foreach (var answer in answers)
                _answers.Enqueue(answer);
        }

        public void Hangs() => _hangs = true;

        /// <summary>Not even what is taken back is heard.</summary>
        public void GoesOut() => _hangs = _isOut = true;

        public async ValueTask<int> AskAsync(RequestId id)
        {
            AskedAt.Add(time.GetUtcNow());
            Asked.Add(id);
            var answer = _hangs ? Hang : _answers.Dequeue();
            if (answer is Hang)
                await new TaskCompletionSource().Task;
            if (TakesEach > TimeSpan.Zero)
                await Task.Delay(TakesEach, time, CancellationToken.None);
            return answer is Exception e ? throw e : (int)answer;
        }

        public async ValueTask<int> TakeBackAsync(RequestId id)
        {
            TakenBack.Add(id);
            if (_isOut)
                throw new SiloUnavailableException();
            if (TakingBack is { } until)
                await until.Task;
            return 1;
        }
    }

    private sealed class FixedRandom(double chance) : Random
    {
        public override double NextDouble() => chance;
    }

    private sealed class ContextWatch : TimeProvider
    {
        public int Timers { get; private set; }

        public int TimersInSomebodysContext { get; private set; }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            Timers++;
            TimersInSomebodysContext += ExecutionContext.IsFlowSuppressed() ? 0 : 1;
            return base.CreateTimer(callback, state, dueTime, period);
        }
    }
}
