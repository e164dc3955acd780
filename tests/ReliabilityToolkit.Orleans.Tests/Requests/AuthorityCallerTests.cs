using Microsoft.Extensions.Time.Testing;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class AuthorityCallerTests
{
    private readonly FakeTimeProvider _time = new();
    private readonly AuthorityCaller _caller;

    public AuthorityCallerTests() => _caller = new AuthorityCaller(new NodeClock(_time), new Random(1), TimeSpan.FromSeconds(1));

    public static TheoryData<Exception> Unanswered => new(
        new TimeoutException(), new SiloUnavailableException(), new OperationCanceledException("the runtime's own"));

    [Theory]
    [MemberData(nameof(Unanswered))]
    public async Task Caller_NoAnswer_AsksAgainTheSameAndReturnsTheAnswer(Exception unanswered)
    {
        var sent = new List<int>();
        var answer = "";
        await Finish(async () => answer = await _caller.CallAsync(
            "api",
            42,
            (request, _) =>
            {
                sent.Add(request);
                return sent.Count < 4 ? ValueTask.FromException<string>(unanswered) : ValueTask.FromResult("yes");
            },
            CancellationToken.None));
        answer.Should().Be("yes");
        sent.Should().Equal(42, 42, 42, 42);
        _time.GetUtcNow().Should().BeBefore(_time.Start.AddSeconds(1));
    }

    [Fact]
    public async Task Caller_SilentAuthority_GivesUpAtTheDeadlineAfterMoreThanOneAttempt()
    {
        var attempts = 0;
        var thrown = await _caller.Awaiting(caller => Finish(() => caller.CallAsync("api", 0, (_, token) => Never(ref attempts, token), CancellationToken.None).AsTask())).Should().ThrowAsync<AuthorityUnavailableException>();
        thrown.Which.Name.Should().Be("api");
        attempts.Should().BeGreaterThan(1);
        (_time.GetUtcNow() - _time.Start).Should().BeCloseTo(TimeSpan.FromSeconds(1), TimeSpan.FromMilliseconds(20));
    }

    [Fact]
    public async Task Caller_HeldCall_GivesTheAuthorityItsHoldBeforeItAsksAgain()
    {
        var attempts = 0;
        await _caller.Awaiting(caller => Finish(() =>
        {
            var call = caller.CallHeldAsync("db", 0, (_, token) => Never(ref attempts, token), TimeSpan.FromSeconds(5), CancellationToken.None).AsTask();
            _time.Advance(TimeSpan.FromSeconds(5.4));
            attempts.Should().Be(1);
            return call;
        })).Should().ThrowAsync<AuthorityUnavailableException>();
        attempts.Should().Be(2);
    }

    [Fact]
    public async Task Caller_AnswerOfTheGrain_IsNotRetried()
    {
        var attempts = 0;
        await _caller.Awaiting(caller => caller.CallAsync<int, int>(
            "api",
            0,
            (_, _) =>
            {
                attempts++;
                throw new UnknownPolicyException("rate limiter", "api", []);
            },
            CancellationToken.None).AsTask()).Should().ThrowAsync<UnknownPolicyException>();
        attempts.Should().Be(1);
    }

    [Fact]
    public async Task Caller_CallersOwnCancellation_EndsTheCallAtOnce()
    {
        using var cancellation = new CancellationTokenSource();
        var attempts = 0;
        var call = _caller.CallAsync("api", 0, (_, token) => Never(ref attempts, token), cancellation.Token).AsTask();
        await cancellation.CancelAsync();
        (await call.Awaiting(task => task).Should().ThrowAsync<OperationCanceledException>()).Which.CancellationToken.Should().Be(cancellation.Token);
        attempts.Should().Be(1);
    }

    private static ValueTask<int> Never(ref int attempts, CancellationToken token)
    {
        attempts++;
        return new ValueTask<int>(new TaskCompletionSource<int>().Task.WaitAsync(token));
    }

    private Task Finish(Func<Task> call) => _time.FinishAsync(call, TimeSpan.FromMilliseconds(10));
}
