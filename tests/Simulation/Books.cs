namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>A checker found something.</summary>
internal sealed class BrokenPromiseException(string promise, string finding) : Exception($"{promise}: {finding}")
{
    public string Promise { get; } = promise;

    public string Finding { get; } = finding;
}

/// <summary>
/// The books of one authority. Each admission is held against one ideal bucket, and so is the sum from which that follows: what stands in the rest
/// and in all parts, or is on its way between them, is never more than what stands in a bucket that was fed with all admissions.
/// </summary>
internal sealed class Books(World world, SimulatedAuthority authority, RateLimiterPolicy policy)
{
    private readonly Ceiling _ceiling = new("L1", policy);
    private readonly Dictionary<SimulatedNode, PartGrant> _underWay = [];
    private readonly Dictionary<RequestKey, Int128> _spentFor = [];
    private readonly Dictionary<RequestKey, (SimulatedNode Node, Instant At, int Tokens)> _promised = [];
    private readonly PriorityQueue<RequestKey, Instant> _promises = new();
    private readonly HashSet<RequestKey> _answered = [];
    private RateLimiterPolicy _policy = policy;
    private readonly Dictionary<RequestKey, (Instant At, int Tokens)> _promisedBefore = [];
    private readonly Dictionary<RequestKey, (Instant At, int Tokens)> _owed = [];
    private long _carried;
    private RateLimiterPolicy? _policyToCome;
    private Instant _policyComesAt;

    /// <summary>Tokens have been taken from a part that it lent, or given by itself, at this (true) time.</summary>
    public void Admitted(int tokens, Instant at) => _ceiling.Take(tokens, at);

    /// <summary>Tokens have come back, in units of which one costs the policy's period.</summary>
    public void Returned(Int128 units) => _ceiling.Return(units, world.Now);

    /// <summary>How often tokens, room or rate have moved between the rest and a part.</summary>
    public long Moves { get; private set; }

    public void Answered(SimulatedNode node, in PartRequest request, in PartGrant grant, bool isRestChanged)
    {
        if (grant.Sequence == 0 || grant.Term == TimeSpan.Zero)
            return;
        if (_underWay.TryGetValue(node, out var last) && last.Sequence == grant.Sequence)
        {
            if (isRestChanged || last != grant)
                throw new BrokenPromiseException("Once", $"request {grant.Sequence} of node {node.Number} was answered anew");
        }
        else
        {
            if (grant.Served > 0)
                world.AdmittedThere(node, authority, grant.Served, world.Now);
            if (request.AtTheDoor > grant.Served && authority.Ledger.Rest.Tokens > 0 && authority.Ledger.Describe(world.Now).Waiting == 0)
                throw new BrokenPromiseException("Needed", $"the rest has what those at the door of node {node.Number} want");
            if (grant.Tokens > 0 || grant.Served > 0 || grant.Room != last.Room || grant.Rate != last.Rate)
                Moves++;
            _underWay[node] = grant;
        }
    }

    public void Answered(SimulatedNode node, in TokenRequest request, in TokenGrant grant, Int128 spent)
    {
        var key = request.Id.Key;
        if (spent > 0 && grant.IsGranted && grant.ReadyAfter == TimeSpan.Zero)
        {
            if (world.Scenario.ChecksBooks && !_spentFor.TryAdd(key, spent))
                throw new BrokenPromiseException("Once", $"{key} was done twice");
            world.AdmittedThere(node, authority, request.Tokens, world.Now);
        }
        else if (grant.ReadyAfter > LeaseTerm.OfPart)
        {
            throw new BrokenPromiseException("Reach", $"{grant.ReadyAfter} ahead was promised");
        }
        else if (grant.IsGranted && grant.ReadyAfter > TimeSpan.Zero && _promised.TryAdd(key, (node, world.Now + grant.ReadyAfter, request.Tokens)))
        {
            if (world.Scenario.ChecksBooks && !_spentFor.TryAdd(key, 0))
                throw new BrokenPromiseException("Once", $"{key} was done twice");
            _promises.Enqueue(key, world.Now + grant.ReadyAfter);
        }

        if (!world.Scenario.ChecksBooks)
            return;
        if (grant is { IsGranted: false, Reason: RefusalReason.RateLimited } && authority.Ledger.Rest.Tokens >= request.Tokens
            && authority.Ledger.Describe(world.Now).Waiting == 0 && _answered.Add(key))
            throw new BrokenPromiseException("Needed", $"the rest has what node {node.Number} was refused");
        _answered.Add(key);
    }

    /// <summary>Another activation carries on, and remembers what is lent and promised, but not what was answered.</summary>
    /// <param name="away">For so long nobody was there: who had been promised tokens has them, and it serves them by so much later.</param>
    public void CarriedOn(TimeSpan away)
    {
        _spentFor.Clear();
        _owed.Clear();
        foreach (var (key, promise) in _promisedBefore)
        {
            // Whoever asks again is promised others.
            var again = key with { Node = Guid.AllBitsSet, Sequence = ++_carried };
            _owed[again] = (promise.At + away, promise.Tokens);
            if (_promised.Remove(key, out var open))
            {
                _promised.Add(again, open);
                _promises.Enqueue(again, open.At);
            }
        }

        foreach (var node in _underWay.Keys)
        {
            if (authority.Ledger.Parts.Find(node.Stock.Holder) is not { IsEnded: false })
                _underWay.Remove(node);
        }
    }

    /// <summary>It has said goodbye.</summary>
    public void Left()
    {
        _promisedBefore.Clear();
        foreach (var (key, promise) in _promised)
            _promisedBefore[key] = (promise.At, promise.Tokens);
        foreach (var (key, owed) in _owed)
            _promisedBefore[key] = owed;
    }

    public void Cancelled(RequestKey key)
    {
        if (_promised.TryGetValue(key, out var promise) && promise.At > world.Now)
            _promised.Remove(key);
    }

    /// <summary>Until a term later the larger of the two holds.</summary>
    public void Changed(RateLimiterPolicy policy)
    {
        var most = World.Policy(
            Math.Max(_policy.TokensPerPeriod, policy.TokensPerPeriod), Math.Max(_policy.Burst, policy.Burst), policy.QueueLimit);
        _ceiling.ChangeTo(most, world.Now);
        (_policyToCome, _policyComesAt, _policy) = (policy, world.Now + LeaseTerm.OfPart, most);
    }

    /// <summary>Time has passed.</summary>
    public void Advance()
    {
        while (true)
        {
            var policyAt = _policyToCome is null ? Instant.Never : _policyComesAt;
            var promiseAt = _promises.TryPeek(out var key, out var at) ? at : Instant.Never;
            if (policyAt > world.Now && promiseAt > world.Now)
                return;
            if (policyAt < promiseAt)
                SettlePolicy();
            else if (_promises.Dequeue() == key && _promised.TryGetValue(key, out var promise) && promise.At == at && _promised.Remove(key))
                world.AdmittedThere(promise.Node, authority, promise.Tokens, promise.At); // a promise is an admission at its instant
        }
    }

    /// <summary>A node has just taken something from the part that it holds.</summary>
    public void CheckTerm(SimulatedNode node)
    {
        authority.Ledger.Describe(world.Now);
        if (authority.Ledger.Parts.Find(node.Stock.Holder) is null or { IsEnded: true })
            throw new BrokenPromiseException("Term", $"node {node.Number} has spent of a part that has ended for its lender");
    }

    /// <summary>The sum, after an event.</summary>
    public void Check()
    {
        authority.Ledger.Describe(world.Now); // looks, and changes nothing
        var rest = authority.Ledger.Rest;
        Int128 all = rest.Units;
        foreach (var node in world.Nodes)
        {
            var part = node.Stock.Part;
            var isHeld = part.Sequence != 0 && part.Epoch == authority.Epoch;
            if (isHeld)
                all += part.UnitsAt(node.Clock) * rest.Cost / part.Cost;
            if (authority.Ledger.Parts.Find(node.Stock.Holder) is not { IsEnded: false } known)
                continue;
            if (isHeld)
                CheckRules(node, part, known, rest);
            var (givenBack, awaited) = node.Stock.Books;
            if (_underWay.TryGetValue(node, out var grant) && grant.Sequence == awaited && known.Answer.Sequence == awaited)
                all += (Int128)grant.Tokens * rest.Cost;
            if (isHeld && (part.Sequence == known.HeldSequence || part.Sequence == known.Answer.Sequence))
                all += (Int128)Math.Clamp(givenBack - known.GivenBack, 0, RoomGivenBack(known, part, rest)) * rest.Cost;
        }

        foreach (var (key, owed) in _owed)
        {
            if (owed.At <= world.Now)
                _owed.Remove(key);
            else if (!_promised.ContainsKey(key))
                all -= (Int128)owed.Tokens * rest.Cost; // he has had them
        }

        if (all * _policy.Period.Ticks > _ceiling.LevelAt(world.Now) * rest.Cost)
            throw new BrokenPromiseException(
                "Sum",
                $"{(double)all / rest.Cost} tokens stand in rest and parts, {_ceiling.TokensAt(world.Now)} in the ideal bucket, "
                + $"at {TimeSpan.FromTicks(world.Now.Ticks)}");
    }

    // Under a smaller policy than that under which it was lent, the rest may have less room than what comes back.
    private long RoomGivenBack(TokenParts.Part known, HeldPart part, in TokenBucket rest)
    {
        var back = Math.Max(known.Room - part.Room, 0);
        return Math.Clamp(authority.Burst - (authority.Ledger.Parts.LentRoom - back) - rest.Tokens, 0, back);
    }

    // The five rules' own bounds: by the lender's clock, what a node holds is no more than what was set aside for it, and no longer.
    private static void CheckRules(SimulatedNode node, HeldPart part, TokenParts.Part known, in TokenBucket rest)
    {
        if (node.Clock >= part.EndsAt)
            return;
        if (known.Rate < rest.FullRate && part.Rate * (1 + node.Speed) * rest.Cost > (double)known.Rate * part.Cost * (1 + 1e-12))
            throw new BrokenPromiseException("Rate", $"node {node.Number} earns more than what was set aside for it");
        if (part.Room > known.Room)
            throw new BrokenPromiseException("Room", $"node {node.Number} has a room of {part.Room}, set aside were {known.Room}");
        if (part.Sequence == known.Answer.Sequence && node.TrueTime(part.EndsAt) > known.EndsAt)
            throw new BrokenPromiseException("Term", $"node {node.Number} holds its part for longer than its lender");
    }

    /// <summary>By replay.</summary>
    public void CheckAtEnd()
    {
        Advance();
        _ceiling.Replay();
    }

    private void SettlePolicy()
    {
        _ceiling.ChangeTo(_policyToCome!, _policyComesAt);
        (_policy, _policyToCome) = (_policyToCome!, null);
    }
}
