using SiloHost;

namespace ReliabilityToolkit.Orleans.Chaos;

/// <summary>
/// What the history of all processes comes to. What is certain is counted, and nothing else: each thing happened somewhere within its instants.
/// </summary>
/// <param name="Faults">That were made.</param>
/// <param name="Admissions">Of the limiter.</param>
/// <param name="Excess">L1: tokens above the limit in the worst window; 0 where it was kept.</param>
/// <param name="Permits">That were held.</param>
/// <param name="OverCapacity">K1: permits held at once above the capacity, at the worst instant.</param>
/// <param name="Calls">That the breaker let through.</param>
/// <param name="Trips">Kill switches that returned.</param>
/// <param name="Forgotten">B1, B6: calls that were let through after one had returned, and before the cool-down was over.</param>
/// <param name="TrialsTooMany">B2: trials under way at once above what may be.</param>
/// <param name="Utilisation">Admitted of what the limit allows from the first to the last admission.</param>
/// <param name="OutageP50">After a silo was killed, the longest time without an admission within 20 s: in the mean.</param>
/// <param name="OutageMax">And at worst.</param>
internal sealed record Verdict(
    int Faults,
    int Admissions,
    double Excess,
    int Permits,
    int OverCapacity,
    int Calls,
    int Trips,
    int Forgotten,
    int TrialsTooMany,
    double Utilisation,
    TimeSpan OutageP50,
    TimeSpan OutageMax)
{
    /// <summary>Whether all that is promised was kept.</summary>
    public bool IsKept => Excess <= 0 && OverCapacity <= 0 && Forgotten == 0 && TrialsTooMany <= 0;
}

/// <summary>Holds the merged history of all processes against the promises.</summary>
internal static class Checker
{
    private const double Second = TimeSpan.TicksPerSecond;

    public static Verdict Check(IEnumerable<Happening> history)
    {
        var all = history.ToLookup(static happening => happening.What);
        var admissions = all[What.Admitted].OrderBy(static admission => admission.To).ToArray();
        var outages = Outages(admissions, all[What.Fault].Where(static fault => fault.Name == "kill-silo")).Order().ToArray();
        return new Verdict(
            all[What.Fault].Count(),
            admissions.Length,
            Excess(admissions),
            all[What.Held].Select(static held => held.Name).Distinct().Count(),
            MostAtOnce(all[What.Held]) - Policies.Capacity,
            all[What.Entered].Count(),
            all[What.Tripped].Count(),
            Forgotten(all[What.Tripped].ToArray(), all[What.Entered]),
            MostAtOnce(all[What.Trying]) - Policies.Trials,
            Utilisation(admissions),
            outages.Length == 0 ? default : outages[outages.Length / 2],
            outages.Length == 0 ? default : outages[^1]);
    }

    private static double Excess(Happening[] admissions)
    {
        var limit = new TokenLimit(Policies.Burst, Policies.PerSecond, TimeSpan.FromSeconds(1));
        return Math.Max(0, WorstWindow.Find([.. admissions.Select(static it => new Admission(it.From, it.To))], limit)?.Excess ?? 0);
    }

    // Each was there from the first to the last instant at which it was known to be.
    private static int MostAtOnce(IEnumerable<Happening> happenings)
    {
        var spans = happenings.GroupBy(static one => one.Name)
            .Select(static known => (From: known.Min(static one => one.To), To: known.Max(static one => one.From)))
            .Where(static span => span.From < span.To);
        var (now, most) = (0, 0);
        foreach (var (_, change) in spans.SelectMany(static span => new[] { (At: span.From, Change: 1), (At: span.To, Change: -1) })
            .OrderBy(static edge => edge.At).ThenBy(static edge => edge.Change))
        {
            now += change;
            most = Math.Max(most, now);
        }

        return most;
    }

    private static int Forgotten(Happening[] trips, IEnumerable<Happening> calls) => calls.Count(call =>
        trips.Any(trip => call.From > trip.To && call.To < trip.From + Policies.CoolDown.Ticks));

    private static double Utilisation(Happening[] byAnswer) => byAnswer.Length == 0
        ? 0
        : byAnswer.Length / (Policies.Burst + (Policies.PerSecond * (byAnswer[^1].To - byAnswer[0].From) / Second));

    private static IEnumerable<TimeSpan> Outages(Happening[] byAnswer, IEnumerable<Happening> kills)
    {
        foreach (var kill in kills)
        {
            var (last, longest) = (kill.From, 0L);
            foreach (var admission in byAnswer)
            {
                if (admission.To < kill.From || admission.To > kill.From + (20 * TimeSpan.TicksPerSecond))
                    continue;
                longest = Math.Max(longest, admission.To - last);
                last = admission.To;
            }

            yield return TimeSpan.FromTicks(longest);
        }
    }
}
