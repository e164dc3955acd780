using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class StopHostOnEvictionTests
{
    [Fact]
    public async Task Host_OfASiloThatCannotGoOn_StopsInOrderAndSaysWhy()
    {
        var log = new LogBook<StopHostOnEviction>();
        using var host = new HostBuilder()
            .UseOrleans(static silo => silo.UseLocalhostClustering().AddReliabilityToolkit(static toolkit => toolkit.StopHostWhenEvicted()))
            .Build();
        host.Services.GetRequiredService<IFatalErrorHandler>().Should().BeOfType<StopHostOnEviction>("Orleans' own ends the process");

        using var plain = new HostBuilder().Build();
        await plain.StartAsync();
        var lifetime = plain.Services.GetRequiredService<IHostApplicationLifetime>();
        var handler = new StopHostOnEviction(lifetime, log);
        handler.IsUnexpected(new InvalidOperationException()).Should().BeTrue();
        handler.OnFatalException(this, "I have been told I am dead", new InvalidOperationException());
        lifetime.ApplicationStopping.IsCancellationRequested.Should().BeTrue();
        log.Lines.Should().ContainSingle().Which.Should().StartWith("Critical: ").And.Contain("I have been told I am dead");
    }
}
