using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>The code on the pages is cut from files that compile: each block names its file and the markers around it.</summary>
public sealed partial class DocsTests
{
    private static readonly string Root = FindRoot();

    public static TheoryData<string> Pages =>
    [
        "README.md",
        "src/PACKAGE.md",
        .. Directory.EnumerateFiles(Path.Combine(Root, "docs"), "*.md").Select(static page => $"docs/{Path.GetFileName(page)}").Order(),
    ];

    [Theory]
    [MemberData(nameof(Pages))]
    public void Page_EveryCodeBlock_IsThatOfTheFileItNames(string page)
    {
        var text = File.ReadAllText(Path.Combine(Root, page));
        var blocks = NamedBlock().Matches(text);
        blocks.Should().HaveCount(Regex.Count(text, "```csharp"), "no block is without a source");
        foreach (Match block in blocks)
        {
            var source = File.ReadAllText(Path.Combine(Root, block.Groups["file"].Value));
            var part = block.Groups["part"].Value;
            var cut = Regex.Match(
                source, $@"^(?<indent> *)// <{part}>\n(?<code>.*?)^ *// </{part}>", RegexOptions.Multiline | RegexOptions.Singleline);
            cut.Success.Should().BeTrue($"{block.Groups["file"].Value} has the markers of {part}");
            var code = Regex.Replace(cut.Groups["code"].Value, $"^{cut.Groups["indent"].Value}", "", RegexOptions.Multiline);
            block.Groups["code"].Value.Should().Be(code);
        }
    }

    [Theory]
    [MemberData(nameof(Pages))]
    public void Page_EveryLinkToAFileHere_LeadsToOne(string page)
    {
        foreach (Match link in Link().Matches(File.ReadAllText(Path.Combine(Root, page))))
        {
            var target = Path.Combine(Root, Path.GetDirectoryName(page)!, link.Groups["target"].Value);
            (File.Exists(target) || Directory.Exists(target)).Should().BeTrue($"{link.Value} on {page}");
        }
    }

    [Fact]
    public void Readme_HasCode() => NamedBlock().Count(File.ReadAllText(Path.Combine(Root, "README.md"))).Should().BeGreaterThan(3);

    [Fact]
    public async Task Readme_ItsCode_Runs()
    {
        using var host = ReadmeExample.BuildHost(FreePort(), FreePort());
        await host.StartAsync();
        (await host.Services.GetRequiredService<Gate>().EnterAsync("acme")).Should().Be("welcome");
        (await host.Services.GetRequiredService<Checkout>().PayAsync("acme", "order 1", CancellationToken.None)).Should().Be("order 1 is paid");
        var status = await host.Services.GetRequiredService<IReliabilityToolkit>().GetRateLimiter("tenant", "acme").GetStatusAsync();
        (status.Burst, status.TokensPerPeriod).Should().Be((200, 100));
        status.AvailableTokens.Should().BeInRange(198, 200);
        await host.StopAsync();
    }

    private static string FindRoot()
    {
        var root = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root.FullName, "ReliabilityToolkit.Orleans.sln")))
            root = root.Parent!;
        return root.FullName;
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    [GeneratedRegex(@"<!-- from (?<file>[^:]+): (?<part>[a-z]+) -->\n```csharp\n(?<code>.*?)```", RegexOptions.Singleline)]
    private static partial Regex NamedBlock();

    [GeneratedRegex(@"\]\((?<target>[^)#:]+)(#[^)]*)?\)")]
    private static partial Regex Link();
}
