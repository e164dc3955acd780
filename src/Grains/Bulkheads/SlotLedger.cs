using System.Collections.Immutable;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The authority of one bulkhead: who holds how many slots until when, and who waits, first come first served. Not thread-safe: the grain guards it.
/// </summary>
/// <remarks>
/// An acquire that must wait is answered later: it then stands among the <see cref="TryTakeAnswer">answers</see>. "Still waiting" is an answer too,
/// given when the asker wanted to hear something; by asking again under the same number he keeps his place. One who is not heard of for a lease has
/// gone.
/// </remarks>
/// <param name="policy">Validated.</param>
/// <param name="epoch">Where permit numbers start: above those of every earlier activation, whose holders may still renew them.</param>
internal sealed class SlotLedger(BulkheadPolicy policy, long epoch) : IAuthorityMachine<BulkheadPolicy, SlotGrant>
{
    private static readonly SlotGrant StillWaiting = new(SlotVerdict.StillWaiting, 0, default, default);
    private static readonly SlotGrant Closed = new(SlotVerdict.Closed, 0, default, default);

    private readonly Dictionary<RequestKey, Claim> _claims = [];
    private readonly Dictionary<long, Claim> _permits = [];
    private readonly LinkedList<Claim> _held = new();    // in order of lease end
    private readonly LinkedList<Claim> _waiting = new(); // in order of arrival
    private readonly Queue<(RequestId Request, SlotGrant Grant)> _told = new();
    private BulkheadPolicy _policy = policy;
    private long _slotsHeld;
    private long _lastPermit = epoch;
    private bool _isClosed;

    /// <summary>A held call is answered "still waiting" after a third of a lease at the latest, so that two answers may be lost.</summary>
    private TimeSpan LongestHold => _policy.Lease / 3 < CallTimeouts.LongestHold ? _policy.Lease / 3 : CallTimeouts.LongestHold;

    /// <summary>Those who wait are looked through this often: fine enough against the hold, and cheap with a full queue.</summary>
    private TimeSpan SweepEvery => LongestHold / 20;

    private Instant _nextSweepAt;

    /// <inheritdoc/>
    public Instant MemorableUntil => _isClosed ? Instant.Never : _held.Last?.Value.DueAt ?? default;

    /// <summary>When <see cref="Advance"/> has something to do for those who wait; never while nobody does.</summary>
    public Instant NextDueAt => _waiting.Count == 0 ? Instant.Never
        : _held.First is { } first && first.Value.DueAt < _nextSweepAt ? first.Value.DueAt
        : _nextSweepAt;

    /// <summary>Slots for one caller. Null where he waits: the answer comes later.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Fewer than 1 slot or more than the capacity; nothing has changed.</exception>
    public SlotGrant? Acquire(in SlotRequest request, Instant now)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(request.Slots, 1, "slots");
        Advance(now);
        if (_claims.TryGetValue(request.Id.Key, out var claim))
            return AnswerAgain(claim, request.HoldFor, now);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(request.Slots, _policy.Capacity, "slots");
        if (_isClosed)
            return Closed;
        if (_waiting.Count == 0 && request.Slots <= _policy.Capacity - _slotsHeld)
            return Grant(new Claim(request.Id, request.Slots), now);
        if (!request.MayWait)
            return new SlotGrant(SlotVerdict.Refused, 0, default, RefusalReason.NoFreeSlot);
        if (_waiting.Count >= _policy.QueueLimit)
            return new SlotGrant(SlotVerdict.Refused, 0, default, RefusalReason.QueueFull);

        Wait(new Claim(request.Id, request.Slots), request.HoldFor, now);
        return null;
    }

    /// <summary>
    /// A grant that is repeated starts its lease anew, for the asker counts it from before he asked again; once the permit has ended, there is
    /// nothing left to repeat, and no slot for a late copy.
    /// </summary>
    public SlotGrant Repeat(in SlotGrant earlier, Instant answeredAt, Instant now)
    {
        if (earlier.Verdict != SlotVerdict.Granted)
            return earlier;
        return Renew(earlier.Permit, now, out var lease) ? earlier with { Lease = lease } : default;
    }

    /// <summary>What an earlier request got, or still waits for, is free again.</summary>
    public void Release(RequestKey request, Instant now)
    {
        Advance(now);
        if (_claims.TryGetValue(request, out var claim))
            Drop(claim, default);
        Serve(now);
    }

    /// <summary>Frees a permit by its number; false where it is not held.</summary>
    public bool Release(long permit, Instant now)
    {
        Advance(now);
        if (!_permits.TryGetValue(permit, out var claim))
            return false;
        Drop(claim, default);
        Serve(now);
        return true;
    }

    /// <summary>Extends a permit by a lease from now; false where it is not held any more.</summary>
    public bool Renew(long permit, Instant now, out TimeSpan lease)
    {
        Advance(now);
        lease = _policy.Lease;
        if (!_permits.TryGetValue(permit, out var claim))
            return false;
        _held.Remove(claim.Node);
        Extend(claim, now);
        return true;
    }

    /// <summary>Extends what a node still holds, in one call.</summary>
    public SlotRenewal Renew(in SlotRenewalRequest request, Instant now)
    {
        var renewed = ImmutableArray.CreateBuilder<long>();
        foreach (var permit in request.Permits.IsDefault ? [] : request.Permits)
        {
            if (Renew(permit, now, out _))
                renewed.Add(permit);
        }

        return new SlotRenewal(_policy.Lease, renewed.ToImmutable());
    }

    /// <summary>Those who wait, and those who come, are told that it is closed; what is held runs out.</summary>
    public void Close(Instant now)
    {
        Advance(now);
        _isClosed = true;
        while (_waiting.First is { } first)
            Drop(first.Value, Closed);
    }

    public void Reopen(Instant now)
    {
        Advance(now);
        _isClosed = false;
    }

    /// <summary>
    /// Goes on under another policy. A larger capacity serves those who wait at once; a smaller one takes nothing back and hands nothing out until
    /// enough has been released. Who waits for more than the new capacity is refused.
    /// </summary>
    public void ChangeTo(BulkheadPolicy policy, Instant now)
    {
        _policy = policy;
        for (var node = _waiting.First; node is not null;)
        {
            var claim = node.Value;
            node = node.Next;
            if (claim.Slots > policy.Capacity)
                Refuse(claim, RefusalReason.NoFreeSlot);
        }

        Advance(now);
        Serve(now);
    }

    /// <summary>What time alone does: leases end, held calls are answered, waiters who are not heard of leave the line.</summary>
    public void Advance(Instant now)
    {
        while (_held.First is { } first && first.Value.DueAt <= now)
            Drop(first.Value, default);
        Serve(now);
        if (_waiting.Count == 0 || _nextSweepAt > now)
            return;
        Sweep(now);
        Serve(now);
    }

    /// <summary>The answers to calls that were held, oldest first. To be drained after every verb.</summary>
    public bool TryTakeAnswer(out RequestId request, out SlotGrant grant)
    {
        var isTold = _told.TryDequeue(out var told);
        (request, grant) = told;
        return isTold;
    }

    public BulkheadStatus Describe(Instant now)
    {
        Advance(now);
        return new BulkheadStatus(_policy.Capacity, (int)Math.Max(0, _policy.Capacity - _slotsHeld), _permits.Count, _waiting.Count, _isClosed);
    }

    private void Sweep(Instant now)
    {
        _nextSweepAt = now + SweepEvery;
        for (var node = _waiting.First; node is not null;)
        {
            var claim = node.Value;
            node = node.Next;
            var isDue = claim.DueAt <= (claim.IsCallHeld ? _nextSweepAt : now); // a held call is answered rather too early than too late
            if (!isDue)
                continue;
            if (!claim.IsCallHeld || claim.Id.IsAnonymous)
            {
                Refuse(claim, RefusalReason.WaitExpired);
                continue;
            }

            Tell(claim.Id, StillWaiting);
            claim.IsCallHeld = false;
            claim.DueAt = now + _policy.Lease;
        }
    }

    private void Serve(Instant now)
    {
        while (_waiting.First is { } first && first.Value.Slots <= _policy.Capacity - _slotsHeld)
        {
            var claim = first.Value;
            _waiting.Remove(claim.Node);
            var wasHeld = claim.IsCallHeld;
            var grant = Grant(claim, now);
            if (wasHeld)
                Tell(claim.Id, grant);
        }
    }

    private SlotGrant Grant(Claim claim, Instant now)
    {
        claim.Permit = ++_lastPermit;
        claim.IsCallHeld = false;
        claim.DueAt = default;
        _claims[claim.Id.Key] = claim;
        _permits.Add(claim.Permit, claim);
        Extend(claim, now);
        _slotsHeld += claim.Slots;
        return new SlotGrant(SlotVerdict.Granted, claim.Permit, _policy.Lease, default);
    }

    // Never shortens: under a policy with a shorter lease, the holder goes on believing in the longer one. Nearly always it belongs at the end.
    private void Extend(Claim claim, Instant now)
    {
        claim.DueAt = Instant.Later(claim.DueAt, LeaseTerm.LentUntil(now, _policy.Lease));
        var before = _held.Last;
        while (before is not null && before.Value.DueAt > claim.DueAt)
            before = before.Previous;
        if (before is null)
            _held.AddFirst(claim.Node);
        else
            _held.AddAfter(before, claim.Node);
    }

    // What is alive needs no remembered answer. A grant that is repeated starts its lease anew, for the asker counts it from before he asked again.
    private SlotGrant? AnswerAgain(Claim claim, TimeSpan holdFor, Instant now)
    {
        if (claim.Permit != 0)
        {
            Renew(claim.Permit, now, out var lease);
            return new SlotGrant(SlotVerdict.Granted, claim.Permit, lease, default);
        }

        if (claim.IsCallHeld)
            Tell(claim.Id, StillWaiting); // the call that this one repeats
        Hold(claim, holdFor, now);
        return null;
    }

    private void Wait(Claim claim, TimeSpan holdFor, Instant now)
    {
        if (_waiting.Count == 0)
            _nextSweepAt = now + SweepEvery;
        _claims.Add(claim.Id.Key, claim);
        _waiting.AddLast(claim.Node);
        Hold(claim, holdFor, now);
    }

    // A caller without the client library cannot ask again: where this call's hold ends, so does his wait.
    private void Hold(Claim claim, TimeSpan holdFor, Instant now)
    {
        claim.IsCallHeld = true;
        claim.DueAt = now + (holdFor > TimeSpan.Zero && holdFor < LongestHold ? holdFor : LongestHold);
    }

    private void Refuse(Claim claim, RefusalReason reason)
    {
        Drop(claim, new SlotGrant(SlotVerdict.Refused, 0, default, reason));
    }

    // Forgets a claim, held or waiting; a waiting one's call gets the answer.
    private void Drop(Claim claim, SlotGrant answer)
    {
        _claims.Remove(claim.Id.Key);
        if (claim.Permit == 0)
        {
            _waiting.Remove(claim.Node);
            if (claim.IsCallHeld)
                Tell(claim.Id, answer);
            return;
        }

        _held.Remove(claim.Node);
        _permits.Remove(claim.Permit);
        _slotsHeld -= claim.Slots;
    }

    private void Tell(in RequestId id, SlotGrant grant) => _told.Enqueue((id, grant));

    /// <summary>One acquire, from the line to the end of its permit.</summary>
    private sealed class Claim
    {
        public Claim(in RequestId id, int slots)
        {
            Id = id;
            Slots = slots;
            Node = new LinkedListNode<Claim>(this);
        }

        public RequestId Id { get; }

        public int Slots { get; }

        public LinkedListNode<Claim> Node { get; }

        /// <summary>0 while it waits.</summary>
        public long Permit { get; set; }

        /// <summary>While it waits: whether a call is held that wants an answer.</summary>
        public bool IsCallHeld { get; set; }

        /// <summary>Held: the lease's end. Waiting: when the held call is answered, or, without one, when the place is lost.</summary>
        public Instant DueAt { get; set; }
    }
}
