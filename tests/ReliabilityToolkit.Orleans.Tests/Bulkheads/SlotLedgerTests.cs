using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class SlotLedgerTests
{
    private readonly Asker _node = new(1);

    [Fact]
    public void Ledger_UpToCapacity_Grants()
    {
        var ledger = NewLedger(capacity: 2);
        var first = Acquire(ledger, At(0));
        var second = Acquire(ledger, At(0));
        (first!.Value.Verdict, second!.Value.Verdict).Should().Be((SlotVerdict.Granted, SlotVerdict.Granted));
        second.Value.Permit.Should().BeGreaterThan(first.Value.Permit);
        Try(ledger, At(0)).Should().Be(new SlotGrant(SlotVerdict.Refused, 0, default, RefusalReason.NoFreeSlot));
        ledger.Describe(At(0)).Should().Be(new BulkheadStatus(Capacity: 2, AvailableSlots: 0, Permits: 2, Waiting: 0, IsClosed: false));
    }

    [Fact]
    public void Ledger_Waiters_AreServedInOrder()
    {
        var ledger = NewLedger(capacity: 1);
        var holder = _node.Next();
        Acquire(ledger, At(0), holder);
        var (first, second) = (_node.Next(), _node.Next());
        Acquire(ledger, At(0), first).Should().BeNull();
        Acquire(ledger, At(0), second).Should().BeNull();

        ledger.Release(new SlotRelease(holder), At(0.1));
        Answers(ledger).Should().ContainSingle().Which.Should().Be((first.Key, SlotVerdict.Granted));
        ledger.Release(new SlotRelease(first), At(0.1));
        Answers(ledger).Should().ContainSingle().Which.Should().Be((second.Key, SlotVerdict.Granted));
    }

    [Fact]
    public void Ledger_SmallRequestBehindALargeOne_Waits()
    {
        var ledger = NewLedger(capacity: 3);
        var holder = _node.Next();
        Acquire(ledger, At(0), holder, slots: 2);
        var (large, small) = (_node.Next(), _node.Next());
        Acquire(ledger, At(0), large, slots: 3);
        Acquire(ledger, At(0), small).Should().BeNull("one slot is free, but the large one came first");
        Try(ledger, At(0)).Verdict.Should().Be(SlotVerdict.Refused, "nobody overtakes");

        ledger.Release(new SlotRelease(holder), At(0));
        Answers(ledger).Should().Equal((large.Key, SlotVerdict.Granted));
    }

    [Fact]
    public void Ledger_HolderNotHeardOf_LosesItsSlotAtTheEndOfTheLease()
    {
        var ledger = NewLedger(capacity: 1, lease: 15);
        var crashed = Acquire(ledger, At(0))!.Value;
        var waiter = _node.Next();
        Acquire(ledger, At(14.8), waiter);
        ledger.NextDueAt.Should().BeLessThanOrEqualTo(At(15));
        ledger.Advance(At(14.9));
        Answers(ledger).Should().NotContain(answer => answer.Verdict == SlotVerdict.Granted);
        ledger.Advance(At(15));
        Answers(ledger).Should().Contain((waiter.Key, SlotVerdict.Granted));
        ledger.Renew(crashed.Permit, At(15), out _).Should().BeFalse();
    }

    [Fact]
    public void Ledger_RenewedPermit_IsKept()
    {
        var ledger = NewLedger(capacity: 2, lease: 15);
        var renewed = Acquire(ledger, At(0))!.Value;
        var silent = Acquire(ledger, At(0))!.Value;
        ledger.Renew(new SlotRenewalRequest([renewed.Permit]), At(10))
            .Should().Match<SlotRenewal>(renewal => renewal.Lease == Seconds(15) && renewal.Renewed.SequenceEqual(new[] { renewed.Permit }));
        ledger.Describe(At(20)).Permits.Should().Be(1);
        ledger.Renew(new SlotRenewalRequest([renewed.Permit, silent.Permit]), At(20)).Renewed.Should().Equal(renewed.Permit);
        ledger.Describe(At(34)).Permits.Should().Be(1);
        ledger.Describe(At(35)).Permits.Should().Be(0);
    }

    [Fact]
    public void Ledger_HeldCall_IsAnsweredStillWaitingAndKeepsItsPlaceByAskingAgain()
    {
        var ledger = NewLedger(capacity: 1, lease: 15);
        var holder = _node.Next();
        var permit = Acquire(ledger, At(0), holder)!.Value.Permit;
        var (first, second) = (_node.Next(), _node.Next());
        Acquire(ledger, At(0), first);
        Acquire(ledger, At(0.3), second);

        ledger.Renew(permit, At(0.4), out _);
        ledger.Advance(At(0.51));
        Answers(ledger).Should().Equal((first.Key, SlotVerdict.StillWaiting));
        Acquire(ledger, At(0.52), first).Should().BeNull();
        ledger.Describe(At(0.52)).Waiting.Should().Be(2);

        ledger.Release(new SlotRelease(holder), At(0.55));
        Answers(ledger).Should().Equal((first.Key, SlotVerdict.Granted));
    }

    [Fact]
    public void Ledger_WaiterNotHeardOfForALease_LeavesTheLine()
    {
        var ledger = NewLedger(capacity: 1, lease: 15);
        var holder = _node.Next();
        var permit = Acquire(ledger, At(0), holder)!.Value.Permit;
        var (gone, next) = (_node.Next(), _node.Next());
        Acquire(ledger, At(0), gone);
        for (var second = 1; second <= 21; second++)
        {
            ledger.Renew(permit, At(second), out _);
            if (second % 5 == 0)
                Acquire(ledger, At(second), next);
        }

        ledger.Describe(At(21)).Waiting.Should().Be(1);
        Acquire(ledger, At(21), next);
        Answers(ledger);
        ledger.Release(new SlotRelease(holder), At(21));
        Answers(ledger).Should().Equal((next.Key, SlotVerdict.Granted));
    }

    [Fact]
    public void Ledger_GrantThatFoundNoHeldCall_IsAnsweredWhenAskedAgainWithAFreshLease()
    {
        var ledger = NewLedger(capacity: 1, lease: 15);
        var holder = _node.Next();
        Acquire(ledger, At(0), holder);
        var waiter = _node.Next();
        Acquire(ledger, At(0), waiter);
        ledger.Advance(At(0.53));
        Answers(ledger);
        ledger.Release(new SlotRelease(holder), At(6));

        var grant = Acquire(ledger, At(16), waiter)!.Value;
        grant.Verdict.Should().Be(SlotVerdict.Granted);
        ledger.Describe(At(30)).Permits.Should().Be(1, "its lease counts from the answer at 16 s, not from 6 s");
        Acquire(ledger, At(30), waiter)!.Value.Permit.Should().Be(grant.Permit);
    }

    [Fact]
    public void Ledger_RequestRepeatedAfterItsPermitEnded_TakesNoSlot()
    {
        var ledger = NewLedger(capacity: 1);
        var id = _node.Next();
        Acquire(ledger, At(0), id);
        ledger.Release(new SlotRelease(id), At(1));
        Acquire(ledger, At(2), id)!.Value.Verdict.Should().Be(SlotVerdict.Refused);
        ledger.Describe(At(2)).Permits.Should().Be(0);
    }

    [Fact]
    public void Ledger_ReleaseThatOvertakesItsRequest_IsHonoured()
    {
        var ledger = NewLedger(capacity: 1);
        var id = _node.Next();
        ledger.Release(new SlotRelease(id), At(0));
        Acquire(ledger, At(0), id)!.Value.Verdict.Should().Be(SlotVerdict.Refused);
        ledger.Describe(At(0)).Permits.Should().Be(0);
    }

    [Fact]
    public void Ledger_WaiterThatLeaves_LetsTheNextOnePass()
    {
        var ledger = NewLedger(capacity: 2);
        Acquire(ledger, At(0));
        var (large, small) = (_node.Next(), _node.Next());
        Acquire(ledger, At(0), large, slots: 2);
        Acquire(ledger, At(0), small);
        ledger.Release(new SlotRelease(large), At(0.1));
        Answers(ledger).Should().Equal((large.Key, SlotVerdict.Refused), (small.Key, SlotVerdict.Granted));
    }

    [Fact]
    public void Ledger_Close_FailsPendingAndLaterAcquiresAndLetsHeldPermitsRunOut()
    {
        var ledger = NewLedger(capacity: 1);
        var holder = _node.Next();
        var permit = Acquire(ledger, At(0), holder)!.Value.Permit;
        var waiter = _node.Next();
        Acquire(ledger, At(0), waiter);

        var close = _node.Next();
        ledger.Close(close, At(0.1));
        Answers(ledger).Should().Equal((waiter.Key, SlotVerdict.Closed));
        Acquire(ledger, At(0.1))!.Value.Verdict.Should().Be(SlotVerdict.Closed);
        Try(ledger, At(0.1)).Verdict.Should().Be(SlotVerdict.Closed);
        ledger.Renew(permit, At(2), out _).Should().BeTrue();
        ledger.Describe(At(2)).Should().Be(new BulkheadStatus(Capacity: 1, AvailableSlots: 0, Permits: 1, Waiting: 0, IsClosed: true));
        ledger.MemorableUntil.Should().Be(Instant.Never);

        ledger.Release(new SlotRelease(holder), At(3));
        ledger.Reopen(_node.Next(), At(4));
        ledger.Close(close, At(4));
        Acquire(ledger, At(4))!.Value.Verdict.Should().Be(SlotVerdict.Granted, "a late copy of the close must not undo the reopening");
    }

    [Fact]
    public void Ledger_FullQueue_Refuses()
    {
        var ledger = NewLedger(capacity: 1, queueLimit: 1);
        Acquire(ledger, At(0));
        Acquire(ledger, At(0)).Should().BeNull();
        Acquire(ledger, At(0)).Should().Be(new SlotGrant(SlotVerdict.Refused, 0, default, RefusalReason.QueueFull));
    }

    [Fact]
    public void Ledger_CapacityGrows_ServesWaitersAtOnce()
    {
        var ledger = NewLedger(capacity: 1);
        Acquire(ledger, At(0));
        var (first, second) = (_node.Next(), _node.Next());
        Acquire(ledger, At(0), first);
        Acquire(ledger, At(0), second);
        ledger.ChangeTo(new BulkheadPolicy { Capacity = 2 }, At(0.1));
        Answers(ledger).Should().Equal((first.Key, SlotVerdict.Granted));
    }

    [Fact]
    public void Ledger_CapacityShrinks_RevokesNothingAndDrains()
    {
        var ledger = NewLedger(capacity: 3);
        var holders = new[] { _node.Next(), _node.Next(), _node.Next() };
        foreach (var holder in holders)
            Acquire(ledger, At(0), holder);
        var tooLarge = _node.Next();
        Acquire(ledger, At(0), tooLarge, slots: 3);
        ledger.ChangeTo(new BulkheadPolicy { Capacity = 2 }, At(0.1));

        ledger.Describe(At(0.1)).Should().Be(new BulkheadStatus(Capacity: 2, AvailableSlots: 0, Permits: 3, Waiting: 0, IsClosed: false));
        Answers(ledger).Should().Equal((tooLarge.Key, SlotVerdict.Refused));
        ledger.Release(new SlotRelease(holders[0]), At(0.1));
        Try(ledger, At(0.1)).Verdict.Should().Be(SlotVerdict.Refused);
        ledger.Release(new SlotRelease(holders[1]), At(0.1));
        Try(ledger, At(0.1)).Verdict.Should().Be(SlotVerdict.Granted);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(3)]
    [InlineData(int.MaxValue)]
    public void Ledger_SlotsOutsideOneToCapacity_ThrowsAndChangesNothing(int slots)
    {
        var ledger = NewLedger(capacity: 2);
        ledger.Invoking(l => Acquire(l, At(0), slots: slots)).Should().Throw<ArgumentOutOfRangeException>().WithParameterName(nameof(slots));
        ledger.Describe(At(0)).Should().Be(new BulkheadStatus(Capacity: 2, AvailableSlots: 2, Permits: 0, Waiting: 0, IsClosed: false));
    }

    [Fact]
    public void Ledger_AnonymousWaiter_IsTurnedAwayWhenItsCallHasBeenHeldLongEnough()
    {
        var ledger = NewLedger(capacity: 1, lease: 15);
        Acquire(ledger, At(0));
        var anonymous = new RequestId(Guid.Empty, 0, 1, 0, 0);
        Acquire(ledger, At(0), anonymous);
        ledger.Advance(At(0.47));
        Answers(ledger).Should().BeEmpty();
        ledger.Advance(At(0.5));
        Answers(ledger).Should().Equal((anonymous.Key, SlotVerdict.Refused));
    }

    [Theory]
    [InlineData(0.1)]
    [InlineData(15)]
    [InlineData(600)]
    public void Ledger_HeldCall_IsAnsweredWithinTheHoldThatWasAskedFor(double lease)
    {
        // A lease of ten minutes was swept every ten seconds: no held call was answered in time, and every waiter gave up.
        var ledger = NewLedger(capacity: 1, lease);
        var holder = Acquire(ledger, At(0))!.Value.Permit;
        var waiter = _node.Next();
        Acquire(ledger, At(0.01), waiter);
        while (!Answers(ledger).Contains((waiter.Key, SlotVerdict.StillWaiting)))
        {
            ledger.NextDueAt.Should().BeLessThanOrEqualTo(At(0.51));
            ledger.Renew(holder, ledger.NextDueAt, out _);
            ledger.Advance(ledger.NextDueAt);
        }
    }

    [Fact]
    public void Ledger_ShorterLease_NeitherShortensWhatWasPromisedNorDelaysTheRest()
    {
        var ledger = NewLedger(capacity: 2, lease: 60);
        var longHeld = Acquire(ledger, At(0))!.Value.Permit;
        ledger.ChangeTo(new BulkheadPolicy { Capacity = 2, Lease = Seconds(1) }, At(10));
        ledger.Renew(longHeld, At(20), out _);
        Acquire(ledger, At(20));
        ledger.Describe(At(21)).Permits.Should().Be(1, "the new permit's second is over");
        ledger.Describe(At(59)).Permits.Should().Be(1, "its holder still believes in its sixty seconds");
        ledger.Describe(At(60)).Permits.Should().Be(0);
    }

    [Fact]
    public void Ledger_RequestRepeatedAfterTheCapacityShrank_GetsItsAnswer()
    {
        var ledger = NewLedger(capacity: 10);
        var id = _node.Next();
        var permit = Acquire(ledger, At(0), id, slots: 8)!.Value.Permit;
        ledger.ChangeTo(new BulkheadPolicy { Capacity = 5 }, At(0));
        Acquire(ledger, At(0), id, slots: 8)!.Value.Permit.Should().Be(permit);
    }

    private static SlotDesk NewLedger(int capacity, double lease = 15, int queueLimit = 1000) =>
        new(new BulkheadPolicy { Capacity = capacity, Lease = Seconds(lease), QueueLimit = queueLimit }, epoch: 0);

    private SlotGrant? Acquire(SlotDesk ledger, Instant now, RequestId? id = null, int slots = 1) =>
        ledger.Acquire(new SlotRequest(id ?? _node.Next(), slots, true, Seconds(5)), now);

    private SlotGrant Try(SlotDesk ledger, Instant now) => ledger.Acquire(new SlotRequest(_node.Next(), 1, false, default), now)!.Value;

    private static List<(RequestKey Request, SlotVerdict Verdict)> Answers(SlotDesk ledger)
    {
        var answers = new List<(RequestKey, SlotVerdict)>();
        while (ledger.TryTakeAnswer(out var request, out var grant))
            answers.Add((request, grant.Verdict));
        return answers;
    }
}
