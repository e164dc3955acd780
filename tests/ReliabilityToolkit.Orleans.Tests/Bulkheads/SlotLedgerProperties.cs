using CsCheck;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class SlotLedgerProperties
{
    private const long Ms = TimeSpan.TicksPerMillisecond;
    private const long Lease = 1_000 * Ms;

    private enum Step
    {
        Acquire,
        Try,
        Release,
        AskAgain,
        Close,
        Reopen,
        Grow,
    }

    private static readonly Gen<Step> AnyStep = Gen.Frequency(
        (5, Gen.Const(Step.Acquire)),
        (1, Gen.Const(Step.Try)),
        (4, Gen.Const(Step.Release)),
        (3, Gen.Const(Step.AskAgain)),
        (1, Gen.Const(Step.Close)),
        (1, Gen.Const(Step.Reopen)),
        (1, Gen.Const(Step.Grow)));

    private static readonly Gen<(Step Step, int Which, int Slots, int Pause)[]> Steps =
        Gen.Select(AnyStep, Gen.Int[0, 1000], Gen.Int[1, 4], Gen.OneOf(Gen.Int[0, 20], Gen.Int[0, 20], Gen.Int[0, 700])).Array[1, 120];

    /// <summary>
    /// Who holds and who waits, in order: all as a plain list of either says; never more than the capacity; everybody answered once.
    /// </summary>
    [Fact]
    public void Ledger_AnyHistory_IsThatOfThePlainModel() => Gen.Select(Gen.Int[1, 4], Gen.Int[0, 5], Steps).Sample(
        (capacity, queueLimit, steps) =>
        {
            var node = new Asker(1);
            var policy = new BulkheadPolicy { Capacity = capacity, QueueLimit = queueLimit, Lease = TimeSpan.FromTicks(Lease) };
            var ledger = new SlotDesk(policy, epoch: 0);
            var model = new Model(capacity, queueLimit);
            var requests = new List<SlotRequest>();
            var now = 0L;
            foreach (var (step, which, slots, pause) in steps)
            {
                now += pause * Ms;
                var instant = new Instant(now);
                ledger.Advance(instant);
                model.PassTime(now);
                Compare();
                switch (step)
                {
                    case Step.Acquire or Step.Try:
                        var request = new SlotRequest(node.Next(1), Math.Min(slots, capacity), step == Step.Acquire, TimeSpan.FromHours(1));
                        requests.Add(request);
                        var answer = ledger.Acquire(request, instant);
                        (answer?.Verdict).Should().Be(model.Acquire(request, now));
                        break;
                    case Step.Release when requests.Count > 0:
                        var released = requests[which % requests.Count].Id;
                        ledger.Release(new SlotRelease(released), instant);
                        model.Release(released.Sequence, now);
                        break;
                    case Step.AskAgain when requests.Count > 0:
                        // Asking again renews what is held, keeps the place of what waits, and does nothing for what has ended.
                        var again = requests[which % requests.Count];
                        var repeated = ledger.Acquire(again, instant);
                        (repeated?.Verdict).Should().Be(model.AskAgain(again.Id.Sequence, now));
                        break;
                    case Step.Close:
                        ledger.Close(node.Next(1), instant);
                        model.Close(now);
                        break;
                    case Step.Reopen:
                        ledger.Reopen(node.Next(1), instant);
                        model.IsClosed = false;
                        break;
                    case Step.Grow:
                        model.Capacity = Math.Max(slots, model.Capacity);
                        ledger.ChangeTo(new BulkheadPolicy { Capacity = model.Capacity, QueueLimit = queueLimit, Lease = policy.Lease }, instant);
                        model.PassTime(now);
                        break;
                }

                Compare();
            }

            void Compare()
            {
                while (ledger.TryTakeAnswer(out var request, out var grant))
                {
                    if (!model.IsTold(request.Sequence, grant.Verdict))
                        ledger.Acquire(requests.Single(asked => asked.Id.Key == request), new Instant(now))
                            .Should().BeNull("asking again keeps the place");
                }

                model.HasTold.Should().BeTrue("every waiter that was served or turned away has been told, and told that");
                var status = ledger.Describe(new Instant(now));
                status.Permits.Should().Be(model.Held.Count);
                status.Waiting.Should().Be(model.Waiting.Count);
                status.AvailableSlots.Should().Be(model.Capacity - model.Held.Sum(held => held.Slots)).And.BeGreaterThanOrEqualTo(0);
            }
        },
        iter: 3_000);

    /// <summary>
    /// The oracle: two lists. That a waiter who is not heard of leaves the line is left to the examples: here everybody asks again.
    /// </summary>
    private sealed class Model(int capacity, int queueLimit)
    {
        private readonly Dictionary<long, SlotVerdict> _ended = [];
        private readonly Dictionary<long, SlotVerdict> _untold = [];

        public int Capacity { get; set; } = capacity;

        public bool IsClosed { get; set; }

        public List<(long Sequence, int Slots, long Until)> Held { get; private set; } = [];

        public List<(long Sequence, int Slots, long Until)> Waiting { get; } = [];

        public SlotVerdict? Acquire(SlotRequest request, long now)
        {
            var sequence = request.Id.Sequence;
            if (IsClosed)
                return _ended[sequence] = SlotVerdict.Closed;
            if (Waiting.Count == 0 && Held.Sum(held => held.Slots) + request.Slots <= Capacity)
            {
                Held.Add((sequence, request.Slots, now + Lease));
                return SlotVerdict.Granted;
            }

            if (!request.MayWait || Waiting.Count >= queueLimit)
                return _ended[sequence] = SlotVerdict.Refused;
            Waiting.Add((sequence, request.Slots, 0));
            return null;
        }

        public SlotVerdict? AskAgain(long sequence, long now)
        {
            if (Held.FindIndex(held => held.Sequence == sequence) is >= 0 and var at)
            {
                Held[at] = Held[at] with { Until = now + Lease };
                return SlotVerdict.Granted;
            }

            if (Waiting.Exists(waiting => waiting.Sequence == sequence))
            {
                _untold[sequence] = SlotVerdict.StillWaiting;
                return null;
            }

            return _ended.GetValueOrDefault(sequence, SlotVerdict.Refused);
        }

        public void Release(long sequence, long now)
        {
            Held.RemoveAll(held => held.Sequence == sequence);
            if (Waiting.RemoveAll(waiting => waiting.Sequence == sequence) > 0)
                _untold[sequence] = SlotVerdict.Refused;
            _ended[sequence] = SlotVerdict.Refused;
            PassTime(now);
        }

        public void Close(long now)
        {
            IsClosed = true;
            foreach (var waiting in Waiting)
                _untold[waiting.Sequence] = _ended[waiting.Sequence] = SlotVerdict.Closed;
            Waiting.Clear();
            PassTime(now);
        }

        public void PassTime(long now)
        {
            Held = [.. Held.Where(held => held.Until > now)];
            while (Waiting.Count > 0 && Held.Sum(held => held.Slots) + Waiting[0].Slots <= Capacity)
            {
                Held.Add(Waiting[0] with { Until = now + Lease });
                _untold[Waiting[0].Sequence] = SlotVerdict.Granted;
                Waiting.RemoveAt(0);
            }
        }

        // False where the machine said "still waiting" of its own accord, because a call was held for long: the client then asks again.
        public bool IsTold(long sequence, SlotVerdict verdict)
        {
            if (verdict == SlotVerdict.StillWaiting && !_untold.ContainsKey(sequence))
                return false;
            _untold[sequence].Should().Be(verdict);
            return _untold.Remove(sequence);
        }

        public bool HasTold => _untold.Count == 0;
    }
}
