namespace SiloHost;

/// <summary>
/// Finds the window in which a limiter comes closest to its limit, or exceeds it most, from what its callers recorded. Pure; all in integers, so that
/// the sign of the answer is exact; O(n log n).
/// </summary>
/// <remarks>
/// The limiter decided at some instant between a call's send and its answer. So a window [a, b] certainly contains an admission only if it was sent
/// at a or later and answered at b or earlier, and only windows from a send to an answer need a look: any other shrinks to one of those without
/// losing an admission.
/// </remarks>
public static class WorstWindow
{
    /// <summary>Of the windows that contain an admission, the one with the largest excess; null where nothing was admitted.</summary>
    /// <param name="admissions">In any order.</param>
    /// <param name="limit">What was promised.</param>
    public static Window? Find(IReadOnlyCollection<Admission> admissions, TokenLimit limit)
    {
        if (admissions.Count == 0)
            return null;

        // From the latest send to the earliest, each admission counts in every window that ends at its answer or later. Of those that begin at its
        // send, the worst is one that contains it: one that does not could begin later.
        var byAnswer = admissions.OrderBy(admission => admission.AnsweredAt).ToArray();
        var ranksBySend = Enumerable.Range(0, byAnswer.Length).OrderByDescending(rank => byAnswer[rank].SentAt);
        var ends = new SuffixMaxima(byAnswer.Length, rank => -limit.Accrued(byAnswer[rank].AnsweredAt - byAnswer[0].AnsweredAt));
        var (worst, startsAt) = (Int128.MinValue, 0L);
        foreach (var rank in ranksBySend)
        {
            ends.Add(rank, limit.TokenCost);
            var sentAt = byAnswer[rank].SentAt;
            var excess = ends.Max(rank) - limit.Accrued(byAnswer[0].AnsweredAt - sentAt);
            if (excess > worst)
                (worst, startsAt) = (excess, sentAt);
        }

        return WorstFrom(startsAt, byAnswer, limit);
    }

    private static Window WorstFrom(long startsAt, Admission[] byAnswer, TokenLimit limit)
    {
        var (worst, endsAt, admitted, admittedInWorst) = (Int128.MinValue, startsAt, 0, 0);
        foreach (var admission in byAnswer)
        {
            if (admission.SentAt < startsAt)
                continue;
            admitted++;
            var excess = (admitted * limit.TokenCost) - limit.Accrued(admission.AnsweredAt - startsAt);
            if (excess > worst)
                (worst, endsAt, admittedInWorst) = (excess, admission.AnsweredAt, admitted);
        }

        var excessTokens = (double)(worst - (limit.Burst * limit.TokenCost)) / (double)limit.TokenCost;
        return new Window(startsAt, endsAt, admittedInWorst, excessTokens);
    }

    // A row of numbers in which all from one on can be raised, and the largest from one on can be read, in O(log n). A tree in an array: each node
    // knows the largest below it, and what was added to all below it.
    private sealed class SuffixMaxima
    {
        private readonly int _leaves;
        private readonly Int128[] _max;
        private readonly Int128[] _added;

        public SuffixMaxima(int count, Func<int, Int128> initial)
        {
            _leaves = (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)count);
            _max = new Int128[2 * _leaves];
            _added = new Int128[2 * _leaves];
            for (var i = 0; i < _leaves; i++)
                _max[_leaves + i] = i < count ? initial(i) : Int128.MinValue / 2;
            for (var node = _leaves - 1; node > 0; node--)
                _max[node] = Int128.Max(_max[2 * node], _max[(2 * node) + 1]);
        }

        public void Add(int from, Int128 amount)
        {
            var node = _leaves + from;
            _max[node] += amount;
            for (; node > 1; node /= 2)
            {
                if (node % 2 == 0)
                {
                    _max[node + 1] += amount;
                    _added[node + 1] += amount;
                }

                _max[node / 2] = Int128.Max(_max[node], _max[node ^ 1]) + _added[node / 2];
            }
        }

        public Int128 Max(int from)
        {
            var node = _leaves + from;
            var max = _max[node];
            for (; node > 1; node /= 2)
                max = Int128.Max(max, node % 2 == 0 ? _max[node + 1] : max) + _added[node / 2];
            return max;
        }
    }
}
