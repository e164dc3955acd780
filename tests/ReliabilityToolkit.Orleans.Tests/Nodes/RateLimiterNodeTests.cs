using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class RateLimiterNodeTests
{
    private readonly FakeNode _node = new();
    private readonly RateLimiterNode _limiter;

    public RateLimiterNodeTests() => _limiter = _node.NewLimiter();

    private FakeAuthority Authority => _node.Authority;

    private ClusterRateLimiter Limiter => _limiter.Limiter;

    [Fact]
    public async Task Limiter_Grant_IsAnAcquiredLeaseAndCounted()
    {
        var asked = new List<TokenRequest>();
        Authority.OnAcquireTokens = request =>
        {
            asked.Add(request);
            return new(new TokenGrant(true, default, default, default, 10));
        };
        (await Limiter.TryAcquireAsync(3)).IsAcquired.Should().BeTrue();
        (await Limiter.AcquireAsync(2)).IsAcquired.Should().BeTrue();
        asked.Select(request => (request.Tokens, request.MayWait)).Should().Equal((3, false), (2, true));
        Limiter.GetStatistics()!.TotalSuccessfulLeases.Should().Be(2);
        Limiter.GetStatistics()!.TotalFailedLeases.Should().Be(0);
    }

    [Fact]
    public async Task Limiter_Refusal_CarriesReasonAndRetryAfter()
    {
        Authority.OnAcquireTokens = _ => new(new TokenGrant(false, default, TimeSpan.FromSeconds(3), RefusalReason.QueueFull, 10));
        var lease = await Limiter.TryAcquireAsync();
        lease.IsAcquired.Should().BeFalse();
        lease.TryGetMetadata(MetadataName.RetryAfter, out var retryAfter).Should().BeTrue();
        retryAfter.Should().Be(TimeSpan.FromSeconds(3));
        lease.TryGetMetadata(ToolkitMetadata.Reason, out var reason).Should().BeTrue();
        reason.Should().Be(RefusalReason.QueueFull);
        lease.TryGetMetadata(MetadataName.ReasonPhrase, out var phrase).Should().BeTrue();
        phrase.Should().Be("QueueFull");
        lease.TryGetMetadata("nothing", out var nothing).Should().BeFalse();
        nothing.Should().BeNull();
        lease.MetadataNames.Should().BeEquivalentTo(
            MetadataName.RetryAfter.Name, MetadataName.ReasonPhrase.Name, "REFUSAL_REASON", ToolkitMetadata.Policy.Name, ToolkitMetadata.Key.Name);
        lease.Invoking(it => it.EnsureAcquired()).Should().Throw<RateLimitedException>()
            .WithMessage("Refused by \"api/key\": QueueFull. Retry after 00:00:03.")
            .Which.Should().Match<RateLimitedException>(e => e.Policy == "api" && e.Key == "key");
        Limiter.GetStatistics()!.TotalFailedLeases.Should().Be(1);
    }

    [Fact]
    public async Task Limiter_PromisedToken_IsWaitedForOnTheNode()
    {
        Authority.OnAcquireTokens = _ => new(new TokenGrant(true, TimeSpan.FromSeconds(2), default, default, 10));
        var wait = Limiter.AcquireAsync().AsTask();
        Limiter.GetStatistics()!.CurrentQueuedCount.Should().Be(1);
        Limiter.IdleDuration.Should().BeNull("somebody waits here");
        _node.Time.Advance(TimeSpan.FromSeconds(1.99));
        wait.IsCompleted.Should().BeFalse();
        _node.Time.Advance(TimeSpan.FromSeconds(0.01));
        (await wait).IsAcquired.Should().BeTrue();
        Limiter.GetStatistics()!.CurrentQueuedCount.Should().Be(0);
        _node.Time.Advance(TimeSpan.FromSeconds(5));
        Limiter.IdleDuration.Should().Be(TimeSpan.FromSeconds(5));
        Authority.TakenBack.Should().BeEmpty();
    }

    [Fact]
    public async Task Limiter_CancelledWait_GivesThePromiseBack()
    {
        RequestId? asked = null;
        Authority.OnAcquireTokens = request =>
        {
            asked = request.Id;
            return new(new TokenGrant(true, TimeSpan.FromSeconds(2), default, default, 10));
        };
        using var cancellation = new CancellationTokenSource();
        var wait = Limiter.AcquireAsync(1, cancellation.Token).AsTask();
        await cancellation.CancelAsync();
        await wait.Awaiting(task => task).Should().ThrowAsync<OperationCanceledException>();
        Authority.TakenBack.Should().Equal(asked!.Value);
        Limiter.GetStatistics()!.CurrentQueuedCount.Should().Be(0);
    }

    [Fact]
    public async Task Limiter_SilentAuthority_RefusesWithTheReasonAndTakesBack()
    {
        foreach (var ask in new Func<ValueTask<RateLimitLease>>[] { () => Limiter.TryAcquireAsync(), () => Limiter.AcquireAsync() })
        {
            var before = _node.Elapsed;
            var lease = await _node.FinishAsync(ask);
            lease.TryGetMetadata(ToolkitMetadata.Reason, out var reason).Should().BeTrue();
            reason.Should().Be(RefusalReason.AuthorityUnavailable);
            lease.MetadataNames.Should().BeEquivalentTo(MetadataName.ReasonPhrase.Name, ToolkitMetadata.Reason.Name, "POLICY", "KEY");
            lease.TryGetMetadata(MetadataName.RetryAfter, out _).Should().BeFalse("nobody can tell");
            (_node.Elapsed - before).Should().BeCloseTo(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(0.1));
            await _node.FinishAsync(async () =>
            {
                await _node.Clock.WaitAsync(TimeSpan.FromSeconds(5), default);
                return true;
            }); // unused for so long it knows nothing of the authority any more
        }

        Limiter.GetStatistics()!.TotalFailedLeases.Should().Be(2);
        Authority.TakenBack.Should().HaveCount(2, "should the authority have spent something, it hears that nobody uses it");
        await this.Awaiting(_ => _node.FinishAsync(() => Limiter.GetStatusAsync())).Should().ThrowAsync<AuthorityUnavailableException>();
    }

    [Fact]
    public async Task Limiter_MoreThanTheBurst_IsToldInTheCallersWords()
    {
        Authority.OnAcquireTokens = _ => throw new ArgumentOutOfRangeException("tokens", 11, "11 at once can never be had; legal: 1 to 10.");
        foreach (var ask in new Func<ValueTask<RateLimitLease>>[] { () => Limiter.TryAcquireAsync(11), () => Limiter.AcquireAsync(11) })
        {
            var thrown = (
                await this.Awaiting(_ => ask().AsTask()).Should().ThrowAsync<ArgumentOutOfRangeException>().WithParameterName("permitCount")).Which;
            thrown.Message.Should().StartWith("11 at once can never be had; legal: 1 to 10.").And.NotContain("tokens");
            thrown.ActualValue.Should().Be(11);
        }

        Authority.TakenBack.Should().BeEmpty();
        Limiter.GetStatistics()!.TotalFailedLeases.Should().Be(0);
    }

    [Fact]
    public async Task Limiter_AttemptAboveTheBurst_ThrowsOnceTheBurstIsKnown()
    {
        Limiter.AttemptAcquire(11).IsAcquired.Should().BeFalse("nobody has told the burst yet");
        Authority.OnAcquireTokens = _ => new(new TokenGrant(true, default, default, default, 10));
        await Limiter.TryAcquireAsync();
        Limiter.AttemptAcquire(10).TryGetMetadata(ToolkitMetadata.Reason, out var reason).Should().BeTrue();
        reason.Should().Be(RefusalReason.NoLocalStock);
        Limiter.Invoking(it => it.AttemptAcquire(11))
            .Should().Throw<ArgumentOutOfRangeException>().WithParameterName("permitCount").WithMessage(
                "11 at once can never be had; legal: 1 to 10.*");
        Limiter.GetStatistics()!.TotalFailedLeases.Should().Be(2);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    public async Task Limiter_FewerThanOne_ThrowsWithoutAsking(int permits)
    {
        Limiter.Invoking(it => it.AttemptAcquire(permits)).Should().Throw<ArgumentOutOfRangeException>().WithParameterName("permitCount");
        await Limiter.Awaiting(it => it.TryAcquireAsync(permits).AsTask())
            .Should().ThrowAsync<ArgumentOutOfRangeException>().WithParameterName("permitCount");
        await Limiter.Awaiting(it => it.AcquireAsync(permits).AsTask())
            .Should().ThrowAsync<ArgumentOutOfRangeException>().WithParameterName("permitCount");
    }

    [Fact]
    public async Task Limiter_CancelledBeforehand_DoesNotAsk()
    {
        Authority.OnAcquireTokens = _ => throw new InvalidOperationException("asked");
        await Limiter.Awaiting(it => it.TryAcquireAsync(1, new CancellationToken(true)).AsTask()).Should().ThrowAsync<OperationCanceledException>();
    }

    [Fact]
    public async Task Reset_ThatIsNotDone_DoesNotReturnAsIfItWere()
    {
        Authority.OnCommand = (_, _) => default;
        await Limiter.Awaiting(it => it.ResetAsync()).Should().ThrowAsync<AuthorityUnavailableException>();
        Authority.OnCommand = (_, _) => new(Acknowledgement.Done);
        await Limiter.ResetAsync();
    }
}
