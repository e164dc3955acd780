using System.Diagnostics;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A limiter's node under threads and the system's own clock: what no simulator has.</summary>
public sealed class RateLimiterThreadsTests
{
    private const int Rate = 400_000;
    private const int Burst = 20_000;

    [Fact]
    public async Task Hits_OfManyThreads_KeepTheCeiling()
    {
        var node = new FakeNode(TimeProvider.System);
        var startedAt = Stopwatch.GetTimestamp();
        var ledger = new TokenLedger(new RateLimiterPolicy { Burst = Burst, TokensPerPeriod = Rate }, node.Clock.Now, new(1, Predecessor.None));
        var renewals = 0;
        node.Authority.OnRenewPart = request =>
        {
            lock (ledger)
            {
                renewals++;
                return new(ledger.Renew(request, node.Clock.Now));
            }
        };
        var limiter = node.NewLimiter().Limiter;
        var admitted = await Task.WhenAll(Enumerable.Range(0, 4).Select(i => Task.Factory.StartNew(
            () => Hit(limiter, 1 + (i % 2), startedAt), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)));
        var most = Burst + (Rate * Stopwatch.GetElapsedTime(startedAt).TotalSeconds);
        admitted.Sum().Should().BeLessThanOrEqualTo((long)most).And.BeGreaterThan((long)(most / 4), "and most of what there is is had");
        renewals.Should().BeGreaterThan(3);
        var counted = limiter.GetStatistics()!;

        // A thread that found too little, and is about to put back what it took, when the part is renewed: what it took is lost, and counts as had.
        var exact = admitted[0] + admitted[2] + ((admitted[1] + admitted[3]) / 2);
        counted.TotalSuccessfulLeases.Should().BeInRange(exact, exact + (renewals * 4 * 2));
    }

    // As many as it gets in about a second and a half.
    private static long Hit(ClusterRateLimiter limiter, int tokens, long startedAt)
    {
        var admitted = 0L;
        while (Stopwatch.GetElapsedTime(startedAt) < TimeSpan.FromSeconds(1.5))
        {
            for (var i = 0; i < 1_000; i++)
            {
                if (limiter.AttemptAcquire(tokens).IsAcquired)
                    admitted += tokens;
            }
        }

        return admitted;
    }
}
