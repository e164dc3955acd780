using System.Reflection;
using System.Runtime.Loader;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace ReliabilityToolkit.Orleans.PlantedBugs;

/// <summary>
/// A mistake that one could make: the machines and the simulator are compiled with it, and the seeds are run until the checker that is there for it
/// finds it. The sources themselves know nothing of it.
/// </summary>
/// <param name="Name">What is wrong.</param>
/// <param name="FoundBy">The checker.</param>
/// <param name="Place">Where, in src.</param>
/// <param name="Right">What stands there, once.</param>
/// <param name="Wrong">What is put in its place.</param>
/// <param name="Near">From which seed on it is looked for: that which finds it is not far from there.</param>
internal sealed record PlantedBug(string Name, string FoundBy, string Place, string Right, string Wrong, ulong Near = 1)
{
    private const ulong MostSeeds = 6_000;

    private const string Usings = """
        global using System;
        global using System.Collections.Generic;
        global using System.Linq;
        global using System.Threading;
        global using System.Threading.Tasks;
        global using Orleans;
        global using Orleans.Metadata;
        global using Orleans.Runtime;
        """;

    private static readonly string Root = FindRoot();

    private static readonly Lazy<(string File, string Text)[]> Sources = new(() =>
    [
        ("", Usings),
        .. Read("src/Abstractions"),
        .. Read("src/Grains/RateLimiting").Where(source => !source.File.EndsWith("Grain.cs", StringComparison.Ordinal)),
        .. Read("src/Grains/CircuitBreaking").Where(source => !source.File.EndsWith("Grain.cs", StringComparison.Ordinal)),
        .. Read("src/Grains/Bulkheads").Where(source => !source.File.EndsWith("Grain.cs", StringComparison.Ordinal)),
        .. Read("src/Grains/Requests"),
        .. Read("src/Grains/Authorities").Where(source => IsMachine(Path.GetFileNameWithoutExtension(source.File))),
        .. Read("src/Client/RateLimiting").Where(source => IsMachine(Path.GetFileNameWithoutExtension(source.File))),
        .. Read("src/Client/CircuitBreaking").Where(source => IsMachine(Path.GetFileNameWithoutExtension(source.File))),
        .. Read("src/Client/Bulkheads").Where(source => IsMachine(Path.GetFileNameWithoutExtension(source.File))),
        .. Read("src/Client/Telemetry").Where(source => IsMachine(Path.GetFileNameWithoutExtension(source.File))),
        .. Read("src/Client/Requests").Where(source => IsMachine(Path.GetFileNameWithoutExtension(source.File))),
        .. Read("tests/Simulation").Where(source => !source.File.EndsWith("Program.cs", StringComparison.Ordinal)),
    ]);

    private static readonly Lazy<SyntaxTree[]> Trees = new(() => Array.ConvertAll(Sources.Value, Parse));

    private static readonly Lazy<MetadataReference[]> References = new(() =>
    [
        .. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator)
            .Where(file => !Path.GetFileName(file).StartsWith("ReliabilityToolkit", StringComparison.Ordinal))
            .Select(file => MetadataReference.CreateFromFile(file)),
    ]);

    /// <summary>The seed in whose world it was found, with all that the checker says; null where it was not.</summary>
    public string? Find() => (string?)Compile(new AssemblyLoadContext(Name)) // not collectible: with a hundred of those unloaded, test hosts crashed
        .GetType("ReliabilityToolkit.Orleans.Simulation.Swarm")!
        .GetMethod("Find")!
        .Invoke(null, BindingFlags.DoNotWrapExceptions, null, [FoundBy, Near, MostSeeds], null);

    public override string ToString() => Name;

    private static bool IsMachine(string name) =>
        name is "TokenStock" or "HeldPart" or "TokenLot" or "TokenCaller" or "Demand" or "LocalShare" or "WhenUnavailable" or "Outage"
            or "RequestChannel" or "CircuitView" or "HeldVerdict" or "CircuitCaller" or "CircuitFallback" or "CircuitStateChange"
            or "SlotStock" or "SlotLot" or "SlotCaller" or "IAuthorityMachine" or "PendingOrders" or "Tenure" or "Heritage"
            or "AuthorityRecord" or "DecisionSource";

    private static SyntaxTree Parse((string File, string Text) source) =>
        CSharpSyntaxTree.ParseText(source.Text, new CSharpParseOptions(LanguageVersion.Latest), source.File);

    private static IEnumerable<(string File, string Text)> Read(string folder) =>
        Directory.EnumerateFiles(Path.Combine(Root, folder), "*.cs", SearchOption.AllDirectories)
            .Select(file => Path.GetRelativePath(Root, file).Replace('\\', '/'))
            .Where(file => !file.Contains("/obj/", StringComparison.Ordinal) && !file.Contains("/bin/", StringComparison.Ordinal))
            .Select(file => (file, File.ReadAllText(Path.Combine(Root, file))));

    private static string FindRoot()
    {
        var root = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root.FullName, "ReliabilityToolkit.Orleans.sln")))
            root = root.Parent!;
        return root.FullName;
    }

    private Assembly Compile(AssemblyLoadContext context)
    {
        var sources = Sources.Value;
        var trees = Trees.Value.ToArray();
        var place = Array.FindIndex(sources, source => source.File == "src/" + Place);
        if (place < 0)
            throw new InvalidOperationException($"There is no src/{Place}.");
        var parts = sources[place].Text.Split(Right);
        if (parts.Length != 2)
            throw new InvalidOperationException($"In src/{Place} there is {parts.Length - 1} times: {Right}");
        trees[place] = Parse((sources[place].File, string.Join(Wrong, parts)));

        var compilation = CSharpCompilation.Create(
            "Planted",
            trees,
            References.Value,
            new CSharpCompilationOptions(
                OutputKind.DynamicallyLinkedLibrary,
                optimizationLevel: OptimizationLevel.Release,
                nullableContextOptions: NullableContextOptions.Enable));
        using var stream = new MemoryStream();
        var result = compilation.Emit(stream);
        if (!result.Success)
            throw new InvalidOperationException(
                $"{Name} does not compile: {string.Join("; ", result.Diagnostics.Where(each => each.Severity == DiagnosticSeverity.Error))}");
        stream.Position = 0;
        return context.LoadFromStream(stream);
    }
}
