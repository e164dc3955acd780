namespace SiloHost;

/// <summary>
/// Who asks next: the k-th of the tenants in proportion to 1/k^skew (Zipf's law), so that a few ask for more than their limit and most for less.
/// </summary>
internal sealed class Demand
{
    private readonly double[] _cumulative;

    public Demand(int tenants, double skew)
    {
        _cumulative = new double[tenants];
        var sum = 0.0;
        for (var k = 0; k < tenants; k++)
            _cumulative[k] = sum += Math.Pow(k + 1, -skew);
    }

    /// <param name="chance">In [0, 1).</param>
    public int Next(double chance)
    {
        var found = Array.BinarySearch(_cumulative, chance * _cumulative[^1]);
        return Math.Min(found < 0 ? ~found : found + 1, _cumulative.Length - 1);
    }
}
