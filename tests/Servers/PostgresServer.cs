using System.Globalization;
using System.Reflection;
using Npgsql;

namespace ReliabilityToolkit.Orleans.Servers;

/// <summary>
/// A PostgreSQL of our own, on a free port of loopback, in a temporary folder, with the tables of sql/postgresql.sql. It does not run as root: where
/// the tests do, it runs as the user postgres. It can be stopped and started again.
/// </summary>
public sealed class PostgresServer : IAsyncDisposable
{
    private readonly string _programs;
    private readonly string _folder = Directory.CreateTempSubdirectory("postgres-").FullName;
    private readonly int _port = ServerProcess.FreePort();
    private bool _isRunning;

    private PostgresServer(string programs) => _programs = programs;

    /// <summary>Why there is none on this machine; null: there is one.</summary>
    public static string? WhyMissing => FindPrograms() is null ? "PostgreSQL's initdb is neither on the path nor below /usr/lib/postgresql" : null;

    public int Port => _port;

    /// <summary>As Npgsql wants it.</summary>
    public string Connection => string.Create(
        CultureInfo.InvariantCulture, $"Host=127.0.0.1;Port={_port};Username=postgres;Database=postgres;Pooling=true;Timeout=5;Command Timeout=5");

    public static async Task<PostgresServer> StartAsync()
    {
        var server = new PostgresServer(FindPrograms() ?? throw new InvalidOperationException(WhyMissing));
        if (Environment.UserName == "root")
            await ServerProcess.RunAsync("chown", "postgres", server._folder);
        await server.RunAsync("initdb", "-D", server.Data, "-A", "trust", "-U", "postgres", "--no-sync");
        await server.StartAgainAsync();
        await ApplySchemaAsync(server.Connection);
        return server;
    }

    /// <summary>Applies sql/postgresql.sql.</summary>
    public static async Task ApplySchemaAsync(string connection)
    {
        await using var source = NpgsqlDataSource.Create(connection);
        using var text = new StreamReader(Assembly.GetExecutingAssembly().GetManifestResourceStream("postgresql.sql")!);
        await using var command = source.CreateCommand(await text.ReadToEndAsync());
        await command.ExecuteNonQueryAsync();
    }

    public async Task StartAgainAsync()
    {
        await RunAsync(
            "pg_ctl",
            "-D",
            Data,
            "-o",
            string.Create(CultureInfo.InvariantCulture, $"-p {_port} -k {_folder} -h 127.0.0.1 -c max_connections=400"),
            "-l",
            Path.Combine(_folder, "log"),
            "-w",
            "start");
        _isRunning = true;
    }

    public async Task StopAsync()
    {
        if (_isRunning)
            await RunAsync("pg_ctl", "-D", Data, "-m", "immediate", "-w", "stop");
        _isRunning = false;
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        Directory.Delete(_folder, recursive: true);
    }

    private string Data => Path.Combine(_folder, "data");

    private static string? FindPrograms()
    {
        if (ServerProcess.Find("initdb") is { } initdb)
            return Path.GetDirectoryName(initdb);
        const string installed = "/usr/lib/postgresql";
        return Directory.Exists(installed)
            ? Directory.GetDirectories(installed).Select(version => Path.Combine(version, "bin"))
                .Where(folder => File.Exists(Path.Combine(folder, "initdb"))).Order(StringComparer.Ordinal).LastOrDefault()
            : null;
    }

    private Task RunAsync(string program, params string[] arguments)
    {
        var path = Path.Combine(_programs, program);
        return Environment.UserName == "root"
            ? ServerProcess.RunAsync("runuser", ["-u", "postgres", "--", path, .. arguments])
            : ServerProcess.RunAsync(path, arguments);
    }
}
