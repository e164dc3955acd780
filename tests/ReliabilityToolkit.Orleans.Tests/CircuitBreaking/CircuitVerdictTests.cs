using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>What the authority lends, to whom, and what becomes of it.</summary>
public sealed class CircuitVerdictTests
{
    private readonly Asker _asker = new(1);

    [Fact]
    public void Renew_Closed_IsAVerdictForItsTerm()
    {
        var circuit = New();
        var node = new Node(circuit, 1);
        node.Ask(At(0)).Should().Match<VerdictGrant>(grant => grant.State == CircuitState.Closed && grant.Term == LeaseTerm.OfVerdict
            && !grant.IsFailing && grant.Share == 1 && grant.Sequence == 1 && grant.Epoch == 1 && grant.ComeBackAfter == default);
        circuit.Describe(At(1.9)).Nodes.Should().Be(1);
        circuit.Describe(At(2)).Nodes.Should().Be(0, "it has run out");
    }

    [Fact]
    public void Renew_Failures_ShowThatSomethingFails()
    {
        var circuit = New();
        var (one, other) = (new Node(circuit, 1), new Node(circuit, 2));
        one.Ask(At(0));
        var before = other.Ask(At(0)).Version;
        one.Tell(At(0), Failed(1)).IsFailing.Should().BeTrue();
        other.Ask(At(0)).Should().Match<VerdictGrant>(grant => grant.IsFailing && grant.Version > before);
        one.Tell(At(0), new CircuitNews(1, 0, CircuitOutcome.Succeeded, 3)).IsFailing.Should().BeFalse();
    }

    [Fact]
    public void Renew_ManyFailuresAtOnce_CountOneByOne()
    {
        var circuit = New(policy => policy.FailureThreshold = 3);
        var node = new Node(circuit, 1);
        node.Tell(At(0), Failed(2)).State.Should().Be(CircuitState.Closed);
        node.Tell(At(0), new CircuitNews(1, 0, CircuitOutcome.Succeeded, 1), Failed(2)).State.Should().Be(CircuitState.Closed, "in order");
        node.Tell(At(0), Failed(1)).Should().Match<VerdictGrant>(
            grant => grant.State == CircuitState.Open && grant.RetryAfter == Seconds(10) && grant.Cause == CircuitCause.Failures);
    }

    [Fact]
    public void Renew_Repeated_CountsNothingTwiceAndGivesTheSameTrials()
    {
        var circuit = HalfOpen(trials: 2);
        var node = new Node(circuit, 1);
        var grant = node.Ask(At(10), atTheDoor: 5);
        (grant.Trials, grant.TrialGeneration).Should().Be((2, grant.Generation));
        node.Repeat(At(10)).Should().Be(grant);
        circuit.Describe(At(10)).TrialsInFlight.Should().Be(2);
        grant.ComeBackAfter.Should().Be(Circuit.ComeBackAfter, "all places are taken");
    }

    [Fact]
    public void Renew_OutOfDate_GetsTheVoidAnswer()
    {
        var circuit = New(policy => policy.FailureThreshold = 1);
        var node = new Node(circuit, 1);
        node.Ask(At(0));
        node.Ask(At(0));
        circuit.Renew(node.Request(1) with { Outcomes = [Failed(1)] }, At(0)).Should().Be(default(VerdictGrant));
        circuit.Describe(At(0)).State.Should().Be(CircuitState.Closed);
    }

    [Fact]
    public void Renew_TrialThatIsNotNamed_IsFree()
    {
        // The answer to the request for it was lost: the place was taken until the trial's lease ended.
        var circuit = HalfOpen();
        var (one, other) = (new Node(circuit, 1), new Node(circuit, 2));
        var trial = one.Ask(At(10), atTheDoor: 1).FirstTrial;
        other.Ask(At(10), atTheDoor: 1).Trials.Should().Be(0);
        one.Name(At(10), trial);
        other.Ask(At(10), atTheDoor: 1).Trials.Should().Be(0, "it is in hand");
        one.Ask(At(10));
        other.Ask(At(10), atTheDoor: 1).Trials.Should().Be(1, "it is not any more");
        circuit.Describe(At(10)).State.Should().Be(CircuitState.HalfOpen, "and that is no failure");
    }

    [Fact]
    public void Renew_TrialAnsweredInTheSameRequest_IsCountedAndNotDropped()
    {
        var circuit = HalfOpen();
        var node = new Node(circuit, 1);
        var grant = node.Ask(At(10), atTheDoor: 1);
        node.Tell(At(10), new CircuitNews(grant.Generation, grant.FirstTrial, CircuitOutcome.Succeeded, 1)).State.Should().Be(CircuitState.Closed);
    }

    [Fact]
    public void Renew_RepeatedAfterATrip_SaysInWhichGenerationTheTrialWasGiven()
    {
        // 1099511627819 was given, the circuit tripped and was half open again; the repeated answer made it a trial of today's (simulated, seed 200).
        var circuit = HalfOpen();
        var node = new Node(circuit, 1);
        var before = node.Ask(At(10), atTheDoor: 1);
        circuit.Obey(Order(CircuitCommand.Trip), At(11));
        var after = node.Repeat(At(22));
        (after.State, after.Trials, after.TrialGeneration).Should().Be((CircuitState.HalfOpen, 1, before.Generation));
        after.Generation.Should().BeGreaterThan(before.Generation);
        node.Ask(At(22), atTheDoor: 1).TrialGeneration.Should().Be(after.Generation, "given back, and given anew");
    }

    [Fact]
    public void Renew_BySomebodyWhoKnowsASuccessor_IsNotAnsweredAnyMore()
    {
        var circuit = New();
        var node = new Node(circuit, 1);
        for (var i = 1; i <= 2; i++)
            circuit.Renew(node.Request(i) with { Epoch = 2 }, At(0)).Should().Be(default(VerdictGrant));
        new Node(circuit, 2).Ask(At(0)).Should().Be(default(VerdictGrant));
        circuit.HasSuccessor.Should().BeTrue();

        // It said that the switch was obeyed, for it knew of nobody; and everybody went on.
        circuit.Obey(Order(CircuitCommand.Trip), At(0)).Should().Be(default(Obedience));
    }

    public static TheoryData<string, int, int, long, CircuitOutcome, int> Impossible => new()
    {
        { "sequence", 0, 0, 0, CircuitOutcome.Failed, 1 },
        { "at the door", 1, -1, 0, CircuitOutcome.Failed, 1 },
        { "shed", 1, 0, -1, CircuitOutcome.Failed, 1 },
        { "outcome", 1, 0, 0, (CircuitOutcome)9, 1 },
        { "calls", 1, 0, 0, CircuitOutcome.Failed, 0 },
    };

    [Theory]
    [MemberData(nameof(Impossible))]
    public void Renew_WhatNoNodeSays_IsRefusedAndChangesNothing(
        string what, int sequence, int atTheDoor, long shed, CircuitOutcome outcome, int calls)
    {
        var circuit = New(policy => policy.FailureThreshold = 1);
        var request = new VerdictRequest(
            new Borrower(Guid.NewGuid(), 1), sequence, 0, 0, atTheDoor, null, [Failed(1), new CircuitNews(1, 0, outcome, calls)], shed);
        circuit.Invoking(it => it.Renew(request, At(0))).Should().Throw<ArgumentException>(what);
        circuit.Describe(At(0)).State.Should().Be(CircuitState.Closed);
        new Node(circuit, 1).Ask(At(0)).State.Should().Be(CircuitState.Closed);
    }

    [Fact]
    public void Trip_ReturnsWhenAllWhoMayAdmitHaveSaidThatTheyKnow()
    {
        var circuit = New();
        var (one, other, idle) = (new Node(circuit, 1), new Node(circuit, 2), new Node(circuit, 3));
        idle.Ask(At(2));
        one.Ask(At(5));
        other.Ask(At(6));
        var trip = Order(CircuitCommand.Trip, "a test");
        circuit.Obey(trip, At(6.5)).Should().Be(new Obedience(true, 2, 0, 0, Seconds(1.5)), "the third's has run out long ago");
        circuit.IsAwaitingObedience(At(6.5)).Should().BeTrue();
        circuit.Describe(At(6.5)).Should().Match<CircuitBreakerStatus>(
            status => status.State == CircuitState.Open && status.Cause == CircuitCause.Tripped && status.Reason == "a test");

        one.Ask(At(6.6));
        circuit.Obey(trip, At(6.6)).Pending.Should().Be(2, "it hears of it, and may not have heard yet");
        one.Ask(At(6.7));
        circuit.Obey(trip, At(6.7)).Should().Be(new Obedience(true, 1, 1, 0, Seconds(1.3)));
        circuit.Obey(trip, At(8)).Should().Match<Obedience>(it => it.IsObeyed && it.Acknowledged == 1 && it.RanOut == 1);
        circuit.IsAwaitingObedience(At(8)).Should().BeFalse();
    }

    [Fact]
    public void Trip_OfAYoungActivation_WaitsForWhatAPredecessorMayHaveLent()
    {
        var circuit = New();
        var trip = Order(CircuitCommand.Trip);
        circuit.Obey(trip, At(0.5)).Should().Be(new Obedience(true, 0, 0, 0, Seconds(1.5)));
        circuit.Obey(trip, At(2)).IsObeyed.Should().BeTrue();
        circuit.Obey(Order(CircuitCommand.Trip), At(3)).IsObeyed.Should().BeTrue();
    }

    [Fact]
    public void Reset_ReturnsWhenThoseWhoListenHaveHeardOfIt()
    {
        var circuit = New();
        circuit.Obey(Order(CircuitCommand.Isolate), At(0));
        var (listens, idle) = (new Node(circuit, 1), new Node(circuit, 2));
        idle.Ask(At(1));
        listens.Ask(At(5));
        var reset = Order(CircuitCommand.Reset);
        circuit.Obey(reset, At(5)).Should().Be(new Obedience(true, 1, 0, 0, Seconds(2)));
        listens.Ask(At(5));
        listens.Ask(At(5));
        circuit.Obey(reset, At(5)).Should().Be(new Obedience(true, 0, 1, 0, default));
    }

    [Fact]
    public void Trip_WhileATrialIsOnItsWay_WaitsForThatToo()
    {
        var circuit = HalfOpen();
        var node = new Node(circuit, 1);
        node.Ask(At(10), atTheDoor: 1).Trials.Should().Be(1);
        circuit.Obey(Order(CircuitCommand.Isolate), At(11)).Should().Be(new Obedience(true, 1, 0, 0, Seconds(1)));
    }

    [Fact]
    public void Trip_AskedAboutAgain_IsNotThrownAgain()
    {
        var circuit = New();
        var trip = Order(CircuitCommand.Trip);
        circuit.Obey(trip, At(0));
        circuit.Obey(trip, At(1));
        circuit.Describe(At(1)).RetryAfter.Should().Be(Seconds(9));
    }

    [Fact]
    public void Trip_NodeThatWasLentAnewSince_IsHeldAgainstWhatItHadThen()
    {
        // It knows of the trip, and of the reset after it, and has a new verdict: that one need not run out.
        var circuit = New();
        var node = new Node(circuit, 1);
        node.Ask(At(5));
        var trip = Order(CircuitCommand.Trip);
        circuit.Obey(trip, At(6));
        circuit.Obey(Order(CircuitCommand.Reset), At(6.1));
        node.Ask(At(6.9)).State.Should().Be(CircuitState.Closed);
        circuit.Obey(trip, At(6.95)).ObeyedAfter.Should().Be(Seconds(0.05));
        circuit.Obey(trip, At(7)).Should().Match<Obedience>(it => it.IsObeyed && it.RanOut == 1);
    }

    [Fact]
    public void Obey_WhatIsNoOrder_IsRefusedAndChangesNothing()
    {
        var circuit = New();
        circuit.Invoking(it => it.Obey(Order(CircuitCommand.None), At(0))).Should().Throw<ArgumentOutOfRangeException>();
        circuit.Invoking(it => it.Obey(Order(CircuitCommand.Trip, new string('x', 1_001)), At(0))).Should().Throw<ArgumentException>();
        circuit.Describe(At(0)).State.Should().Be(CircuitState.Closed);
        circuit.Obey(Order(CircuitCommand.Isolate, new string('x', 1_000)), At(0));
        circuit.Describe(At(0)).State.Should().Be(CircuitState.Isolated);
    }

    [Fact]
    public void Hints_OfAChange_GoToThoseWhoMayGoByWhatWas()
    {
        var circuit = New(policy => policy.FailureThreshold = 2);
        var (one, silent, deaf) = (new Node(circuit, 1, isListening: true), new Node(circuit, 2, isListening: true), new Node(circuit, 3));
        silent.Ask(At(0));
        one.Ask(At(5));
        deaf.Ask(At(5));
        Hinted(circuit, At(5)).Should().BeEmpty();
        deaf.Tell(At(5), Failed(1));
        Hinted(circuit, At(5)).Should().Equal([1], "something fails");
        Hinted(circuit, At(5)).Should().BeEmpty("once");
        deaf.Tell(At(5), Failed(1));
        Hinted(circuit, At(5)).Should().Equal([1], "it has opened");
        one.Ask(At(14));
        circuit.Describe(At(15));
        Hinted(circuit, At(15)).Should().BeEmpty("that the cool-down is over they know");
        one.Ask(At(15));
        circuit.ChangeTo(new CircuitBreakerPolicy { HalfOpenMaxCalls = 7 }, At(15));
        Hinted(circuit, At(15)).Should().BeEmpty("nothing has changed for them");
        circuit.Obey(Order(CircuitCommand.Reset), At(15));
        Hinted(circuit, At(15)).Should().Equal([1]);
        one.Ask(At(15));
        deaf.Tell(At(15), new CircuitNews(circuit.Describe(At(15)).Generation, 0, CircuitOutcome.Failed, 2));
        Hinted(circuit, At(15)).Should().Equal([1], "it has opened, and did not show that it failed before");
    }

    [Fact]
    public void Hints_ThatSomethingFailsAgain_AreFew()
    {
        var circuit = New();
        var (failing, other) = (new Node(circuit, 1), new Node(circuit, 2, isListening: true));
        other.Ask(At(5));
        var hints = 0;
        for (var i = 0; i < 100; i++)
        {
            failing.Tell(At(5 + (i / 100.0)), Failed(1), new CircuitNews(1, 0, CircuitOutcome.Succeeded, 1));
            failing.Tell(At(5 + (i / 100.0)), Failed(1));
            hints += Hinted(circuit, At(5 + (i / 100.0))).Length;
            failing.Tell(At(5 + (i / 100.0)), new CircuitNews(1, 0, CircuitOutcome.Succeeded, 1));
        }

        hints.Should().Be(4, "one in 250 ms");
    }

    [Fact]
    public void Hints_OfWhatADirectCallerOrANewPolicyChanges_GoToTheNodesToo()
    {
        var circuit = New();
        var node = new Node(circuit, 1, isListening: true);
        node.Ask(At(5));
        circuit.Report(Failed(2), At(5));
        Hinted(circuit, At(5)).Should().Equal([1]);
        node.Ask(At(5));
        node.Ask(At(5));
        circuit.ChangeTo(new CircuitBreakerPolicy { FailureThreshold = 2 }, At(5));
        Hinted(circuit, At(5)).Should().Equal([1]);
        node.Ask(At(5)).Should().Match<VerdictGrant>(grant => grant.State == CircuitState.Open && grant.Cause == CircuitCause.PolicyChanged);
    }

    [Fact]
    public void Hints_ToOneWhoKnowsAlready_AreNotGiven()
    {
        var circuit = New(policy => policy.FailureThreshold = 1);
        var node = new Node(circuit, 1, isListening: true);
        node.Ask(At(5));
        node.Tell(At(5), Failed(1));
        node.Ask(At(5));
        Hinted(circuit, At(5)).Should().BeEmpty();
    }

    [Fact]
    public void Quorum_OneNodeThatFails_IsRejectedAlone()
    {
        var circuit = New(policy => (policy.QuorumNodes, policy.FailureThreshold) = (2, 3));
        var (bad, good) = (new Node(circuit, 1), new Node(circuit, 2));
        bad.Tell(At(0), Failed(3)).Should().Match<VerdictGrant>(grant => grant.State == CircuitState.Open && grant.RetryAfter == Seconds(10));
        good.Ask(At(0)).State.Should().Be(CircuitState.Closed);
        circuit.Describe(At(0)).State.Should().Be(CircuitState.Closed);
        circuit.MemorableUntil.Should().Be(At(10) + CircuitStates.RememberedFor);

        var trial = bad.Ask(At(10), atTheDoor: 1);
        trial.Trials.Should().Be(1, "it has trials of its own");
        bad.Tell(At(10), new CircuitNews(trial.Generation, trial.FirstTrial, CircuitOutcome.Succeeded, 1)).State.Should().Be(CircuitState.Closed);
    }

    [Fact]
    public void Quorum_OfFailingNodes_OpensForAll()
    {
        var circuit = New(policy => (policy.QuorumNodes, policy.FailureThreshold) = (2, 3));
        var (one, two, good) = (new Node(circuit, 1), new Node(circuit, 2), new Node(circuit, 3));
        one.Tell(At(0), Failed(3));
        two.Tell(At(1), Failed(2)).State.Should().Be(CircuitState.Closed);
        two.Tell(At(1), Failed(1)).Cause.Should().Be(CircuitCause.Quorum);
        good.Ask(At(1)).Should().Match<VerdictGrant>(grant => grant.State == CircuitState.Open && grant.RetryAfter == Seconds(10));

        var trial = good.Ask(At(11), atTheDoor: 1);
        good.Tell(At(11), new CircuitNews(trial.Generation, trial.FirstTrial, CircuitOutcome.Succeeded, 1)).State.Should().Be(CircuitState.Closed);
        one.Ask(At(11)).State.Should().Be(CircuitState.Closed, "what each saw is forgotten with it");
    }

    [Fact]
    public void Quorum_OfANewPolicy_IsThatOfToday()
    {
        var circuit = New(policy => (policy.QuorumNodes, policy.FailureThreshold) = (2, 3));
        new Node(circuit, 1).Tell(At(0), Failed(3));
        circuit.ChangeTo(new CircuitBreakerPolicy { QuorumNodes = 1, FailureThreshold = 3 }, At(1));
        new Node(circuit, 1).Ask(At(1)).State.Should().Be(CircuitState.Closed, "there are no circuits of single nodes any more");
        circuit.ChangeTo(new CircuitBreakerPolicy { QuorumNodes = 2, FailureThreshold = 3 }, At(1));
        var pass = circuit.Enter(At(1));
        pass.IsAdmitted.Should().BeTrue();
        circuit.Report(new CircuitNews(pass.Generation, 0, CircuitOutcome.Failed, 3), At(1));
        circuit.Enter(At(1)).IsAdmitted.Should().BeFalse("those without the client library count as one node");
        circuit.Describe(At(1)).State.Should().Be(CircuitState.Closed);
    }

    [Fact]
    public void Quorum_OfANewPolicy_ReachesTheCircuitsOfSingleNodes()
    {
        var circuit = New(policy => (policy.QuorumNodes, policy.FailureThreshold) = (2, 5));
        var (one, two) = (new Node(circuit, 1), new Node(circuit, 2));
        one.Tell(At(0), Failed(3));
        two.Tell(At(0), Failed(2));
        circuit.ChangeTo(new CircuitBreakerPolicy { QuorumNodes = 2, FailureThreshold = 3 }, At(1));
        one.Ask(At(1)).Should().Match<VerdictGrant>(grant => grant.State == CircuitState.Open && grant.Cause == CircuitCause.PolicyChanged);
        two.Ask(At(1)).State.Should().Be(CircuitState.Closed);
        circuit.ChangeTo(new CircuitBreakerPolicy { QuorumNodes = 2, FailureThreshold = 2 }, At(1));
        two.Ask(At(1)).Cause.Should().Be(CircuitCause.Quorum);
    }

    [Fact]
    public void Quorum_OpenForAll_IsOpenedOnceByIt()
    {
        var circuit = New(policy => (policy.QuorumNodes, policy.FailureThreshold) = (2, 1));
        circuit.Obey(Order(CircuitCommand.Isolate), At(0));
        circuit.ChangeTo(new CircuitBreakerPolicy { QuorumNodes = 2, FailureThreshold = 1, CoolDown = Seconds(10) }, At(0));
        circuit.Describe(At(0)).Cause.Should().Be(CircuitCause.Isolated);
        circuit.Obey(Order(CircuitCommand.Reset), At(0));
        var (one, two, three) = (new Node(circuit, 1), new Node(circuit, 2), new Node(circuit, 3));
        three.Ask(At(0));
        one.Tell(At(0), Failed(1));
        two.Tell(At(0), Failed(1));
        three.Tell(At(1), Failed(1));
        circuit.Describe(At(1)).RetryAfter.Should().Be(Seconds(9), "what is told later is of an older generation");
    }

    [Fact]
    public void Obey_AfterTheCoolDown_ComesAfterIt()
    {
        var circuit = New();
        circuit.Obey(Order(CircuitCommand.Trip), At(0));
        var before = circuit.Describe(At(0)).Generation;
        circuit.Obey(Order(CircuitCommand.Isolate), At(20));
        circuit.Describe(At(20)).Generation.Should().Be(before + 2, "it was half open in between");
        circuit.ChangeTo(new CircuitBreakerPolicy(), At(20));
        circuit.Describe(At(20)).Generation.Should().Be(before + 2);
    }

    [Fact]
    public void Obey_OrderOfLongAgo_IsForgottenAndThrownAnew()
    {
        var circuit = New();
        var trip = Order(CircuitCommand.Trip);
        circuit.Obey(trip, At(0));
        circuit.Obey(Order(CircuitCommand.Trip), At(1_000));
        circuit.Obey(trip, At(1_005));
        circuit.Describe(At(1_005)).RetryAfter.Should().Be(Seconds(10));
    }

    [Fact]
    public void Refusals_OfWhatIsImpossible_SayWhatIs()
    {
        var circuit = New();
        circuit.Invoking(it => it.Obey(Order(CircuitCommand.None), At(0)))
            .Should().Throw<ArgumentException>().WithMessage("*Trip, Isolate or Reset*");
        circuit.Invoking(it => it.Obey(Order(CircuitCommand.Trip, new string('x', 1_001)), At(0)))
            .Should().Throw<ArgumentException>().WithMessage("*1000 characters*");
        circuit.Invoking(it => it.Report(new CircuitNews(1, 0, (CircuitOutcome)9, 1), At(0)))
            .Should().Throw<ArgumentException>().WithMessage("*Ignored, Succeeded or Failed*");
        circuit.Invoking(it => it.Report(Failed(0), At(0))).Should().Throw<ArgumentException>().WithMessage("*At least one call*");
        circuit.Invoking(it => it.Renew(default, At(0))).Should().Throw<ArgumentException>().WithMessage("*No node has such a view*");
    }

    [Fact]
    public void Shed_CallsAreTold_AndTheShareFollows()
    {
        var circuit = New(policy => policy.SheddingFactor = 2);
        var node = new Node(circuit, 1);
        node.Tell(At(0), new CircuitNews(1, 0, CircuitOutcome.Succeeded, 10), Failed(29)).Share.Should().Be(21.0 / 40);
        circuit.Renew(node.Request(9) with { Shed = 40 }, At(0)).Should().Match<VerdictGrant>(grant => grant.Share == 21.0 / 80 && !grant.IsFailing);
    }

    [Fact]
    public void Renew_AnyState_SaysWhyAndByWhichPolicy()
    {
        var circuit = New();
        var node = new Node(circuit, 1);
        node.Ask(At(0)).Policy!.CoolDown.Should().Be(Seconds(10));
        circuit.Obey(Order(CircuitCommand.Isolate, "a fire"), At(1));
        node.Ask(At(1)).Should().Match<VerdictGrant>(grant => grant.Cause == CircuitCause.Isolated && grant.Reason == "a fire"
            && grant.RetryAfter == null && grant.State == CircuitState.Isolated && grant.Trials == 0);
        circuit.Describe(At(1)).Nodes.Should().Be(1, "what it was told before has not run out");
        circuit.Describe(At(2)).Nodes.Should().Be(0);
    }

    [Fact]
    public void Renew_WhereAllAreCounted_NobodyIsToldThatSomethingFails()
    {
        foreach (var configure in new Action<CircuitBreakerPolicy>[] { policy => policy.FailureRatio = 0.5, policy => policy.SheddingFactor = 2 })
        {
            var node = new Node(New(configure), 1);
            node.Tell(At(0), Failed(1)).Should().Match<VerdictGrant>(grant => !grant.IsFailing && grant.State == CircuitState.Closed);
        }
    }

    [Fact]
    public void Renew_TrialsInHalfOpen_AreAsManyAsAreWantedAndFree()
    {
        var circuit = HalfOpen(trials: 3);
        var (one, other) = (new Node(circuit, 1), new Node(circuit, 2));
        var first = one.Ask(At(10), atTheDoor: 2);
        (first.Trials, first.ComeBackAfter).Should().Be((2, default));
        first.FirstTrial.Should().Be(first.Generation + 1);
        one.Tell(At(10), new CircuitNews(first.Generation, first.FirstTrial, CircuitOutcome.Ignored, 1));
        circuit.Describe(At(10)).TrialsInFlight.Should().Be(0, "the other one was not named");
        one.Ask(At(10), atTheDoor: 2).FirstTrial.Should().Be(first.FirstTrial + 2);
        var second = other.Ask(At(10), atTheDoor: 2);
        (second.Trials, second.ComeBackAfter).Should().Be((1, Circuit.ComeBackAfter));
        second.FirstTrial.Should().Be(first.FirstTrial + 4, "numbers follow each other");
    }

    [Fact]
    public void Switches_Several_AreEachObeyedByThemselves()
    {
        var switches = new PendingOrders();
        var holder = new VerdictHolders().Hear(new Borrower(Guid.NewGuid(), 1), At(0));
        var (first, second) = (_asker.Next().Key, _asker.Next().Key);
        switches.Look(first, At(0)).Should().BeNull();
        switches.Give(first, 5, [(holder, At(2))], At(0), At(0));
        switches.Give(second, 6, [(holder, At(3)), (holder, At(0.5))], At(1), At(0.5));
        switches.Count.Should().Be(2);
        switches.Look(second, At(0.5)).Should().Be(new Obedience(true, 1, 0, 0, Seconds(2.5)), "of two verdicts one has run out before");
        holder.Knows = 5;
        switches.AreAllObeyed(At(1)).Should().BeFalse();
        switches.Look(first, At(1)).Should().Be(new Obedience(true, 0, 1, 0, default));
        switches.Look(second, At(1))!.Value.IsObeyed.Should().BeFalse();
        holder.Knows = 6;
        switches.AreAllObeyed(At(1)).Should().BeTrue();
        switches.Look(second, At(2));
        switches.Forget(At(2));
        switches.Look(first, At(2)).Should().BeNull("nobody has asked for it lately");
        switches.Look(second, At(2)).Should().NotBeNull();
        switches.Give(first, 7, [], At(4), At(2));
        switches.Look(first, At(3)).Should().Be(new Obedience(true, 0, 0, 0, Seconds(1)), "somebody unknown may not obey");
        switches.AreAllObeyed(At(3)).Should().BeFalse();
        switches.AreAllObeyed(At(4)).Should().BeTrue();
    }

    [Fact]
    public void Quorum_CoolDownOfOneNode_EndsByItself()
    {
        var circuit = New(policy => (policy.QuorumNodes, policy.FailureThreshold, policy.TrialLease) = (2, 1, Seconds(1)));
        var bad = new Node(circuit, 1);
        bad.Tell(At(0), Failed(1)).RetryAfter.Should().Be(Seconds(10));
        bad.Ask(At(10), atTheDoor: 1).Trials.Should().Be(1);
        bad.Ask(At(9.9)).State.Should().Be(CircuitState.HalfOpen, "a clock that steps back undoes nothing");
        var trial = bad.Ask(At(10), atTheDoor: 1);
        bad.Name(At(11), trial.FirstTrial).Should().Match<VerdictGrant>(
            grant => grant.State == CircuitState.Open && grant.Cause == CircuitCause.TrialUnanswered && grant.RetryAfter == Seconds(10));
        new Node(circuit, 2).Tell(At(12), Failed(1)).Cause.Should().Be(CircuitCause.Quorum, "two are open for themselves");
    }

    [Fact]
    public void Holders_SilentForLong_AreForgotten()
    {
        var holders = new VerdictHolders();
        var (one, two) = (new Borrower(Guid.NewGuid(), 1), new Borrower(Guid.NewGuid(), 1));
        var first = holders.Hear(one, At(0));
        holders.Hear(two, At(1));
        holders.Hear(one, At(2)).Should().BeSameAs(first);
        holders.ForgetSilent(At(1), At(3));
        holders.Known.Should().HaveCount(2);
        holders.ForgetSilent(At(1.5), At(3));
        holders.Known.Should().Equal(first);
        first.Own = new CircuitStates(new CircuitBreakerPolicy(), new Trials(1), 1);
        first.Own.Isolate(null);
        holders.ForgetSilent(At(3), At(4));
        holders.Known.Should().Equal([first], "its own circuit is worth remembering");
        first.HeardAt.Should().Be(At(2), "and it is not heard for that");
        first.Own.Reset(null);
        holders.ForgetSilent(At(4.1), At(5));
        holders.Hear(one, At(3)).Should().NotBeSameAs(first);
    }

    private static int[] Hinted(Circuit circuit, Instant now) => [.. circuit.TakeHints(now).Select(holder => holder.Borrower.Channel)];

    private static CircuitNews Failed(int calls) => new(1, 0, CircuitOutcome.Failed, calls);

    private static Circuit New(Action<CircuitBreakerPolicy>? configure = null)
    {
        var policy = new CircuitBreakerPolicy { CoolDown = Seconds(10) };
        configure?.Invoke(policy);
        policy.Validate().Should().BeEmpty();
        return new Circuit(policy, At(0), new(1, Predecessor.None));
    }

    // Since 10 s.
    private Circuit HalfOpen(int trials = 1)
    {
        var circuit = New(policy => policy.HalfOpenMaxCalls = trials);
        circuit.Obey(Order(CircuitCommand.Trip), At(0));
        return circuit;
    }

    private CircuitOrder Order(CircuitCommand command, string? reason = null) => new(_asker.Next(), command, reason, default);

    private sealed class Node(Circuit circuit, int number, bool isListening = false) : INodeObserver
    {
        private VerdictRequest _last;
        private long _sequence;
        private long _version;
        private long _generation;

        public VerdictRequest Request(long sequence) =>
            new(new Borrower(new Guid(number, 0, 0, new byte[8]), number), sequence, 1, _version, 0, null, null, 0, isListening ? this : null);

        public VerdictGrant Ask(Instant now, int atTheDoor = 0) => Send(Request(++_sequence) with { AtTheDoor = atTheDoor }, now);

        /// <summary>News of generation 1 is made one of what the node heard last.</summary>
        public VerdictGrant Tell(Instant now, params CircuitNews[] news)
        {
            if (_generation == 0)
                Ask(now);
            var ofToday = news.Select(one => one.Generation == 1 ? one with { Generation = _generation } : one);
            return Send(Request(++_sequence) with { Outcomes = [.. ofToday] }, now);
        }

        public VerdictGrant Name(Instant now, long trial) => Send(Request(++_sequence) with { Trials = [trial] }, now);

        public VerdictGrant Repeat(Instant now) => circuit.Renew(_last, now);

        void INodeObserver.Changed(int channel, long epoch, long version, int wanted) => throw new NotSupportedException();

        private VerdictGrant Send(VerdictRequest request, Instant now)
        {
            _last = request;
            var grant = circuit.Renew(request, now);
            (_version, _generation) = (grant.Version, grant.Generation);
            return grant;
        }
    }
}
