namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>An activation: the machine, and around it what the grain does.</summary>
internal sealed class SimulatedAuthority
{
    private readonly World _world;
    private AnswerLog<TokenGrant> _answers = new();
    private readonly Dictionary<Borrower, Instant> _heardAt = [];
    private bool _hasSuccessor;

    public SimulatedAuthority(World world, in Heritage<LimiterMemory> heritage, RateLimiterPolicy told, RateLimiterPolicy policy)
    {
        (_world, Epoch, BornAt) = (world, heritage.Epoch, world.Now);
        Ledger = new TokenLedger(told, world.Now, heritage, world.Shares);
        Books = new Books(world, this, policy);
    }

    public long Epoch { get; }

    public Instant BornAt { get; }

    public long Burst => Ledger.Describe(_world.Now).Burst;

    public TokenLedger Ledger { get; private set; }

    /// <summary>Its record, where one is kept.</summary>
    public Office<LimiterMemory>? Office { get; set; }

    /// <summary>Whether it may answer at all.</summary>
    public bool MayDecide => Office is null || Office.MayDecide(Ledger);

    /// <summary>Another activation carries on.</summary>
    public void CarryOn(TokenLedger ledger, Office<LimiterMemory>? office, TimeSpan away)
    {
        foreach (var node in _heardAt.Keys)
            _heardAt[node] += away;
        (Ledger, Office, _answers) = (ledger, office, new AnswerLog<TokenGrant>());
        Books.CarriedOn(away);
    }

    /// <summary>Says something, when what it has decided is recorded.</summary>
    public void Answer(Action say)
    {
        if (Office is null)
            say();
        else
            Office.Answer(Ledger, say);
    }

    public Books Books { get; }

    /// <summary>Whether anybody has asked it anything.</summary>
    public bool IsUsed { get; private set; }

    public PartGrant Renew(SimulatedNode node, in PartRequest request)
    {
        Hear(request.Epoch);
        Ledger.Describe(_world.Now);
        var before = Ledger.Rest.Units;
        var grant = Ledger.Renew(request, _world.Now);
        Books.Answered(node, request, grant, before != Ledger.Rest.Units);
        if (_hasSuccessor && (grant.Room > 0 || grant.Tokens > 0 || grant.Served > 0))
            throw new BrokenPromiseException("Successor", "one that has heard of its successor lends");
        CheckShares(request.Holder);
        return grant;
    }

    public TokenGrant Acquire(SimulatedNode node, in TokenRequest request)
    {
        Ledger.Describe(_world.Now);
        var before = Ledger.Rest.Units;
        var grant = _answers.Once(
            request.Id, _world.Now, Ledger, request, static (ledger, request, now) => ledger.Acquire(request, now));
        if (!grant.IsVoid())
            Hear(request.Epoch); // a request that nobody awaits any more does not reach the machine
        Books.Answered(node, request, grant, before - Ledger.Rest.Units);
        if (_hasSuccessor && grant.IsGranted && before != Ledger.Rest.Units)
            throw new BrokenPromiseException("Successor", "one that has heard of its successor admits");
        CheckShares(new Borrower(request.Id.Node, request.Id.Channel));
        return grant;
    }

    public void Cancel(in RequestId id)
    {
        _answers.Void(id, _world.Now);
        Books.Cancelled(id.Key);
        Ledger.Cancel(id.Key, _world.Now);
    }

    // Who is dead, or wants nothing any more, must not keep others from their shares.
    private void CheckShares(Borrower asker)
    {
        if (!_world.Scenario.ChecksBooks || Ledger.Shares is not { } shares)
            return;
        _heardAt[asker] = _world.Now;
        var askers = _heardAt.Values.Count(heardAt => shares.ReckonedAt - heardAt < TimeSpan.FromSeconds(1));
        if (shares.Askers > askers)
            throw new BrokenPromiseException("Share", $"shares are reckoned for {shares.Askers}, but {askers} have asked lately");
    }

    private void Hear(long epoch)
    {
        if (!IsUsed && (epoch == 0 || epoch == Epoch))
            _world.StartedUnaware(this);
        IsUsed = true;
        _hasSuccessor |= epoch > Epoch;
    }
}
