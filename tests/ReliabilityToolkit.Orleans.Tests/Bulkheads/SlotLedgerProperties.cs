using CsCheck;
using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>The ledger beside the plainest list of who holds what until when, over any history of a few nodes.</summary>
public sealed class SlotLedgerProperties
{
    private static readonly TimeSpan Lease = Seconds(2);

    private enum Kind
    {
        Ask,
        Try,
        GiveBack,
        Repeat,
        Late,
        Change,
        Close,
        Reopen,
    }

    private static readonly Gen<(Kind Kind, int Node, int Slots, int Wait)[]> Histories =
        Gen.Select(
            Gen.Frequency(
                (6, Gen.Const(Kind.Ask)),
                (2, Gen.Const(Kind.Try)),
                (6, Gen.Const(Kind.GiveBack)),
                (2, Gen.Const(Kind.Repeat)),
                (2, Gen.Const(Kind.Late)),
                (1, Gen.Const(Kind.Change)),
                (1, Gen.Const(Kind.Close)),
                (1, Gen.Const(Kind.Reopen))),
            Gen.Int[0, 2],
            Gen.Int[1, 3],
            Gen.Int[0, 900]).Array[1, 60];

    [Fact]
    public void Ledger_OverAnyHistory_LendsWhatAPlainListWouldAndNeverTooMuch() => Histories.Sample(Replay, iter: 3_000);

    private static bool Replay((Kind Kind, int Node, int Slots, int Wait)[] history)
    {
        var (capacity, now, isClosed) = (3, At(0), false);
        var ledger = new SlotLedger(new BulkheadPolicy { Capacity = capacity, Lease = Lease }, now, new(1, Predecessor.None));
        var nodes = Enumerable.Range(1, 3).Select(static number => new SlotBorrower(number)).ToArray();
        var asker = new Asker(1);
        var until = new Instant[3];
        var earlier = new SlotsRequest[3];
        foreach (var (kind, number, slots, wait) in history)
        {
            now += TimeSpan.FromMilliseconds(wait);
            var node = nodes[number];
            for (var i = 0; i < 3; i++)
                nodes[i].Held = until[i] > now ? nodes[i].Held : 0;
            var before = nodes.Sum(static each => each.Held);
            var held = node.Held;
            switch (kind)
            {
                case Kind.Ask:
                case Kind.Try:
                    (earlier[number], var grant) = (node.Last, node.Ask(ledger, now, [new SlotsAsk(slots, 1, kind == Kind.Ask)]));
                    until[number] = now + Lease;
                    grant.Kept.Should().Be(held);
                    grant.Slots.Should().BeOneOf(0, slots);
                    if (isClosed || before + slots > capacity)
                        grant.Slots.Should().Be(0);
                    else if (ledger.Waiting == 0)
                        grant.Slots.Should().Be(slots, "they are there, and nobody waits");
                    break;
                case Kind.GiveBack:
                    earlier[number] = node.Last;
                    node.GiveBack(ledger, now, Math.Min(held, slots)).Slots.Should().Be(0);
                    until[number] = now + Lease;
                    break;
                case Kind.Repeat when node.Last.Sequence > 0 && until[number] > now:
                    ledger.Renew(node.Last, now).Sequence.Should().Be(node.Sequence);
                    break;
                case Kind.Late when earlier[number].Sequence > 0:
                    ledger.Renew(earlier[number], now).Should().Be(default(SlotsGrant));
                    break;
                case Kind.Change:
                    ledger.ChangeTo(new BulkheadPolicy { Capacity = capacity = slots + 1, Lease = Lease }, now);
                    break;
                case Kind.Close or Kind.Reopen:
                    isClosed = kind == Kind.Close;
                    ledger.Obey(new SlotOrder(asker.Next(), isClosed ? SlotCommand.Close : SlotCommand.Reopen, default), now);
                    break;
                default:
                    break;
            }

            ledger.Describe(now).IsClosed.Should().Be(isClosed);
            ledger.Lent.Should().Be(nodes.Sum(static each => each.Held));
            ledger.Lent.Should().BeLessThanOrEqualTo(Math.Max(capacity, before));
        }

        return true;
    }
}
