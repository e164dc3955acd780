using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class SlotStockTests
{
    private const long Epoch = 1_000;

    private readonly SlotStock _stock = new(new Borrower(new Guid(1, 0, 0, new byte[8]), 1), "this one");
    private readonly SlotLedger _ledger = new(new BulkheadPolicy { Capacity = 4 }, At(0), new(Epoch, Predecessor.None));
    private readonly SlotBorrower _other = new(2);

    [Fact]
    public void Stock_FirstCaller_AsksAndIsServedByTheAnswer()
    {
        var caller = _stock.Acquire(2, mayWait: true, At(0));
        caller.Fate.Should().Be(SlotFate.InLine);
        _stock.TryAsk(At(0), null, out var request).Should().BeTrue();
        request.Asks.Should().Equal(new SlotsAsk(2, 1, true));
        (request.Sequence, request.Epoch, request.Held, request.InUse, request.Waiting, request.NodeName).Should().Be((1, 0, 0, 0, 1, "this one"));
        _stock.TryAsk(At(0), null, out _).Should().BeFalse("one is in flight");
        _stock.Take(_ledger.Renew(request, At(0)), At(0.1));
        caller.Fate.Should().Be(SlotFate.Admitted);
        _stock.TakeDecided().Should().Equal(caller);
        _stock.TakeDecided().Should().BeEmpty();
        (_stock.Held, _stock.Idle).Should().Be((2, 0));
        caller.Lot.ValidUntil.Should().Be(At(14.85), "counted from the asking, and one percent sooner");
        _stock.TryAsk(At(0.1), null, out _).Should().BeFalse();
    }

    [Fact]
    public void Stock_CallersWhileARequestIsInFlight_AreAskedForTogetherAfterIt()
    {
        var first = _stock.Acquire(1, true, At(0));
        var request = Ask(At(0));
        (int Slots, bool MayWait)[] wanted = [(1, true), (1, false), (1, true), (2, true)];
        var later = Array.ConvertAll(wanted, each => _stock.Acquire(each.Slots, each.MayWait, At(0)));
        _stock.Take(_ledger.Renew(request, At(0)), At(0));
        first.Fate.Should().Be(SlotFate.Admitted);
        Ask(At(0)).Asks.Should().Equal(new SlotsAsk(1, 1, true), new SlotsAsk(1, 1, false), new SlotsAsk(1, 1, true), new SlotsAsk(2, 1, true));
        later.Should().OnlyContain(static caller => caller.Fate == SlotFate.InLine);
    }

    [Fact]
    public void Stock_LongLine_TellsItsBeginningAndHowManyWait()
    {
        for (var i = 0; i < 300; i++)
            _stock.Acquire(1, true, At(0));
        var request = Ask(At(0));
        (request.Waiting, request.Asks!.Single()).Should().Be((300, new SlotsAsk(1, SlotsRequest.MostAsked, true)));
        _stock.Take(_ledger.Renew(request, At(0)), At(0));
        (_stock.InLine, _ledger.Waiting).Should().Be((296, 296));
        Talk(At(0.4));
        _ledger.Waiting.Should().Be(296);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Stock_MoreCallersThanOneRequestAsksFor_AreServedByTheNext(bool mayWait)
    {
        // Those beyond were refused as if the queue were full, or forgotten until something else happened.
        var ledger = new SlotLedger(new BulkheadPolicy { Capacity = 600, QueueLimit = 5 }, At(0), new(Epoch, Predecessor.None));
        SlotCaller[] callers = [.. Enumerable.Range(0, 600).Select(_ => _stock.Acquire(1, mayWait, At(0)))];
        for (var i = 0; i < 3; i++)
            _stock.Take(ledger.Renew(Ask(At(0)), At(0)), At(0));
        callers.Should().OnlyContain(static caller => caller.Fate == SlotFate.Admitted);
        _stock.TryAsk(At(0), null, out _).Should().BeFalse();
    }

    [Fact]
    public void Stock_TriesAheadOfWaitersInALongLine_DoNotCostThemTheirPlaces()
    {
        _other.Ask(_ledger, At(0), 4);
        _other.Ask(_ledger, At(0)); // all are in use
        var tries = Enumerable.Range(0, 300).Select(_ => _stock.Acquire(1, false, At(0))).ToArray();
        var waiter = _stock.Acquire(1, true, At(0));
        Talk(At(0));
        tries.Should().OnlyContain(static caller => caller.Fate == SlotFate.Refused);
        waiter.Fate.Should().Be(SlotFate.InLine);
        _ledger.Waiting.Should().Be(1);
    }

    [Fact]
    public void Stock_ClosedAndReopened_IsAskedForByWhoGoesByWhatIsAtHand()
    {
        var order = new Asker(7);
        _stock.Attempt(1, At(0));
        _ledger.Obey(new SlotOrder(order.Next(), SlotCommand.Close, default), At(0));
        Talk(At(0));
        _stock.IsClosed.Should().BeTrue();
        _ledger.Obey(new SlotOrder(order.Next(), SlotCommand.Reopen, default), At(1));
        _stock.Attempt(1, At(1)).Should().BeNull();
        Talk(At(1));
        _stock.Attempt(1, At(1)).Should().NotBeNull();
    }

    [Fact]
    public void Stock_ErrorToOneWhoAsks_LeavesWhatIsHeld()
    {
        // The policy is taken out of the configuration: who asks, hears that; who holds something, goes on.
        var held = Admitted(2);
        var caller = _stock.Acquire(3, true, At(6));
        _stock.Fail(Ask(At(6)).Sequence, isSilent: false, 0, At(6));
        caller.Fate.Should().Be(SlotFate.Failed);
        var request = Ask(At(6));
        (request.Asks, request.Held).Should().Be((null, 2));
        _stock.Take(_ledger.Renew(request, At(6)), At(6));
        held.Lot.ValidUntil.Should().Be(At(20.85));
    }

    [Fact]
    public void Stock_FreedSlot_IsForTheNextHereIfNobodyWaitsElsewhere()
    {
        var held = Admitted(4);
        var waiter = _stock.Acquire(1, true, At(0));
        Talk(At(0));
        _stock.Release(held.Lot, 4, At(1));
        waiter.Fate.Should().Be(SlotFate.Admitted);
        _stock.Idle.Should().Be(3);
        Talk(At(1));
        _ledger.Waiting.Should().Be(0, "it has left the line");
        _stock.Lot.TryTake(3, At(1)).Should().BeTrue();
        _stock.Lot.TryTake(1, At(1)).Should().BeFalse();
        _stock.Lot.TryGiveBack(3).Should().BeTrue();
    }

    [Fact]
    public void Stock_FreedSlot_GoesBackWhileOthersWait()
    {
        var held = Admitted(4);
        _other.Ask(_ledger, At(0), 2);
        Hint(At(0));
        _stock.Wanted.Should().Be(2);
        held.Lot.TryGiveBack(1).Should().BeFalse("others wait");
        _stock.Release(held.Lot, 1, At(1));
        _stock.Acquire(1, false, At(1)).Fate.Should().Be(SlotFate.InLine, "he overtakes nobody");
        Talk(At(1));
        _ledger.Lent.Should().Be(3);
        _other.Ask(_ledger, At(1), 2).Slots.Should().Be(1);
        _stock.Release(held.Lot, 3, At(2));
        Talk(At(2));
        (_stock.Held, _stock.Wanted).Should().Be((2, 0), "one more was wanted, and no more than that");
        _stock.Lot.TryTake(2, At(2)).Should().BeTrue();
    }

    [Fact]
    public void Stock_HintWhileARequestIsInFlight_IsNotForgottenForAnOlderAnswer()
    {
        var held = Admitted(4);
        var request = AskAnyhow(At(5));
        var answer = _ledger.Renew(request, At(5));
        _other.Ask(_ledger, At(5), 1);
        Hint(At(5.1));
        _stock.Take(answer, At(5.2));
        _stock.Wanted.Should().Be(1);
        _stock.Release(held.Lot, 1, At(5.3));
        Talk(At(5.3));
        _ledger.Lent.Should().Be(3);
    }

    [Fact]
    public void Stock_HintOfAnOlderAuthority_IsNoReason()
    {
        Admitted(4);
        _stock.Hint(Epoch - 1, 9, 3, At(1));
        _stock.Wanted.Should().Be(0);
        _stock.TryAsk(At(1), null, out _).Should().BeFalse();
        _stock.Hint(Epoch, 1, 0, At(1));
        _stock.TryAsk(At(1), null, out _).Should().BeFalse("nobody waits here, and it knows the version");
        _stock.Hint(Epoch + 1, 1, 0, At(1));
        _stock.TryAsk(At(1), null, out _).Should().BeTrue();
    }

    [Fact]
    public void Stock_WhoWaits_IsServedInOrderAlsoWhenTheFirstWantsMore()
    {
        var held = Admitted(4);
        var (large, small) = (_stock.Acquire(3, true, At(0)), _stock.Acquire(1, true, At(0)));
        Talk(At(0));
        _stock.Release(held.Lot, 1, At(1));
        (large.Fate, small.Fate).Should().Be((SlotFate.InLine, SlotFate.InLine));
        Talk(At(1));
        _ledger.Lent.Should().Be(3, "what is not enough here may be enough elsewhere");
        _stock.Release(held.Lot, 3, At(2));
        Talk(At(2));
        (large.Fate, small.Fate).Should().Be((SlotFate.Admitted, SlotFate.Admitted));
    }

    [Fact]
    public void Stock_GrantForOneWhoHasGone_IsForTheNext()
    {
        var gone = _stock.Acquire(1, true, At(0));
        var request = Ask(At(0));
        var next = _stock.Acquire(1, true, At(0));
        _stock.Leave(gone, At(0));
        gone.Fate.Should().Be(SlotFate.Gone);
        _stock.Take(_ledger.Renew(request, At(0)), At(0));
        next.Fate.Should().Be(SlotFate.Admitted);
        _stock.Leave(next, At(0));
        next.Fate.Should().Be(SlotFate.Admitted, "he has his slot already");
    }

    [Fact]
    public void Stock_GrantForOneWhoHasGone_GoesBackAtOnceIfOthersWait()
    {
        var gone = _stock.Acquire(1, true, At(0));
        var request = Ask(At(0));
        _stock.Leave(gone, At(0));
        var grant = _ledger.Renew(request, At(0)) with { Wanted = 1 };
        _stock.Take(grant, At(0));
        Ask(At(0)).Held.Should().Be(0);
    }

    [Fact]
    public void Stock_Try_IsDecidedByTheAnswer()
    {
        _other.Ask(_ledger, At(0), 4);
        _other.Ask(_ledger, At(0)); // all are in use
        var caller = _stock.Acquire(1, mayWait: false, At(0));
        caller.Fate.Should().Be(SlotFate.InLine);
        Talk(At(0));
        (caller.Fate, caller.Reason).Should().Be((SlotFate.Refused, RefusalReason.NoFreeSlot));

        _stock.Acquire(1, mayWait: true, At(1));
        Talk(At(1));
        var other = _stock.Acquire(1, mayWait: false, At(1));
        (other.Fate, other.Reason).Should().Be((SlotFate.Refused, RefusalReason.NoFreeSlot), "others wait already: there is nothing to ask");
    }

    [Fact]
    public void Stock_TryWhileSlotsLieIdleElsewhere_CallsThemBack()
    {
        _other.Ask(_ledger, At(0), 4);
        _other.Ask(_ledger, At(0), [], inUse: 1);
        var served = _stock.Acquire(1, mayWait: false, At(1));
        Talk(At(1));
        served.Fate.Should().Be(SlotFate.InLine, "they are called back");
        _ledger.TakeHints(At(1)).Should().ContainSingle().Which.Borrower.Should().Be(_other.Holder);
        _other.GiveBack(_ledger, At(1.01));
        Hint(At(1.02));
        Talk(At(1.02));
        served.Fate.Should().Be(SlotFate.Admitted);

        _other.Ask(_ledger, At(1.9), [], inUse: 0);
        var refused = _stock.Acquire(1, mayWait: false, At(2));
        Talk(At(2));
        refused.Fate.Should().Be(SlotFate.InLine);
        _stock.NextDueAt.Should().Be(At(2) + SlotStock.LookAgainAfter);
        Talk(At(2.05));
        refused.Fate.Should().Be(SlotFate.InLine);
        _stock.Advance(At(2.099));
        refused.Fate.Should().Be(SlotFate.InLine);
        _stock.Advance(At(2.1));
        (refused.Fate, refused.Reason).Should().Be((SlotFate.Refused, RefusalReason.NoFreeSlot));
        Talk(At(2.1));
        _ledger.Waiting.Should().Be(0);

        _other.Ask(_ledger, At(2.9), [], inUse: 0);
        var early = _stock.Acquire(1, mayWait: false, At(3));
        Talk(At(3));
        early.Fate.Should().Be(SlotFate.InLine);
        _other.Ask(_ledger, At(3.005));
        Talk(At(3.02));
        early.Fate.Should().Be(SlotFate.Refused, "all are in use: there is nothing to call back");
    }

    [Fact]
    public void Stock_FullQueue_RefusesTheLastToCome()
    {
        var ledger = new SlotLedger(new BulkheadPolicy { Capacity = 1, QueueLimit = 2 }, At(0), new(Epoch, Predecessor.None));
        _other.Ask(ledger, At(0), 1);
        SlotCaller[] callers = [.. Enumerable.Range(0, 4).Select(_ => _stock.Acquire(1, true, At(0)))];
        _stock.Take(ledger.Renew(Ask(At(0)), At(0)), At(0));
        callers.Select(static caller => caller.Fate).Should().Equal(SlotFate.InLine, SlotFate.InLine, SlotFate.Refused, SlotFate.Refused);
        callers[3].Reason.Should().Be(RefusalReason.QueueFull);
        var late = _stock.Acquire(1, true, At(0));
        _stock.Take(ledger.Renew(Ask(At(0)), At(0)), At(0));
        (late.Fate, callers[1].Fate).Should().Be((SlotFate.Refused, SlotFate.InLine));
    }

    [Fact]
    public void Stock_WantsMoreThanThereIs_IsTold()
    {
        var many = _stock.Acquire(5, true, At(0));
        var one = _stock.Acquire(1, true, At(0));
        Talk(At(0));
        (many.Fate, one.Fate).Should().Be((SlotFate.TooMany, SlotFate.Admitted));
        _stock.Capacity.Should().Be(4);
    }

    [Fact]
    public void Stock_MaxWait_EndsTheWait()
    {
        var ledger = new SlotLedger(new BulkheadPolicy { Capacity = 1, MaxWait = Seconds(3) }, At(0), new(Epoch, Predecessor.None));
        _other.Ask(ledger, At(0), 1);
        var waiter = _stock.Acquire(1, true, At(0));
        _stock.Take(ledger.Renew(Ask(At(0)), At(0)), At(0));
        _stock.Advance(At(2.999));
        waiter.Fate.Should().Be(SlotFate.InLine);
        _stock.Take(ledger.Renew(Ask(At(2.999)), At(2.999)), At(2.999));
        _stock.NextDueAt.Should().Be(At(3));
        _stock.Advance(At(3));
        (waiter.Fate, waiter.Reason).Should().Be((SlotFate.Refused, RefusalReason.WaitExpired));
        _stock.Take(ledger.Renew(Ask(At(3)), At(3)), At(3));
        ledger.Waiting.Should().Be(0);
    }

    [Fact]
    public void Stock_ThatWaits_SaysSoThreeTimesInASecond()
    {
        _other.Ask(_ledger, At(0), 4);
        _stock.Acquire(1, true, At(0));
        Talk(At(0));
        _stock.TryAsk(At(0.33), null, out _).Should().BeFalse();
        _stock.NextDueAt.Should().Be(At(0) + SlotStock.SayAgainAfter);
        _stock.TryAsk(At(0.334), null, out _).Should().BeTrue();
    }

    [Fact]
    public void Stock_Renewal_IsDueAtAThirdOfTheLease()
    {
        Admitted(1);
        _stock.TryAsk(At(4.999), null, out _).Should().BeFalse();
        var request = Ask(At(5));
        (request.Epoch, request.Held, request.InUse).Should().Be((Epoch, 1, 1));
        _stock.NextDueAt.Should().Be(At(14.85), "while the answer is under way, what is held may end");
        _stock.Take(_ledger.Renew(request, At(5)), At(5.1));
        _stock.Lot.ValidUntil.Should().Be(At(19.85));
    }

    [Fact]
    public void Stock_OlderAnswer_DoesNotShortenWhatIsHeld()
    {
        // A renewal's answer overrode the due time of a grant that came later.
        var held = Admitted(1);
        _stock.Take(new SlotsGrant(1, Epoch, 1, 0, 0, 0, Seconds(2), 9, 0, 0, 0, false, 4, null), At(3));
        held.Lot.ValidUntil.Should().Be(At(14.85));
        _stock.Take((_ledger.Renew(Ask(At(5)), At(5))) with { Lease = Seconds(2) }, At(5.1));
        held.Lot.ValidUntil.Should().Be(At(14.85));
    }

    [Fact]
    public void Stock_LoanThatWasNotRenewed_EndsAndItsPermitsAreLost()
    {
        var held = Admitted(2);
        var request = AskAnyhow(At(5));
        _stock.Advance(At(14.849));
        _stock.TakeEnded().Should().BeEmpty();
        _stock.Advance(At(14.85));
        _stock.TakeEnded().Should().Equal(held.Lot);
        (_stock.Held, _stock.Idle).Should().Be((0, 0));
        _stock.Take(_ledger.Renew(request, At(5)), At(14.9));
        _stock.Held.Should().Be(0, "what it was lent before has ended");
        Ask(At(14.9)).Held.Should().Be(0, "the authority must hear of that at once");
        _stock.Release(held.Lot, 2, At(15));
        _stock.Idle.Should().Be(0, "a slot of an ended loan is nobody's here");
    }

    [Fact]
    public void Stock_LoanThatEndsUnused_TellsNobody()
    {
        var held = Admitted(2);
        _stock.Release(held.Lot, 2, At(0.1));
        AskAnyhow(At(5));
        _stock.Advance(At(20));
        _stock.TakeEnded().Should().BeEmpty();
    }

    [Fact]
    public void Stock_AnswerThatIsLateByALease_IsNone()
    {
        var caller = _stock.Acquire(1, true, At(0));
        _stock.Take(_ledger.Renew(Ask(At(0)), At(0)), At(14.85));
        (caller.Fate, caller.Reason, _stock.Held).Should().Be((SlotFate.Refused, RefusalReason.AuthorityUnavailable, 0));
    }

    [Fact]
    public void Stock_AuthorityThatKnowsLessThanItHolds_EndsTheLoan()
    {
        var held = Admitted(2);
        var waiter = _stock.Acquire(3, true, At(1));
        _stock.Take(new SlotsGrant(2, Epoch + 1, 1, 1, 3, 0, Seconds(15), 9, 0, 0, 0, false, 4, null), At(1));
        waiter.Fate.Should().Be(SlotFate.InLine, "it was not asked yet");
        _stock.Take(new SlotsGrant(Ask(At(1)).Sequence, Epoch + 1, 1, 1, 3, 0, Seconds(15), 9, 0, 0, 0, false, 4, null), At(1));
        _stock.TakeEnded().Should().Equal(held.Lot);
        (waiter.Fate, _stock.Held).Should().Be((SlotFate.Admitted, 3));
        waiter.Lot.Should().NotBeSameAs(held.Lot);
        waiter.Lot.Number.Should().Be(9);
    }

    [Fact]
    public void Stock_SilentAuthority_IsDecidedAtOnceAndAskedOnceASecond()
    {
        var held = Admitted(2);
        _other.Ask(_ledger, At(0), 4);
        var waiter = _stock.Acquire(1, true, At(1));
        _stock.Fail(Ask(At(1)).Sequence, isSilent: true, 0.5, At(2));
        (waiter.Fate, waiter.Reason).Should().Be((SlotFate.Refused, RefusalReason.AuthorityUnavailable), "also who was ready to wait");
        _stock.IsAuthorityHeard.Should().BeFalse();
        _stock.Acquire(1, true, At(2)).Reason.Should().Be(RefusalReason.AuthorityUnavailable);
        _stock.TryAsk(At(2.499), null, out _).Should().BeFalse();
        _stock.NextDueAt.Should().Be(At(2.5));
        _stock.Release(held.Lot, 1, At(2.4));
        _stock.Acquire(1, true, At(2.4)).Fate.Should().Be(SlotFate.Admitted, "what it holds is its own until the lease ends");
        Talk(At(2.5));
        _stock.IsAuthorityHeard.Should().BeTrue();
    }

    [Fact]
    public void Stock_SilentAuthorityAndNobodyWhoAsks_IsLeftAlone()
    {
        _stock.Acquire(1, true, At(0));
        _stock.Fail(Ask(At(0)).Sequence, isSilent: true, 1, At(1));
        _stock.NextDueAt.Should().Be(Instant.Never);
        _stock.TryAsk(At(5), null, out _).Should().BeFalse();
        _stock.Acquire(1, true, At(5)).Fate.Should().Be(SlotFate.InLine, "what is known is out of date: he finds out");
        _stock.TryAsk(At(5), null, out _).Should().BeTrue();
        _stock.Acquire(1, true, At(5)).Fate.Should().Be(SlotFate.Refused, "while it is being found out");
    }

    [Fact]
    public void Stock_ErrorOfTheAuthority_IsToldToAllWhoWait_AndThatNobodyWaitsAnyMore()
    {
        _other.Ask(_ledger, At(0), 4);
        var first = _stock.Acquire(1, true, At(0));
        Talk(At(0));
        var second = _stock.Acquire(1, true, At(0));
        _stock.Fail(Ask(At(0)).Sequence, isSilent: false, 0, At(0.1));
        (first.Fate, second.Fate).Should().Be((SlotFate.Failed, SlotFate.Failed));
        Ask(At(0.1)).Waiting.Should().Be(0);
        _stock.Fail(_stock.Awaited, isSilent: false, 0, At(0.2));
        _stock.TryAsk(At(0.2), null, out _).Should().BeFalse("it has been said");
    }

    [Fact]
    public void Stock_Closed_FailsAllAndGivesBackWhatIsFreed()
    {
        var held = Admitted(3);
        var waiter = _stock.Acquire(2, true, At(0));
        Talk(At(0));
        _ledger.Obey(new SlotOrder(new Asker(7).Next(), SlotCommand.Close, default), At(1));
        Hint(At(1));
        _stock.Take(_ledger.Renew(Ask(At(1)), At(1)), At(1));
        waiter.Fate.Should().Be(SlotFate.Closed);
        _stock.IsClosed.Should().BeTrue();
        var told = Ask(At(1));
        told.Version.Should().Be(2, "it says that it knows");
        _stock.Take(_ledger.Renew(told, At(1)), At(1));
        _stock.TryAsk(At(1), null, out _).Should().BeFalse();
        _stock.Release(held.Lot, 3, At(2));
        Ask(At(2)).Held.Should().Be(0);
    }

    [Fact]
    public void Stock_Unused_IsGivenBackAfterASecond()
    {
        var held = Admitted(3);
        _stock.Release(held.Lot, 2, At(0.5));
        _stock.Advance(At(1));
        _stock.TryAsk(At(1), null, out _).Should().BeFalse("it was used within the second");
        _stock.Lot.TryTake(1, At(1.5)).Should().BeTrue();
        _stock.Lot.TryGiveBack(1).Should().BeTrue();
        _stock.Advance(At(2));
        _stock.TryAsk(At(2), null, out _).Should().BeFalse("by a hit, too");
        _stock.Advance(At(3));
        var request = Ask(At(3));
        (request.Held, request.InUse).Should().Be((1, 1));
    }

    [Fact]
    public void Stock_UsedNowAndThen_GivesBackHalfOfWhatLiesIdleEachThirdOfALease()
    {
        var held = Admitted(4);
        _stock.Release(held.Lot, 4, At(0.1));
        for (var second = 1; second <= 5; second++)
        {
            _stock.Lot.TryTake(1, At(second - 0.5)).Should().BeTrue();
            _stock.Lot.TryGiveBack(1);
            _stock.Advance(At(second));
        }

        Ask(At(5)).Held.Should().Be(2);
    }

    [Fact]
    public void Stock_Attempt_AsksForSparesNowAndThen()
    {
        _stock.Attempt(2, At(0)).Should().BeNull();
        Ask(At(0)).Spare.Should().Be(2);
        _stock.Attempt(100, At(0)).Should().BeNull();
        _stock.Take(_ledger.Renew(new SlotsRequest(new Borrower(new Guid(1, 0, 0, new byte[8]), 1), 1, 0, 0, 0, 0, null, 0, 2), At(0)), At(0));
        _stock.Attempt(2, At(0)).Should().BeSameAs(_stock.Lot);
        _stock.Hits.Should().Be(1);
        _other.Ask(_ledger, At(0), 2);
        _stock.Attempt(1, At(1)).Should().BeNull();
        Talk(At(1));
        _stock.Attempt(1, At(1.05)).Should().BeNull();
        _stock.TryAsk(At(1.05), null, out _).Should().BeFalse("there was none a moment ago");
        _stock.Attempt(1, At(1.2)).Should().BeNull();
        Ask(At(1.2)).Spare.Should().Be(1);
    }

    [Fact]
    public void Stock_Epoch_IsToldForALeaseAfterTheLastWord()
    {
        var held = Admitted(1);
        _stock.Release(held.Lot, 1, At(0.1));
        _stock.LetGo(At(0.1));
        Talk(At(0.1));
        _stock.Held.Should().Be(0);
        _stock.NextDueAt.Should().Be(Instant.Never, "there is nothing to say");
        _stock.Acquire(1, true, At(14.9));
        Ask(At(14.9)).Epoch.Should().Be(Epoch);
        _stock.Fail(_stock.Awaited, isSilent: true, 0, At(15));
        _stock.Acquire(1, true, At(16));
        Ask(At(16)).Epoch.Should().Be(0, "what an authority lent that it heard of then, has ended");
    }

    [Fact]
    public void Lot_Hits_EndBeforeTheLoanByWhatTheirClockMayBeBehind()
    {
        Admitted(1);
        _stock.Release(_stock.Lot, 1, At(1));
        _stock.Lot.TryTake(1, At(14.599)).Should().BeTrue();
        _stock.Lot.TryGiveBack(1);
        _stock.Lot.TryTake(1, At(14.6)).Should().BeFalse();
        _stock.Lot.TryTake(2, At(1)).Should().BeFalse();
    }

    [Fact]
    public void Lot_Shut_GivesNothingAndTakesNothing()
    {
        var lot = new SlotLot { ValidUntil = At(100) };
        (lot.TryTake(1, At(0)), lot.TryGiveBack(1), lot.Free, lot.Shut()).Should().Be((false, false, 0, 0));
        lot.Open(3);
        (lot.TryTake(2, At(0)), lot.Free, lot.Hits).Should().Be((true, 1, 1u));
        (lot.TryGiveBack(2), lot.Free, lot.Hits).Should().Be((true, 3, 1u));
        (lot.Shut(), lot.Free, lot.Hits).Should().Be((3, 0, 1u));
        lot.Open(0);
        (lot.TryTake(1, At(0)), lot.TryGiveBack(1), lot.Free, lot.Hits).Should().Be((false, true, 1, 1u));
    }

    [Fact]
    public async Task Lot_ManyThreads_NeverTakeMoreThanThereIs()
    {
        var lot = new SlotLot { ValidUntil = At(100) };
        lot.Open(2);
        var (inside, most, taken) = (0, 0, 0L);
        await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() =>
        {
            for (var i = 0; i < 50_000; i++)
            {
                if (!lot.TryTake(1, At(0)))
                    continue;
                var now = Interlocked.Increment(ref inside);
                if (now > Volatile.Read(ref most))
                    Volatile.Write(ref most, now);
                Interlocked.Increment(ref taken);
                Interlocked.Decrement(ref inside);
                lot.TryGiveBack(1).Should().BeTrue();
            }
        })));
        most.Should().BeInRange(1, 2);
        (lot.Free, (long)lot.Hits).Should().Be((2, taken));
    }

    // Says what there is to say, and takes the answers, until nothing is left.
    private void Talk(Instant now)
    {
        for (var i = 0; i < 10 && _stock.TryAsk(now, null, out var request); i++)
            _stock.Take(_ledger.Renew(request, now), now);
        _stock.Awaited.Should().Be(0);
    }

    private SlotsRequest Ask(Instant now)
    {
        _stock.TryAsk(now, null, out var request).Should().BeTrue();
        return request;
    }

    private SlotsRequest AskAnyhow(Instant now)
    {
        _stock.Advance(now);
        return Ask(now);
    }

    private void Hint(Instant now)
    {
        var loan = _ledger.TakeHints(now).FirstOrDefault(static loan => loan.NodeName == "this one");
        _stock.Hint(Epoch, _ledger.Version, loan?.ToldWanted ?? 0, now);
    }

    private SlotCaller Admitted(int slots)
    {
        var caller = _stock.Acquire(slots, true, At(0));
        Talk(At(0));
        caller.Fate.Should().Be(SlotFate.Admitted);
        return caller;
    }
}
