using System.Diagnostics.CodeAnalysis;
using System.Threading.RateLimiting;

namespace ReliabilityToolkit.Orleans;

/// <summary>
/// Several limits as one: whoever is admitted by all of them is admitted, and who is refused by one has taken nothing of the others. Get it from
/// <c>toolkit.Combine(user, tenant, global)</c>; thread-safe.
/// </summary>
/// <remarks>
/// The limiters come first, then the bulkheads, each kind by name, whatever the order in which they were given: so nobody holds a slot while he waits
/// for tokens, and no two callers wait for each other's slots. What is given back after a refusal is a refund, as <see cref="EstimatedLease"/> has
/// it: in the meantime the tokens were nobody else's. Limiters of other libraries come last; of these, only what their leases give back when they are
/// disposed is given back.
/// </remarks>
public sealed class CombinedRateLimiter : RateLimiter
{
    private readonly RateLimiter[] _limiters;

    internal CombinedRateLimiter(IEnumerable<RateLimiter> limiters) =>
        _limiters = [.. limiters.OrderBy(static limiter => Rank(limiter).Kind).ThenBy(static limiter => Rank(limiter).Name, StringComparer.Ordinal)];

    /// <summary>What it is made of, in the order in which they are asked.</summary>
    public IReadOnlyList<RateLimiter> Limiters => _limiters;

    /// <summary>How long ago the last of them was asked for anything; absent while callers wait in one of them.</summary>
    public override TimeSpan? IdleDuration
    {
        get
        {
            TimeSpan? idle = TimeSpan.MaxValue;
            foreach (var limiter in _limiters)
                idle = limiter.IdleDuration is { } its && idle is { } so ? (its < so ? its : so) : null;
            return idle;
        }
    }

    /// <summary>
    /// As the others, for those who would wait where nobody should: its <c>AcquireAsync</c> asks once and does not wait for tokens.
    /// </summary>
    public CombinedRateLimiter WithoutWaiting() => new(_limiters.Select(static limiter => limiter switch
    {
        ClusterRateLimiter waits => waits.WithoutWaiting(),
        ClusterBulkhead waits => waits.WithoutWaiting(),
        _ => limiter,
    }));

    /// <summary>Absent: each of them counts for itself.</summary>
    public override RateLimiterStatistics? GetStatistics() => null;

    /// <inheritdoc cref="RateLimiter.AcquireAsync"/>
    /// <returns>A lease of all, or the refusal of the first that refused, with what that tells.</returns>
    public new async ValueTask<CombinedLease> AcquireAsync(int permitCount = 1, CancellationToken cancellationToken = default)
    {
        PermitCount.ThrowIfBelowOne(permitCount);
        var taken = new RateLimitLease[_limiters.Length];
        for (var i = 0; i < taken.Length; i++)
        {
            try
            {
                taken[i] = await AcquireAsync(_limiters[i], permitCount, cancellationToken).ConfigureAwait(false);
            }
            catch
            {
                GiveBack(taken.AsSpan(0, i));
                throw;
            }

            if (!taken[i].IsAcquired)
                return Refuse(taken, i);
        }

        return new CombinedLease(taken);
    }

    /// <inheritdoc/>
    protected override RateLimitLease AttemptAcquireCore(int permitCount) => Attempt(permitCount, comesBack: false);

    /// <summary>As <c>AttemptAcquire</c>; see <see cref="ClusterRateLimiter.AttemptFirst"/>.</summary>
    internal CombinedLease Attempt(int permitCount, bool comesBack)
    {
        PermitCount.ThrowIfBelowOne(permitCount);
        var taken = new RateLimitLease[_limiters.Length];
        for (var i = 0; i < taken.Length; i++)
        {
            try
            {
                taken[i] = Attempt(_limiters[i], permitCount, comesBack);
            }
            catch
            {
                GiveBack(taken.AsSpan(0, i));
                throw;
            }

            if (!taken[i].IsAcquired)
                return Refuse(taken, i);
        }

        return new CombinedLease(taken);
    }

    /// <inheritdoc/>
    protected override async ValueTask<RateLimitLease> AcquireAsyncCore(int permitCount, CancellationToken cancellationToken) =>
        await AcquireAsync(permitCount, cancellationToken).ConfigureAwait(false);

    private static (int Kind, string Name) Rank(RateLimiter limiter) => limiter switch
    {
        ClusterRateLimiter tokens => (0, tokens.Name),
        LimiterWithoutWaiting tokens => (0, tokens.Limiter.Name),
        ClusterBulkhead slots => (1, slots.Name),
        BulkheadWithoutWaiting slots => (1, slots.Bulkhead.Name),
        _ => (2, ""),
    };

    private static RateLimitLease Attempt(RateLimiter limiter, int permitCount, bool comesBack) => limiter switch
    {
        ClusterRateLimiter tokens => tokens.AttemptEstimated(permitCount, comesBack),
        LimiterWithoutWaiting tokens => tokens.Limiter.AttemptEstimated(permitCount, comesBack),
        ClusterBulkhead slots when comesBack => slots.AttemptFirst(permitCount),
        BulkheadWithoutWaiting slots when !comesBack => slots.Bulkhead.AttemptAcquire(permitCount),
        _ => limiter.AttemptAcquire(permitCount),
    };

    private static ValueTask<RateLimitLease> AcquireAsync(RateLimiter limiter, int permitCount, CancellationToken cancellationToken)
    {
        return limiter switch
        {
            ClusterRateLimiter tokens => WidenAsync(tokens.AcquireEstimatedAsync(permitCount, mayWait: true, cancellationToken)),
            LimiterWithoutWaiting tokens => WidenAsync(tokens.Limiter.AcquireEstimatedAsync(permitCount, mayWait: false, cancellationToken)),
            _ => limiter.AcquireAsync(permitCount, cancellationToken),
        };

        static async ValueTask<RateLimitLease> WidenAsync(ValueTask<EstimatedLease> lease) => await lease.ConfigureAwait(false);
    }

    private static CombinedLease Refuse(RateLimitLease[] taken, int refused)
    {
        GiveBack(taken.AsSpan(0, refused));
        return new CombinedLease([taken[refused]]);
    }

    private static void GiveBack(ReadOnlySpan<RateLimitLease> taken)
    {
        for (var i = taken.Length - 1; i >= 0; i--)
        {
            if (taken[i] is EstimatedLease tokens)
                tokens.Settle(0);
            taken[i].Dispose();
        }
    }
}

/// <summary>The lease of several limits: of all of them, or the refusal of one. Disposing it frees what was taken of bulkheads.</summary>
public sealed class CombinedLease : RateLimitLease
{
    private readonly RateLimitLease[] _leases;

    internal CombinedLease(RateLimitLease[] leases) => _leases = leases;

    /// <summary>
    /// Those it is made of: a bulkhead's is a <see cref="BulkheadPermit"/>, which may get lost. Of a refusal, the one that refused.
    /// </summary>
    public IReadOnlyList<RateLimitLease> Leases => _leases;

    /// <inheritdoc/>
    public override bool IsAcquired => _leases[0].IsAcquired;

    /// <inheritdoc/>
    public override IEnumerable<string> MetadataNames => _leases.SelectMany(static lease => lease.MetadataNames).Distinct();

    /// <summary>Settles the tokens of all limiters in it to the real cost, as <see cref="EstimatedLease.Settle"/> does.</summary>
    /// <inheritdoc cref="EstimatedLease.Settle"/>
    public void Settle(long cost)
    {
        foreach (var lease in _leases)
            (lease as EstimatedLease)?.Settle(cost);
    }

    /// <inheritdoc/>
    public override bool TryGetMetadata(string metadataName, [NotNullWhen(true)] out object? metadata)
    {
        foreach (var lease in _leases)
        {
            if (lease.TryGetMetadata(metadataName, out metadata) && metadata is not null)
                return true;
        }

        metadata = null;
        return false;
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        for (var i = _leases.Length - 1; i >= 0; i--)
            _leases[i].Dispose();
        base.Dispose(disposing);
    }
}
