namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>A checker found something.</summary>
internal sealed class BrokenPromiseException(string message) : Exception(message);

/// <summary>
/// L1, twice: each admission against one ideal bucket, and the sum from which it follows: what stands in the rest and in all parts, or is on its way
/// between them, is never more than what stands in a bucket that was fed with all admissions.
/// </summary>
internal sealed class Books(World world)
{
    private readonly IdealBucket _ideal = new(world.Scenario.Policy);
    private readonly List<(Instant At, int Tokens)> _admissions = [];
    private readonly PartGrant[] _underWay = new PartGrant[world.Scenario.Nodes];

    public void Admitted(int tokens)
    {
        _ideal.Take(tokens, world.Now);
        if (world.Scenario.ChecksBooks)
            _admissions.Add((world.Now, tokens));
        if (_ideal.LevelAt(world.Now) < 0)
            throw new BrokenPromiseException($"L1: one too many at {TimeSpan.FromTicks(world.Now.Ticks)}");
    }

    public void Answered(int node, in PartGrant grant) => _underWay[node] = grant;

    /// <summary>The sum, after an event.</summary>
    public void Check()
    {
        world.Ledger.Describe(world.Now); // looks, and changes nothing
        var rest = world.Ledger.Rest;
        Int128 sum = rest.Units;
        for (var i = 0; i < world.Nodes.Count; i++)
        {
            var node = world.Nodes[i];
            sum += node.Stock.UnitsAt(node.Clock);
            var (givenBack, taken, sequence) = node.Stock.Books;
            if (_underWay[i].Sequence == sequence && taken != sequence)
                sum += (Int128)_underWay[i].Tokens * rest.Cost;
            if (world.Ledger.Parts.Known.FirstOrDefault(part => part.Holder == node.Stock.Holder) is { IsEnded: false } part
                && taken != 0 && (taken == part.HeldSequence || taken == part.Answer.Sequence))
                sum += (Int128)Math.Clamp(givenBack - part.GivenBack, 0, part.Room - node.Stock.Room) * rest.Cost;
        }

        var ideal = _ideal.LevelAt(world.Now) * (rest.Cost / world.Scenario.Policy.Period.Ticks);
        if (sum > ideal)
            throw new BrokenPromiseException(
                $"The books: {(double)sum / rest.Cost} tokens stand in rest and parts, {(double)ideal / rest.Cost} in the ideal bucket, "
                + $"at {TimeSpan.FromTicks(world.Now.Ticks)}");
    }

    public void CheckAtEnd()
    {
        if (IdealBucket.FirstExcess(world.Scenario.Policy, _admissions) is { } excess)
            throw new BrokenPromiseException($"L1: by replay one too many at {TimeSpan.FromTicks(excess.At.Ticks)}");
    }
}
