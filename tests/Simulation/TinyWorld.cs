using System.Text;
using CsCheck;

namespace ReliabilityToolkit.Orleans.Simulation;

/// <summary>
/// Two nodes, a burst of three tokens and a few messages, in every order in which they can come, be lost or come twice, and with every share that the
/// authority could think of. A state is what was done until then; states in which the machines stand alike are one.
/// </summary>
internal sealed class TinyWorld : IEquatable<TinyWorld>
{
    /// <summary>So many are looked at in a few seconds.</summary>
    public const int Steps = 7;

    private const int Burst = 3;
    private const int MostInFlight = 3;

    private static readonly Scenario Shape = new()
    {
        Rate = 10,
        Burst = Burst,
        QueueLimit = 2,
        Nodes = 2,
        Load = 1e-9,
        Loss = double.Epsilon, // so that nodes know that messages may be lost
        Seconds = 1_000,
        ChecksBooks = true,
    };

    // The first node has its part already.
    private static readonly Act[] Beginning = [new(Act.Kind.Hit, 0, 0), new(Act.Kind.Deliver, 0, 0), new(Act.Kind.Deliver, 0, 0)];

    private readonly Act[] _done;
    private readonly string _standing;
    private readonly int _inFlight;

    private TinyWorld(Act[] done)
    {
        _done = done;
        var (held, shares) = (new List<World.Letter>(), new AnyShares());
        var world = new World(Shape, shares, held);
        try
        {
            foreach (var act in done)
                act.Do(world, held, shares);
        }
        catch (BrokenPromiseException e)
        {
            Broken = e.Message;
        }

        (_inFlight, _standing) = (held.Count, Describe(world, held));
    }

    /// <summary>What a checker found; null: nothing.</summary>
    public string? Broken { get; }

    private int Faults => _done.Count(act => act.What is Act.Kind.Lose or Act.Kind.DeliverTwice);

    /// <summary>Looks at all states that can be reached in so many steps.</summary>
    /// <returns>How many there are, and what was found in the first that breaks a promise; null: nothing was.</returns>
    public static (int States, string? Found) Explore(int steps)
    {
        var spec = Spec.From(new TinyWorld(Beginning))
            .Print(state => state.ToString())
            .Boundary(state => state._done.Length < Beginning.Length + steps)
            .Invariant("L1", "no promise is broken", state => state.Broken is null);
        foreach (var act in Act.All)
            spec = spec.Action(act.ToString(), state => state.Can(act), state => new TinyWorld([.. state._done, act]));
        var result = Check.Exhaustive(spec, out var violation, threads: Environment.ProcessorCount);
        return (result.States, violation is null ? null : $"{violation.Trace.Steps[^1].After.Broken}: {violation.Trace.Steps[^1].After}");
    }

    public bool Equals(TinyWorld? other) => other is not null && _standing == other._standing && Faults == other.Faults;

    public override bool Equals(object? obj) => Equals(obj as TinyWorld);

    public override int GetHashCode() => _standing.GetHashCode(StringComparison.Ordinal);

    public override string ToString() => string.Join(", ", _done.Select(act => act.ToString()));

    private static string Describe(World world, List<World.Letter> held)
    {
        var ledger = world.Authority.Ledger;
        var now = world.Now;
        ledger.Describe(now);
        var text = new StringBuilder();
        Add(ledger.Rest.Units, (long)(world.Ideal(now) / ledger.Rest.FullRate));
        foreach (var node in world.Nodes)
        {
            var (stock, lot, (givenBack, awaited)) = (node.Stock, node.Stock.Part, node.Stock.Books);
            Add((long)lot.UnitsAt(now), lot.Room, lot.Rate, lot.Sequence, lot.EndsAt.After(now).Ticks, givenBack, awaited);
            Add(stock.Waiting, stock.NextDueAt.After(now).Ticks, node.Undecided);
            if (ledger.Parts.Find(stock.Holder) is { } part)
                Add(part.Room, part.Rate, part.HeldRate, part.HeldSequence, part.GivenBack, part.EndsAt.After(now).Ticks, part.Answer.Sequence);
        }

        foreach (var letter in held)
        {
            text.Append(letter.Node.Number);
            if (letter.PartRequest is { } request)
                Add(request.Sequence, request.Taken, request.Room, request.GivenBack, request.Level, request.Want, request.AtTheDoor);
            else if (letter.PartGrant is { } part)
                Add(part.Sequence, part.Room, part.Tokens, part.Served, part.Rate);
            else if (letter.TokenRequest is { } asked)
                Add(asked.Id.Sequence, asked.Tokens);
            else if (letter.TokenGrant is { } grant)
                Add(grant.IsGranted ? 1 : 0, grant.ReadyAfter.Ticks);
        }

        return text.ToString();

        void Add(params ReadOnlySpan<long> numbers)
        {
            foreach (var number in numbers)
                text.Append(number).Append(' ');
            text.Append('|');
        }
    }

    private bool Can(Act act) => Broken is null && act.What switch
    {
        Act.Kind.Pass => true,
        Act.Kind.Lose or Act.Kind.DeliverTwice => act.Number < _inFlight && Faults < 1,
        Act.Kind.Deliver => act.Number < _inFlight,
        _ => _inFlight < MostInFlight,
    };

    /// <summary>One step.</summary>
    /// <param name="What">What is done.</param>
    /// <param name="Number">Which node, which message in flight, or how many milliseconds.</param>
    /// <param name="Share">What the authority would give whoever asks now.</param>
    private sealed record Act(Act.Kind What, int Number, int Share)
    {
        public enum Kind
        {
            Hit,
            Ask,
            Deliver,
            DeliverTwice,
            Lose,
            Pass,
        }

        public static IEnumerable<Act> All =>
        [
            new(Kind.Hit, 0, 0), new(Kind.Hit, 1, 0),
            new(Kind.Ask, 0, 0), new(Kind.Ask, 1, 0),
            .. from number in Enumerable.Range(0, 2) from share in Enumerable.Range(0, AnyShares.Kinds) select new Act(Kind.Deliver, number, share),
            new(Kind.DeliverTwice, 0, 0), new(Kind.Lose, 0, 0),
            new(Kind.Pass, 100, 0), new(Kind.Pass, 400, 0),
        ];

        public void Do(World world, List<World.Letter> held, AnyShares shares)
        {
            shares.Choice = Share;
            switch (What)
            {
                case Kind.Hit:
                    world.Nodes[Number].OnArrival(1, CallerPatience.None);
                    break;
                case Kind.Ask:
                    world.Nodes[Number].OnArrival(1, CallerPatience.ForAnAnswer);
                    break;
                case Kind.Deliver:
                    world.Deliver(Take());
                    break;
                case Kind.DeliverTwice:
                    world.Deliver(held[Number]);
                    break;
                case Kind.Lose:
                    Take();
                    break;
                case Kind.Pass:
                    world.Pass(TimeSpan.FromMilliseconds(Number));
                    break;
            }

            World.Letter Take()
            {
                var letter = held[Number];
                held.RemoveAt(Number);
                return letter;
            }
        }

        public override string ToString() => What == Kind.Deliver ? $"{What} {Number} ({Share})" : $"{What} {Number}";
    }

    /// <summary>Not what is sensible, but whatever one likes.</summary>
    private sealed class AnyShares : TokenShares
    {
        private static readonly (int Room, double Rate, int Tokens)[] Choices = [(Burst, 10, Burst), (2, 5, 1), (0, 0, 0)];

        public static int Kinds => Choices.Length;

        public int Choice { get; set; }

        public override int Room(double demand, int roomBefore, long lentToOthers) => Choices[Choice].Room;

        public override double Rate(double demand, int room, int level, double rateBefore, double lentToOthers) =>
            Choices[Choice].Rate;

        public override long TopUp(long rest, double demand, int room, int level) => Math.Min(rest, Choices[Choice].Tokens);
    }
}
