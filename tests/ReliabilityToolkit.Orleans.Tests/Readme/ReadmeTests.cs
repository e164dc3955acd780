using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>The README's code is cut from files that compile: each block names its file and the markers around it.</summary>
public sealed partial class ReadmeTests
{
    [Fact]
    public void Readme_EveryCodeBlock_IsThatOfTheFileItNames()
    {
        var root = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(root.FullName, "ReliabilityToolkit.Orleans.sln")))
            root = root.Parent!;
        var readme = File.ReadAllText(Path.Combine(root.FullName, "README.md"));
        var blocks = NamedBlock().Matches(readme);
        blocks.Should().HaveCount(4).And.HaveCount(Regex.Count(readme, "```csharp"), "no block is without a source");
        foreach (Match block in blocks)
        {
            var source = File.ReadAllText(Path.Combine(root.FullName, block.Groups["file"].Value));
            var part = block.Groups["part"].Value;
            var cut = Regex.Match(
                source, $@"^(?<indent> *)// <{part}>\n(?<code>.*?)^ *// </{part}>", RegexOptions.Multiline | RegexOptions.Singleline);
            cut.Success.Should().BeTrue($"{block.Groups["file"].Value} has the markers of {part}");
            var code = Regex.Replace(cut.Groups["code"].Value, $"^{cut.Groups["indent"].Value}", "", RegexOptions.Multiline);
            block.Groups["code"].Value.Should().Be(code);
        }
    }

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

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    [GeneratedRegex(@"<!-- from (?<file>[^:]+): (?<part>[a-z]+) -->\n```csharp\n(?<code>.*?)```", RegexOptions.Singleline)]
    private static partial Regex NamedBlock();
}
