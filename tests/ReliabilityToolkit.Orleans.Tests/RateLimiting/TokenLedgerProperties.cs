using CsCheck;
using ReliabilityToolkit.Orleans.Simulation;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class TokenLedgerProperties
{
    private static readonly Gen<RateLimiterPolicy> Policies =
        from tokens in Gen.OneOf(Gen.Int[1, 20], Gen.Int[1, 1_000_000_000])
        from period in Gen.OneOf(Gen.Long[10_000, 100_000], Gen.Long[10_000, TimeSpan.TicksPerDay])
        from burst in Gen.Int[1, 12]
        from queue in Gen.Int[0, 6]
        select new RateLimiterPolicy { TokensPerPeriod = tokens, Period = TimeSpan.FromTicks(period), Burst = burst, QueueLimit = queue };

    private enum Step
    {
        Wait,
        Try,
        Cancel,
        Repeat,
    }

    private static readonly Gen<Step> WaitOrTry = Gen.Frequency((1, Gen.Const(Step.Wait)), (1, Gen.Const(Step.Try)));

    private static readonly Gen<Step> AnyStep = Gen.Frequency(
        (5, Gen.Const(Step.Wait)), (3, Gen.Const(Step.Try)), (1, Gen.Const(Step.Cancel)), (1, Gen.Const(Step.Repeat)));

    private static Gen<(Step Step, int Tokens, double Pause, int Which)[]> Steps(Gen<Step> step) =>
        Gen.Select(step, Gen.Int[1, 12], Gen.Double[0, 1.5], Gen.Int[0, 1000]).Array[1, 60];


    [Fact]
    public void Ledger_WithoutCancellations_DecidesAsTheIdealBucketDoes() =>
        Gen.Select(Policies.Where(policy => policy.Validate().Count == 0), Steps(WaitOrTry)).Sample(
            (policy, steps) =>
            {
                var node = new Asker(1);
                var ledger = new TokenDesk(policy, default);
                var admissions = new List<(Instant At, int Tokens)>();
                var now = default(Instant);
                foreach (var step in steps)
                {
                    now += Pause(policy, step.Pause);
                    var tokens = Math.Min(step.Tokens, policy.Burst);
                    var mayWait = step.Step == Step.Wait;
                    var id = node.Next();
                    var grant = ledger.Acquire(new TokenRequest(id, tokens, mayWait), now);
                    grant.FillsWithin.Should().Be(policy.FillsWithin);
                    grant = grant with { FillsWithin = default };

                    // The oracle: not before anybody who came earlier, and not before the level covers it.
                    var earliest = admissions.Count == 0 ? now : Instant.Later(now, admissions[^1].At);
                    var missing = (tokens * (System.Numerics.BigInteger)policy.Period.Ticks) - IdealBucket.Level(policy, admissions, earliest);
                    var wait = missing <= 0 ? 0 : (long)((missing + policy.TokensPerPeriod - 1) / policy.TokensPerPeriod);
                    var ready = new Instant(earliest.Ticks + wait);
                    var waiting = admissions.Count(admission => admission.At > now);
                    if (ready <= now)
                        grant.Should().Be(new TokenGrant(true, default, default, default, policy.Burst));
                    else if (!mayWait)
                        grant.Should().Be(new TokenGrant(false, default, ready - now, RefusalReason.RateLimited, policy.Burst));
                    else if (waiting >= policy.QueueLimit)
                        grant.Should().Be(new TokenGrant(false, default, ready - now, RefusalReason.QueueFull, policy.Burst));
                    else if (ready - now <= Reservations.Reach)
                        grant.Should().Be(new TokenGrant(true, ready - now, default, default, policy.Burst));
                    else
                        Leaves(grant, ready - now);
                    if (grant.IsGranted)
                        admissions.Add((ready, tokens));
                    ledger.Describe(now).Waiting.Should().Be(admissions.Count(admission => admission.At > now));

                    // Nobody is promised anything so far ahead: he has a place in line, which he gives up here.
                    void Leaves(TokenGrant grant, TimeSpan wait)
                    {
                        (grant.IsGranted, grant.AskAgainAfter > TimeSpan.Zero, grant.RetryAfter).Should().Be((false, true, wait));
                        ledger.Cancel(new TokenCancellation(id), now);
                    }
                }
            },
            iter: 3_000);

    [Fact]
    public void Ledger_WithCancellationsAndRepeats_KeepsCeilingOrderAndTruthOfRetryAfter() =>
        Gen.Select(Policies.Where(policy => policy.Validate().Count == 0), Steps(AnyStep)).Sample(
            (policy, steps) =>
            {
                var node = new Asker(1);
                var ledger = new TokenDesk(policy, default);
                var admissions = new Dictionary<RequestId, (Instant At, int Tokens)>();
                var asked = new List<TokenRequest>();
                var hasGaps = false;
                var now = default(Instant);
                foreach (var step in steps)
                {
                    Pass(Pause(policy, step.Pause));
                    if (step.Step == Step.Cancel && asked.Count > 0)
                    {
                        var cancelled = asked[step.Which % asked.Count].Id;
                        ledger.Cancel(new TokenCancellation(cancelled), now);
                        if (admissions.TryGetValue(cancelled, out var admission) && admission.At > now)
                            hasGaps |= admissions.Remove(cancelled);
                        asked.RemoveAll(request => request.Id == cancelled);
                        continue;
                    }

                    if (step.Step == Step.Repeat && asked.Count > 0)
                    {
                        var repeated = asked[step.Which % asked.Count];
                        ledger.Acquire(repeated, now).IsGranted.Should().Be(admissions.ContainsKey(repeated.Id));
                        continue;
                    }

                    var request = new TokenRequest(node.Next(), Math.Min(step.Tokens, policy.Burst), step.Step != Step.Try);
                    asked.Add(request);
                    var grant = ledger.Acquire(request, now);
                    for (var asks = 0; grant.AskAgainAfter > TimeSpan.Zero; asks++)
                    {
                        Pass(grant.AskAgainAfter);
                        if (asks == 3)
                            ledger.Cancel(new TokenCancellation(request.Id), now);
                        grant = ledger.Acquire(request, now);
                    }

                    if (grant.IsVoid())
                    {
                        asked.Remove(request);
                    }
                    else if (grant.IsGranted)
                    {
                        var readyAt = now + grant.ReadyAfter;
                        if (grant.ReadyAfter > TimeSpan.Zero && !hasGaps)
                            readyAt.Should().BeGreaterThanOrEqualTo(
                                admissions.Values.Select(admission => admission.At).DefaultIfEmpty().Max(), "who came earlier is served earlier");
                        admissions.Add(request.Id, (readyAt, request.Tokens));
                    }
                    else
                    {
                        // L5: who comes back after RetryAfter, with nobody else asking, is admitted.
                        Pass(grant.RetryAfter);
                        var again = new TokenRequest(node.Next(), request.Tokens, false);
                        asked.Add(again);
                        ledger.Acquire(again, now).IsGranted.Should().BeTrue();
                        admissions.Add(again.Id, (now, again.Tokens));
                    }
                }

                IdealBucket.FirstExcess(policy, [.. admissions.Values]).Should().BeNull();

                void Pass(TimeSpan pause)
                {
                    now += pause;
                    if (pause >= CallTimeouts.AnswersKeptFor)
                        asked.Clear(); // by then no client repeats anything, and the ledger has forgotten
                }
            },
            iter: 3_000);

    [Fact]
    public void IdealBucket_OneTokenTooMany_IsFound()
    {
        // The checker must be able to fail: the double spend that a token given back too late would allow.
        var policy = new RateLimiterPolicy { TokensPerPeriod = 1, Period = TimeSpan.FromSeconds(1), Burst = 1 };
        IdealBucket.FirstExcess(policy, [(Time.At(0), 1), (Time.At(2), 1), (Time.At(2), 1)]).Should().Be((Time.At(2), 1));
        IdealBucket.FirstExcess(policy, [(Time.At(0), 1), (Time.At(1), 1), (Time.At(2), 1)]).Should().BeNull();
        IdealBucket.FirstExcess(policy, [(Time.At(0), 1), (new Instant(9_999_999), 1)]).Should().NotBeNull();
    }

    // Pauses on the scale on which tokens accrue, so that the bucket is neither always full nor always empty.
    private static TimeSpan Pause(RateLimiterPolicy policy, double part) =>
        TimeSpan.FromTicks((long)(part * part * policy.Period.Ticks / policy.TokensPerPeriod * 2));
}
