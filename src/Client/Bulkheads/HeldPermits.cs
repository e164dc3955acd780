using System.Collections.Immutable;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// The permits of one bulkhead that a node holds, and until when it may believe so. Not thread-safe: its bulkhead guards it.
/// </summary>
/// <remarks>
/// A lease is counted as <see cref="LeaseTerm"/> says: the holder has let go before the authority gives the slot to anybody else. All permits are
/// renewed in one call, at a third of the lease; two calls may be lost.
/// </remarks>
internal sealed class HeldPermits
{
    private readonly Dictionary<long, Instant> _validUntil = [];
    private Instant _renewAt = Instant.Never;

    /// <summary>When <see cref="TakeLost"/> or <see cref="TakeRenewal"/> has something to say; never while nothing is held.</summary>
    public Instant NextDueAt => _validUntil.Count == 0 ? Instant.Never
        : _validUntil.Values.Min() is var firstEnd && firstEnd < _renewAt ? firstEnd : _renewAt;

    public void Add(long permit, Instant askedAt, TimeSpan lease)
    {
        _validUntil.Add(permit, LeaseTerm.HeldUntil(askedAt, lease));
        RenewBy(LeaseTerm.RenewAt(askedAt, lease));
    }

    public void Remove(long permit)
    {
        _validUntil.Remove(permit);
        if (_validUntil.Count == 0)
            _renewAt = Instant.Never;
    }

    /// <summary>The permits that ended without being renewed; they are forgotten.</summary>
    public ImmutableArray<long> TakeLost(Instant now) => Take(permit => _validUntil[permit] <= now);

    /// <summary>The permits to renew now; empty where it is not yet time. Asked at most once per answer or <paramref name="patience"/>.</summary>
    public ImmutableArray<long> TakeRenewal(Instant now, TimeSpan patience)
    {
        if (now < _renewAt)
            return [];
        _renewAt = now + patience;
        return [.. _validUntil.Keys];
    }

    /// <summary>The answer to a renewal: what was asked for and is not in it is lost, and forgotten.</summary>
    public ImmutableArray<long> Renew(ImmutableArray<long> asked, SlotRenewal renewal, Instant askedAt)
    {
        var validUntil = LeaseTerm.HeldUntil(askedAt, renewal.Lease);
        foreach (var permit in renewal.Renewed)
        {
            if (_validUntil.TryGetValue(permit, out var before))
                _validUntil[permit] = Instant.Later(before, validUntil);
        }

        var renewed = renewal.Renewed.ToHashSet();
        var lost = Take(permit => asked.Contains(permit) && !renewed.Contains(permit));
        _renewAt = _validUntil.Count == 0 ? Instant.Never : LeaseTerm.RenewAt(askedAt, renewal.Lease);
        return lost;
    }

    private void RenewBy(Instant instant)
    {
        if (instant < _renewAt)
            _renewAt = instant;
    }

    private ImmutableArray<long> Take(Func<long, bool> isLost)
    {
        ImmutableArray<long> lost = [.. _validUntil.Keys.Where(isLost)];
        foreach (var permit in lost)
            Remove(permit);
        return lost;
    }
}
