using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class SlotLedgerTests
{
    private const long Epoch = 1_000;

    private readonly SlotBorrower _a = new(1);
    private readonly SlotBorrower _b = new(2);
    private readonly SlotBorrower _c = new(3);
    private readonly Asker _asker = new(9);

    [Fact]
    public void Ledger_UpToCapacity_Lends()
    {
        var ledger = NewLedger(capacity: 3);
        _a.Ask(ledger, At(0), 2).Should().Match<SlotsGrant>(grant => grant.Slots == 2 && grant.Places == 0 && grant.Lease == Seconds(15));
        _b.Ask(ledger, At(0), 2).Should().Match<SlotsGrant>(grant => grant.Slots == 1 && grant.Places == 1);
        ledger.Waiting.Should().Be(1);
        ledger.Lent.Should().Be(3);
        ledger.Describe(At(0)).AvailableSlots.Should().Be(0);
    }

    [Fact]
    public void Ledger_TryOnAFullOne_IsRefusedAndDoesNotStandInLine()
    {
        var ledger = NewLedger(capacity: 1);
        _a.Ask(ledger, At(0), 1);
        _b.Ask(ledger, At(0), [new SlotsAsk(1, 1, false)]).Should().Match<SlotsGrant>(grant => grant.Slots == 0 && grant.Places == 0);
        ledger.Waiting.Should().Be(0);
    }

    [Fact]
    public void Ledger_Try_OvertakesNobodyWhoWaits()
    {
        var ledger = NewLedger(capacity: 3);
        _a.Ask(ledger, At(0), [new SlotsAsk(2, 1, true)]);
        _b.Ask(ledger, At(0), [new SlotsAsk(3, 1, true)]).Places.Should().Be(1);
        _c.Ask(ledger, At(0.1), [new SlotsAsk(1, 1, false)]).Slots.Should().Be(0, "one is free, but the large one came first");
        _c.Ask(ledger, At(0.2), 1).Slots.Should().Be(0);

        _a.GiveBack(ledger, At(0.3), 2);
        _c.Ask(ledger, At(0.4), 1).Slots.Should().Be(0, "all three are kept for the large one");
        _b.Ask(ledger, At(0.4), [new SlotsAsk(3, 1, true)]).Slots.Should().Be(3);
    }

    [Fact]
    public void Ledger_TryBehindATryForMore_IsServed()
    {
        var ledger = NewLedger(capacity: 4);
        _a.Ask(ledger, At(0), [new SlotsAsk(1, 1, true)]);
        _b.Ask(ledger, At(0), [new SlotsAsk(4, 1, false), new SlotsAsk(2, 2, false), new SlotsAsk(1, 1, true)]).Slots
            .Should().Be(3, "two for the first of those who want two, one for the last");
    }

    [Fact]
    public void Ledger_NodesThatWait_AreServedOneCallerEachInTurn()
    {
        var ledger = NewLedger(capacity: 4);
        _c.Ask(ledger, At(0), 4);
        _a.Ask(ledger, At(0), 3).Places.Should().Be(3);
        _b.Ask(ledger, At(0), 3).Places.Should().Be(3);

        _c.GiveBack(ledger, At(0.1), 3);
        ledger.TakeHints(At(0.1)).Where(static loan => loan.Waiting > 0).Should().HaveCount(2, "one is due to each, and one more to the first");
        _b.Ask(ledger, At(0.1), 3).Slots.Should().Be(1, "its second turn comes after two of the other's");
        _a.Ask(ledger, At(0.1), 3).Slots.Should().Be(2);

        _c.GiveBack(ledger, At(0.2));
        _a.Ask(ledger, At(0.2), 1).Slots.Should().Be(0, "it is the other's turn");
        _b.Ask(ledger, At(0.2), 2).Slots.Should().Be(1);
    }

    [Fact]
    public void Ledger_Newcomer_StandsBehindOneTurnOfEachWhoWaits()
    {
        var ledger = NewLedger(capacity: 3);
        _c.Ask(ledger, At(0), 3);
        _a.Ask(ledger, At(0), 2);
        _c.GiveBack(ledger, At(0.1));
        _a.Ask(ledger, At(0.1), 2).Slots.Should().Be(1);
        _b.Ask(ledger, At(0.1), 1);
        _c.GiveBack(ledger, At(0.2));
        _b.Ask(ledger, At(0.2), 1).Slots.Should().Be(0, "the other's second caller came first");
        _a.Ask(ledger, At(0.2), 1).Slots.Should().Be(1);
        _c.GiveBack(ledger, At(0.3));
        _b.Ask(ledger, At(0.3), 1).Slots.Should().Be(1);
    }

    [Fact]
    public void Ledger_WaiterThatFellSilent_IsPassedOverAndKeepsItsPlaceForALease()
    {
        var ledger = NewLedger(capacity: 1);
        _c.Ask(ledger, At(0), 1);
        _a.Ask(ledger, At(0), 1);
        _b.Ask(ledger, At(0.9), 1);
        _c.GiveBack(ledger, At(0.95));
        _b.Ask(ledger, At(1), 1).Slots.Should().Be(0, "the first may come yet");
        _b.Ask(ledger, At(1.001), 1).Slots.Should().Be(1, "it has been silent for more than a second");
        ledger.Waiting.Should().Be(1);
        ledger.Describe(At(14.999)).Waiting.Should().Be(1);
        ledger.Describe(At(15)).Waiting.Should().Be(0);
    }

    [Fact]
    public void Ledger_OneThatWasPassedOver_GetsNoTurnsInArrears()
    {
        var ledger = NewLedger(capacity: 1);
        _c.Ask(ledger, At(0), 1);
        _a.Ask(ledger, At(0), 5);
        _b.Ask(ledger, At(0), 9);
        _c.GiveBack(ledger, At(1.5));
        for (var i = 0; i < 4; i++)
        {
            _b.Ask(ledger, At(2 + i), 9).Slots.Should().Be(1);
            _b.GiveBack(ledger, At(2 + i), callers: 8);
            if (_b.Held == 1)
                _b.GiveBack(ledger, At(2 + i));
        }

        _b.Ask(ledger, At(6), 9).Slots.Should().Be(1);
        _a.Ask(ledger, At(6), 5);
        _b.GiveBack(ledger, At(6), callers: 8);
        _a.Ask(ledger, At(6), 5).Slots.Should().Be(1);
        _a.GiveBack(ledger, At(6), callers: 4);
        _b.Ask(ledger, At(6), 8).Slots.Should().Be(1, "one each in turn, whatever was missed");
    }

    [Fact]
    public void Ledger_HolderThatFellSilent_LosesItsSlotsAtTheEndOfTheLease()
    {
        var ledger = NewLedger(capacity: 2);
        _a.Ask(ledger, At(0), 2);
        _b.Ask(ledger, At(14.999), 1).Slots.Should().Be(0);
        _b.Ask(ledger, At(15), 1).Slots.Should().Be(1);
        ledger.LentTo(_a.Holder).Should().Be(0);
    }

    [Fact]
    public void Ledger_HolderThatSaysSo_KeepsItsSlots()
    {
        var ledger = NewLedger(capacity: 1);
        _a.Ask(ledger, At(0), 1);
        for (var i = 1; i < 10; i++)
            _a.Ask(ledger, At(14 * i)).Should().Match<SlotsGrant>(grant => grant.Kept == 1 && grant.Slots == 0);
        _b.Ask(ledger, At(126 + 14.9), 1).Slots.Should().Be(0);
    }

    [Fact]
    public void Ledger_WordThatComesAfterTheLease_HoldsNothing()
    {
        var ledger = NewLedger(capacity: 1);
        _a.Ask(ledger, At(0), 1);
        _b.Ask(ledger, At(15), 1).Slots.Should().Be(1);
        _a.Ask(ledger, At(15)).Kept.Should().Be(0, "it is another's by now");
        ledger.Lent.Should().Be(1);
    }

    [Fact]
    public void Ledger_RepeatedRequest_GetsTheSameAnswerAndNothingTwice()
    {
        var ledger = NewLedger(capacity: 3);
        var answer = _a.Ask(ledger, At(0), 2);
        ledger.Renew(_a.Last, At(1)).Should().Be(answer);
        ledger.Lent.Should().Be(2);
        _b.Ask(ledger, At(1), 1).Slots.Should().Be(1);
        ledger.Describe(At(14.999)).Holders.Should().HaveCount(2);
        ledger.Describe(At(15)).Holders.Should().ContainSingle("a repetition extends nothing");
    }

    [Fact]
    public void Ledger_OlderRequest_IsVoid()
    {
        var ledger = NewLedger(capacity: 3);
        _a.Ask(ledger, At(0), 2);
        var older = _a.Last;
        _a.GiveBack(ledger, At(1), 2);
        ledger.Renew(older, At(1)).Should().Be(default(SlotsGrant));
        ledger.Lent.Should().Be(0);
    }

    [Fact]
    public void Ledger_AnswerThatGotLost_IsGivenBackByTheNextRequest()
    {
        var ledger = NewLedger(capacity: 2);
        ledger.Renew(new SlotsRequest(_a.Holder, 1, 0, 0, 0, 0, [new SlotsAsk(1, 2, true)], 2, 0), At(0)).Slots.Should().Be(2);
        var grant = ledger.Renew(new SlotsRequest(_a.Holder, 2, 0, 0, 0, 0, [new SlotsAsk(1, 1, true)], 1, 0), At(1));
        (grant.Kept, grant.Slots, ledger.Lent).Should().Be((0, 1, 1));
    }

    [Fact]
    public void Ledger_Numbers_GrowWithEachGrantAndOnlyWithGrants()
    {
        var ledger = NewLedger(capacity: 3);
        var first = _a.Ask(ledger, At(0), 1).Number;
        first.Should().BeGreaterThan(Epoch);
        _a.Ask(ledger, At(1)).Number.Should().Be(first, "a renewal is no grant");
        var second = _b.Ask(ledger, At(1), 1).Number;
        second.Should().BeGreaterThan(first);
        _a.Ask(ledger, At(2), 1).Number.Should().BeGreaterThan(second);
    }

    [Fact]
    public void Ledger_FullQueue_RefusesTheLastToCome()
    {
        var ledger = NewLedger(capacity: 1, queueLimit: 3);
        _c.Ask(ledger, At(0), 1);
        _a.Ask(ledger, At(0), 2).Places.Should().Be(2);
        _b.Ask(ledger, At(0), 2).Places.Should().Be(1);
        _b.Ask(ledger, At(0.1), 1).Places.Should().Be(1, "who has his place, keeps it");
        _a.Ask(ledger, At(0.1), 3).Places.Should().Be(2);
        ledger.Waiting.Should().Be(3);
        NewLedger(capacity: 1, queueLimit: 0).Renew(_a.Last with { Sequence = 1, Held = 0, InUse = 0, Epoch = 0 }, At(0)).Should()
            .Match<SlotsGrant>(grant => grant.Slots == 1 && grant.Places == 0, "where nobody waits, what is free is given all the same");
    }

    [Fact]
    public void Ledger_QueueLimit_CountsOnlyThoseWhoStillWait()
    {
        var ledger = NewLedger(capacity: 9, queueLimit: 10);
        _a.Ask(ledger, At(0), 10).Should().Match<SlotsGrant>(grant => grant.Slots == 9 && grant.Places == 1);
        _b.Ask(ledger, At(0), 9).Places.Should().Be(9, "nine of the others have been served");
    }

    [Fact]
    public void Ledger_WithoutAQueue_LetsThoseWaitForWhomIdleSlotsAreCalledBack()
    {
        var ledger = NewLedger(capacity: 2, queueLimit: 0);
        _a.Ask(ledger, At(0), 2);
        _b.Ask(ledger, At(0.09), 1).Places.Should().Be(0);
        _a.Ask(ledger, At(1), [], inUse: 1);
        _b.Ask(ledger, At(1), 3).Places.Should().Be(1);
        ledger.TakeHints(At(1)).Should().ContainSingle().Which.Borrower.Should().Be(_a.Holder);
        _a.Ask(ledger, At(1.1));
        _b.Ask(ledger, At(1.2), 1).Places.Should().Be(0, "it has been taken meanwhile");
    }

    [Fact]
    public void Ledger_CloseThatIsStillAskedFor_IsNotGivenAnewAfterAReopen()
    {
        // It was forgotten after two minutes, though somebody waited for it; and closed again what had been reopened.
        var ledger = NewLedger(capacity: 2);
        ledger.ChangeTo(new BulkheadPolicy { Capacity = 2, Lease = TimeSpan.FromHours(1) }, At(0));
        _a.Ask(ledger, At(0), 1);
        var close = new SlotOrder(_asker.Next(), SlotCommand.Close, default);
        for (var i = 1; i < 200; i++)
            ledger.Obey(close, At(i)).IsObeyed.Should().BeFalse();
        ledger.Obey(new SlotOrder(_asker.Next(), SlotCommand.Reopen, default), At(200)).IsObeyed.Should().BeTrue();
        ledger.Obey(close, At(201));
        ledger.IsClosed.Should().BeFalse();
    }

    [Fact]
    public void Ledger_CallerWithoutTheLibrary_IsNotWaitedForWhenItCloses()
    {
        var ledger = NewLedger(capacity: 1);
        ledger.Acquire(1, mayWait: false, At(0), out _);
        ledger.Acquire(1, mayWait: true, At(0), out _);
        ledger.Obey(new SlotOrder(_asker.Next(), SlotCommand.Close, default), At(1)).IsObeyed.Should().BeTrue("he cannot admit anybody");
    }

    [Fact]
    public void Ledger_ShorterLease_ShortensNothingForCallersWithoutTheLibrary()
    {
        var ledger = NewLedger(capacity: 1);
        ledger.Acquire(1, mayWait: false, At(0), out var permit);
        ledger.ChangeTo(new BulkheadPolicy { Capacity = 1, Lease = Seconds(2) }, At(1));
        ledger.Renew(permit, At(10)).Should().BeTrue();
        ledger.Renew(permit, At(24.9)).Should().BeTrue("he was told fifteen seconds, and that it is extended by as much");
    }

    [Fact]
    public void Ledger_OthersThatWait_AreSeenByHoldersInTheAnswerAndByAHint()
    {
        var ledger = NewLedger(capacity: 3);
        _a.Ask(ledger, At(0), 3).Wanted.Should().Be(0);
        ledger.TakeHints(At(0)).Should().BeEmpty();
        _b.Ask(ledger, At(1), 2);
        ledger.TakeHints(At(1)).Should().ContainSingle().Which.Should()
            .Match<SlotLoans.Loan>(loan => loan.Borrower == _a.Holder && loan.ToldWanted == 2);
        ledger.TakeHints(At(1)).Should().BeEmpty("it has been told");
        _b.Ask(ledger, At(1.4), 2);
        ledger.TakeHints(At(1.4)).Should().ContainSingle("the hint may have been lost");
        _a.GiveBack(ledger, At(1.5)).Wanted.Should().Be(1);
        ledger.TakeHints(At(1.5)).Should().ContainSingle().Which.Borrower.Should().Be(_b.Holder, "its turn has come");
        ledger.TakeHints(At(1.5)).Should().BeEmpty("it has been called");
        _b.Ask(ledger, At(1.6), 2).Should().Match<SlotsGrant>(grant => grant.Slots == 1 && grant.Wanted == 0, "nobody else waits");
    }

    [Fact]
    public void Ledger_IdleSlots_AreTold()
    {
        var ledger = NewLedger(capacity: 3);
        _a.Ask(ledger, At(0), 3);
        _b.Ask(ledger, At(0), [new SlotsAsk(1, 1, false)]).Idle.Should().Be(3, "for how long those were needed, it has not said");
        _a.Ask(ledger, At(0));
        _b.Ask(ledger, At(0.09), [new SlotsAsk(1, 1, false)]).Idle.Should().Be(0, "all were in use a moment ago");
        _b.Ask(ledger, At(0.1), [new SlotsAsk(1, 1, false)]).Idle.Should().Be(3, "any of them may have been freed since");
        _a.Ask(ledger, At(1), [new SlotsAsk(1, 1, false)], inUse: 1).Idle.Should().Be(0, "its own are not elsewhere");
        _b.Ask(ledger, At(1), [new SlotsAsk(1, 1, false)]).Idle.Should().Be(2);
    }

    [Fact]
    public void Ledger_Spare_IsLentIfNobodyWaits()
    {
        var ledger = NewLedger(capacity: 4);
        _a.Ask(ledger, At(0), [], spare: 2).Should().Match<SlotsGrant>(grant => grant.Slots == 0 && grant.Spare == 2 && grant.Number > 0);
        _b.Ask(ledger, At(0), 3).Slots.Should().Be(2);
        _a.GiveBack(ledger, At(1));
        _c.Ask(ledger, At(1), [], spare: 1).Spare.Should().Be(0, "it is another's turn");
    }

    [Fact]
    public void Ledger_Close_EndsWaitsAndLendsNothing_AndReopenEndsIt()
    {
        var ledger = NewLedger(capacity: 2);
        _a.Ask(ledger, At(0), 1);
        _b.Ask(ledger, At(0), 2);
        var order = new SlotOrder(_asker.Next(), SlotCommand.Close, default);
        ledger.Obey(order, At(1)).Should()
            .Match<Obedience>(obedience => obedience.IsGiven && obedience.Pending == 2 && obedience.ObeyedAfter == Seconds(14));
        ledger.TakeHints(At(1)).Select(static loan => loan.Borrower).Should().BeEquivalentTo([_a.Holder, _b.Holder]);
        _b.Ask(ledger, At(1.1), 1).Should().Match<SlotsGrant>(grant => grant.IsClosed && grant.Slots == 0 && grant.Places == 0);
        ledger.Obey(order, At(1.1)).Pending.Should().Be(2, "it has been told, and has not said that it knows");
        _b.Ask(ledger, At(1.2));
        ledger.Obey(order, At(1.2)).Should().Match<Obedience>(obedience => obedience.Pending == 1 && obedience.Acknowledged == 1);
        ledger.TakeHints(At(1.2)).Should().ContainSingle("a hint may have been lost").Which.Borrower.Should().Be(_a.Holder);
        _a.Ask(ledger, At(1.3)).Kept.Should().Be(1, "what is held runs out");
        _a.Ask(ledger, At(1.4));
        ledger.Obey(order, At(1.4)).IsObeyed.Should().BeTrue();
        ledger.MemorableUntil.Should().Be(Instant.Never);

        ledger.Obey(new SlotOrder(_asker.Next(), SlotCommand.Reopen, default), At(2)).IsObeyed.Should().BeTrue();
        _c.Ask(ledger, At(2), 1).Should().Match<SlotsGrant>(grant => grant.Slots == 0 && !grant.IsClosed, "two are in use");
    }

    [Fact]
    public void Ledger_CloseWithAHolderThatCrashed_IsObeyedAtTheEndOfItsLease()
    {
        var ledger = NewLedger(capacity: 2);
        _a.Ask(ledger, At(0), 1);
        var order = new SlotOrder(_asker.Next(), SlotCommand.Close, default);
        ledger.Obey(order, At(1));
        ledger.Obey(order, At(14.999)).IsObeyed.Should().BeFalse();
        ledger.Obey(order, At(15)).Should().Match<Obedience>(obedience => obedience.IsObeyed && obedience.RanOut == 1);
    }

    [Fact]
    public void Ledger_UnknownCommand_ThrowsAndChangesNothing()
    {
        var ledger = NewLedger(capacity: 2);
        ledger.Invoking(it => it.Obey(new SlotOrder(_asker.Next(), SlotCommand.None, default), At(0)))
            .Should().Throw<ArgumentOutOfRangeException>().WithMessage("*Close or Reopen*");
        ledger.IsClosed.Should().BeFalse();
    }

    [Fact]
    public void Ledger_CapacityGrows_CallsThoseWhoWait()
    {
        var ledger = NewLedger(capacity: 1);
        _a.Ask(ledger, At(0), 1);
        _b.Ask(ledger, At(0), 2);
        ledger.TakeHints(At(0));
        ledger.ChangeTo(new BulkheadPolicy { Capacity = 3 }, At(0.5));
        ledger.TakeHints(At(0.5)).Should().ContainSingle().Which.Borrower.Should().Be(_b.Holder);
        _b.Ask(ledger, At(0.5), 2).Slots.Should().Be(2);
    }

    [Fact]
    public void Ledger_CapacityShrinks_RevokesNothingAndDrains()
    {
        var ledger = NewLedger(capacity: 3);
        _a.Ask(ledger, At(0), 3);
        ledger.ChangeTo(new BulkheadPolicy { Capacity = 1 }, At(1));
        ledger.TakeHints(At(1)).Should().ContainSingle().Which.ToldWanted.Should().Be(2, "what is idle, or is freed, is to come back");
        _a.Ask(ledger, At(1)).Should().Match<SlotsGrant>(grant => grant.Kept == 3 && grant.Wanted == 2);
        ledger.Describe(At(1)).AvailableSlots.Should().Be(0);
        _b.Ask(ledger, At(1), 1);
        _a.GiveBack(ledger, At(2), 2).Wanted.Should().Be(1, "another waits");
        _b.Ask(ledger, At(2), 1).Slots.Should().Be(0);
        _a.GiveBack(ledger, At(3));
        _b.Ask(ledger, At(3), 1).Slots.Should().Be(1);
    }

    [Fact]
    public void Ledger_AskForMoreThanThereIs_HoldsUpNobody()
    {
        var ledger = NewLedger(capacity: 2);
        _a.Ask(ledger, At(0), [new SlotsAsk(3, 1, true)]).Should().Match<SlotsGrant>(grant => grant.Slots == 0 && grant.Capacity == 2);
        _b.Ask(ledger, At(0), [new SlotsAsk(3, 1, true), new SlotsAsk(1, 1, true)]).Slots.Should().Be(1);
    }

    [Fact]
    public void Ledger_ShorterLease_ShortensNothingThatWasPromised()
    {
        var ledger = NewLedger(capacity: 1);
        _a.Ask(ledger, At(0), 1);
        ledger.ChangeTo(new BulkheadPolicy { Capacity = 1, Lease = Seconds(2) }, At(1));
        _a.Ask(ledger, At(1)).Lease.Should().Be(Seconds(2));
        _b.Ask(ledger, At(14.9), 1).Slots.Should().Be(0, "the answer that made it shorter may have got lost");
        _b.Ask(ledger, At(15), 1).Slots.Should().Be(1);
    }

    [Fact]
    public void Ledger_Successor_LearnsForALeaseWhoHoldsWhatAndLendsNothingMeanwhile()
    {
        var ledger = NewLedger(capacity: 3);
        _a.Ask(ledger, At(0), 2);
        var successor = new SlotLedger(new BulkheadPolicy { Capacity = 3 }, At(1), new(Epoch * 2, Predecessor.Possible));
        _b.Ask(successor, At(1), 1).Should().Match<SlotsGrant>(grant => grant.Slots == 0 && grant.Places == 1);
        successor.TakeHints(At(1)).Should().BeEmpty();
        _a.Ask(successor, At(5)).Should().Match<SlotsGrant>(grant => grant.Kept == 2 && grant.Number > Epoch * 2);
        _b.Ask(successor, At(15.999), 1).Slots.Should().Be(0);
        _b.Ask(successor, At(16), 1).Slots.Should().Be(1);
        successor.Lent.Should().Be(3);
    }

    [Fact]
    public void Ledger_ThatHearsOfAPredecessor_LendsNothingUntilALeaseAfterItsBirth()
    {
        var successor = NewLedger(capacity: 3, epoch: Epoch * 2);
        _b.Ask(successor, At(1), 1).Slots.Should().Be(1, "nobody has told it");
        (_a.Epoch, _a.Held) = (Epoch, 1);
        _a.Ask(successor, At(2), 1).Should().Match<SlotsGrant>(grant => grant.Kept == 1 && grant.Slots == 0);
        _b.Ask(successor, At(14.999), 1).Slots.Should().Be(0);
        _b.Ask(successor, At(15), 1).Slots.Should().Be(1);
    }

    [Fact]
    public void Ledger_OldWordOfAPredecessorsLoan_CountsUntilTheNewestIsHeard()
    {
        // Two requests to the predecessor were under way when it was lost; between them the node was lent three more.
        var successor = new SlotLedger(new BulkheadPolicy { Capacity = 9 }, At(0), new(Epoch * 2, Predecessor.Possible));
        (_a.Epoch, _a.Held) = (Epoch, 2);
        _a.Ask(successor, At(1)).Kept.Should().Be(2);
        (_a.Epoch, _a.Held) = (Epoch, 5);
        _a.Ask(successor, At(2)).Kept.Should().Be(5, "it says itself what it holds, and has taken nothing of this authority's");
        new SlotBorrower(1) { Epoch = Epoch, Held = 5, Sequence = _a.Sequence }.Ask(successor, At(17)).Kept
            .Should().Be(0, "nothing of a predecessor's is left by now");
    }

    [Fact]
    public void Ledger_ThatHearsOfASuccessor_DecidesNothingMore()
    {
        var ledger = NewLedger(capacity: 3);
        _a.Ask(ledger, At(0), 1);
        new SlotBorrower(2) { Epoch = Epoch + 1 }.Ask(ledger, At(0), 1).Should().Be(default(SlotsGrant));
        ledger.HasSuccessor.Should().BeTrue();
        _a.Ask(ledger, At(0), 1).Should().Be(default(SlotsGrant));
        ledger.Obey(new SlotOrder(_asker.Next(), SlotCommand.Close, default), At(0)).IsGiven.Should().BeFalse();
    }

    [Fact]
    public void Ledger_ViewThatNoNodeHas_ThrowsAndChangesNothing()
    {
        var ledger = NewLedger(capacity: 3);
        var legal = new SlotsRequest(_a.Holder, 1, 0, 0, 0, 0, null, 0, 0);
        SlotsRequest[] illegal =
        [
            legal with { Sequence = 0 },
            legal with { Held = -1, InUse = -1 },
            legal with { InUse = 1 },
            legal with { Waiting = -1 },
            legal with { Spare = -1 },
            legal with { Asks = [new SlotsAsk(0, 1, true)] },
            legal with { Asks = [new SlotsAsk(1, 0, true)] },
            legal with { Asks = [new SlotsAsk(1, SlotsRequest.MostAsked + 1, true)] },
            legal with { Asks = [.. Enumerable.Repeat(new SlotsAsk(1, 1, true), SlotsRequest.MostAsked + 1)] },
        ];
        foreach (var request in illegal)
            ledger.Invoking(it => it.Renew(request, At(0))).Should().Throw<ArgumentException>($"{request}");
        ledger.Describe(At(0)).Holders.Should().BeEmpty();
        ledger.Renew(legal, At(0)).Sequence.Should().Be(1);
    }

    [Fact]
    public void Ledger_Status_TellsWhoHoldsHowManyForHowLong()
    {
        var ledger = NewLedger(capacity: 5);
        _a.Ask(ledger, At(0), 2);
        _a.Ask(ledger, At(4), [], inUse: 1);
        _b.Ask(ledger, At(4), 3);
        _b.GiveBack(ledger, At(5), 3);
        var status = ledger.Describe(At(6));
        status.Holders.Should().Equal(new BulkheadHolder("node 1", 2, 1, Seconds(6), Seconds(13)));
        (status.AvailableSlots, status.HighWaterMark, status.Waiting, status.IsClosed).Should().Be((3, 5, 0, false));
        ledger.MemorableUntil.Should().Be(At(20), "whoever has heard of it, may say so for a lease");
    }

    [Fact]
    public void Ledger_CallerWithoutTheLibrary_AcquiresRenewsAndReleases()
    {
        var ledger = NewLedger(capacity: 1);
        ledger.Acquire(1, mayWait: false, At(0), out var permit).Slots.Should().Be(1);
        ledger.Acquire(1, mayWait: false, At(0), out _).Should().Match<SlotsGrant>(grant => grant.Slots == 0 && grant.Places == 0);
        ledger.Renew(permit, At(14)).Should().BeTrue();
        ledger.Describe(At(28.9)).Holders.Should().ContainSingle().Which.NodeName.Should().BeNull();
        ledger.Release(permit, At(28.9)).Should().BeTrue();
        ledger.Release(permit, At(28.9)).Should().BeFalse();
        ledger.Renew(permit, At(28.9)).Should().BeFalse();

        ledger.Acquire(1, mayWait: false, At(30), out var lost);
        lost.Should().BeGreaterThan(permit);
        ledger.Renew(lost, At(45)).Should().BeFalse("its lease has ended");
        ledger.Lent.Should().Be(0);
        ledger.Invoking(it => it.Acquire(0, false, At(50), out _)).Should().Throw<ArgumentOutOfRangeException>();
        ledger.Invoking(it => it.Acquire(2, false, At(50), out _)).Should().Throw<ArgumentOutOfRangeException>();
    }

    [Fact]
    public void Ledger_CallerWithoutTheLibrary_WaitsAmongTheNodesAndIsCalled()
    {
        var ledger = NewLedger(capacity: 1);
        _a.Ask(ledger, At(0), 1);
        ledger.Acquire(1, mayWait: true, At(0), out var first).Places.Should().Be(1);
        ledger.Acquire(1, mayWait: true, At(0), out var second);
        ledger.Release(second, At(0.1)).Should().BeFalse("he held nothing, and has left the line");
        ledger.Waiting.Should().Be(1);
        _a.GiveBack(ledger, At(0.2));
        ledger.TakeHints(At(0.2)).Should().ContainSingle().Which.Borrower.Should().Be(SlotLedger.Direct(first));
        ledger.AskAgain(first, 1, At(0.2)).Slots.Should().Be(1);
        ledger.AskAgain(second, 1, At(0.2)).Should().Be(default(SlotsGrant));
    }

    [Fact]
    public void Ledger_NodeThatIsSilentForLong_IsForgotten()
    {
        var ledger = NewLedger(capacity: 2);
        _a.Ask(ledger, At(0), 1);
        var old = _a.Last;
        _b.Ask(ledger, At(120.1));
        _b.Ask(ledger, At(120.1));
        ledger.Renew(old, At(120.1)).Slots.Should().Be(1, "nothing is known of it any more; what it gets by an old request, nobody takes");
    }

    private static SlotLedger NewLedger(int capacity, int queueLimit = 1_000, long epoch = Epoch) =>
        new(new BulkheadPolicy { Capacity = capacity, QueueLimit = queueLimit }, At(0), new(epoch, Predecessor.None));
}
