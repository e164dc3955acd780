namespace SiloHost;

/// <summary>Makes the tables that Orleans' providers need of a PostgreSQL database: what sql/postgresql.sql says.</summary>
internal static class SchemaMode
{
    public static async Task<int> RunAsync(IReadOnlyList<string> args)
    {
        var store = new Arguments(args, "--cluster").Store("--cluster") ?? throw new UsageException("--cluster says to which database.");
        try
        {
            await store.ApplySchemaAsync();
            Console.WriteLine("Done.");
            return ExitCode.Good;
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            await Console.Error.WriteLineAsync($"The schema was not applied: {e.Message}");
            return ExitCode.CouldNotRun;
        }
    }
}
