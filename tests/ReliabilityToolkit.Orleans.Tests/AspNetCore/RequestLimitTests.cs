using System.Net;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.RateLimiting;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using ReliabilityToolkit.Orleans.AspNetCore;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>Limits of the cluster in ASP.NET Core's middleware, over HTTP.</summary>
[Collection(ClusterTests.Name)]
public sealed class RequestLimitTests(ToolkitCluster cluster) : IAsyncLifetime
{
    private static readonly HttpClient Http = new();

    private readonly string _key = ToolkitCluster.NewKey();
    private WebApplication? _app;
    private string _url = "";

    public async Task InitializeAsync() => await StartAsync(static limits => limits
        .AddClusterPolicy("tenant", "pair", static context => (string?)context.GetRouteValue("tenant"))
        .AddClusterPolicy("told", "fifty", static context => (string?)context.GetRouteValue("tenant"), limit => limit.HeadersOnSuccess = true)
        .AddClusterPolicy(
            "wide", "wide", static context => (string?)context.GetRouteValue("tenant"), limit => limit.HeadersOnSuccess = true)
        .AddClusterPolicy("patient", "quick", static context => (string?)context.GetRouteValue("tenant"), limit => limit.Wait = true)
        .AddClusterPolicy(
            "chosen",
            static context => [new ClusterLimit((string)context.GetRouteValue("tenant")!)],
            limit => (limit.UnknownPolicyStatusCode, limit.BadKeyStatusCode) = (410, 418))
        .AddClusterPolicy("both", static context =>
        [
            new ClusterLimit("fifty", (string?)context.GetRouteValue("tenant")),
            new ClusterLimit("pair", context.GetRouteValue("tenant") + "-all"),
        ])
        .AddClusterPolicy("twice", static context =>
        [
            new ClusterLimit("pair", (string?)context.GetRouteValue("tenant")),
            new ClusterLimit("pair", context.Request.Query["other"]),
        ])
        .AddClusterPolicy("few", static context => [ClusterLimit.Bulkhead("single", (string?)context.GetRouteValue("tenant"))])
        .AddClusterPolicy("none", static _ => [])
        .UseClusterRejections());

    public async Task DisposeAsync() => await _app!.DisposeAsync();

    [Fact]
    public async Task Request_AboveItsLimit_Is429WithAProblemAndTheHeaderFields()
    {
        (await GetAsync($"/tenant/{_key}")).StatusCode.Should().Be(HttpStatusCode.OK);
        var second = await GetAsync($"/tenant/{_key}");
        second.StatusCode.Should().Be(HttpStatusCode.OK);
        second.Headers.Should().NotContain(header => header.Key.StartsWith("RateLimit", StringComparison.Ordinal), "that is not wanted here");
        var refused = await GetAsync($"/tenant/{_key}");
        refused.StatusCode.Should().Be(HttpStatusCode.TooManyRequests);
        refused.Headers.RetryAfter!.Delta.Should().BeCloseTo(TimeSpan.FromMinutes(30), TimeSpan.FromMinutes(1));
        Header(refused, "RateLimit-Policy").Should().Be("\"pair\";q=2;w=3600");
        Header(refused, "RateLimit").Should().MatchRegex("^\"pair\";r=0;t=1[78]\\d\\d$");
        refused.Content.Headers.ContentType!.MediaType.Should().Be("application/problem+json");
        var problem = await ProblemAsync(refused);
        problem.GetProperty("status").GetInt32().Should().Be(429);
        problem.GetProperty("reason").GetString().Should().Be("RateLimited");
        problem.GetProperty("policy").GetString().Should().Be("pair");
        (await GetAsync($"/tenant/{_key}-other")).StatusCode.Should().Be(HttpStatusCode.OK, "that is another's limit");
    }

    [Fact]
    public async Task Request_ThatIsAdmitted_CarriesTheHeaderFieldsWhereWanted()
    {
        var admitted = await GetAsync($"/told/{_key}");
        admitted.StatusCode.Should().Be(HttpStatusCode.OK);
        Header(admitted, "RateLimit-Policy").Should().Be("\"fifty\";q=50;w=180000");
        admitted.Headers.Contains("RateLimit").Should().BeFalse("the node holds nothing of it, and would have to ask");

        HttpResponseMessage wide = null!;
        await ToolkitCluster.EventuallyAsync(
            async () => (wide = await GetAsync($"/wide/{_key}")).Headers.Contains("RateLimit"), "the node has a part, and tells what is in it");
        Header(wide, "RateLimit-Policy").Should().Be("\"wide\";q=10000;w=1");
        Header(wide, "RateLimit").Should().MatchRegex("^\"wide\";r=[1-9]\\d*;t=1$");
    }

    [Fact]
    public async Task Request_ThatMayWait_Waits()
    {
        for (var i = 0; i < 5; i++)
            (await GetAsync($"/patient/{_key}")).StatusCode.Should().Be(HttpStatusCode.OK, "one each 20 ms");
    }

    [Fact]
    public async Task Requests_UnderTwoLimits_AreRefusedByEitherAndTakeNothingOfTheOther()
    {
        for (var i = 0; i < 2; i++)
            (await GetAsync($"/both/{_key}")).StatusCode.Should().Be(HttpStatusCode.OK);
        var refused = await GetAsync($"/both/{_key}");
        refused.StatusCode.Should().Be(HttpStatusCode.TooManyRequests);
        (await ProblemAsync(refused)).GetProperty("policy").GetString().Should().Be("pair");
        Header(refused, "RateLimit-Policy").Should().Be("\"fifty\";q=50;w=180000, \"pair\";q=2;w=3600");
        await ToolkitCluster.EventuallyAsync(
            async () => (await cluster.Outside.GetRateLimiter("fifty", _key).GetStatusAsync()).AvailableTokens == 48, "what was taken is given back");
    }

    [Fact]
    public async Task Request_WhoseLimitsAreOne_MeetsItOnceAndTellsItOnce()
    {
        // A stranger chose the same key twice; that was a 500 once, for a limit cannot be combined with itself.
        for (var i = 0; i < 2; i++)
            (await GetAsync($"/twice/{_key}?other={_key}")).StatusCode.Should().Be(HttpStatusCode.OK);
        (await GetAsync($"/twice/{_key}?other={_key}")).StatusCode.Should().Be(HttpStatusCode.TooManyRequests);
        var other = await GetAsync($"/twice/{_key}?other={_key}-other");
        other.StatusCode.Should().Be(HttpStatusCode.TooManyRequests);
        Header(other, "RateLimit-Policy").Should().Be("\"pair\";q=2;w=3600", "one for both keys");
        Header(other, "RateLimit").Should().StartWith("\"pair\";r=0;t=");
    }

    [Fact]
    public async Task Shadow_InTheMiddleware_CountsAsItWouldBeDecided()
    {
        var pair = cluster.Outside.GetRateLimiter("pair", _key);
        await pair.SetPolicyAsync(new RateLimiterPolicy { Burst = 3, TokensPerPeriod = 1, Period = TimeSpan.FromHours(1), Enforce = false }, 1);
        for (var i = 0; i < 5; i++)
            (await GetAsync($"/tenant/{_key}")).StatusCode.Should().Be(HttpStatusCode.OK);
        (await pair.GetStatusAsync()).AvailableTokens.Should().Be(0, "three were admitted by it");
        var statistics = pair.GetStatistics()!;
        statistics.TotalFailedLeases.Should().BeInRange(2, 3, "one token may lie in a part of the node");
        (statistics.TotalFailedLeases + statistics.TotalSuccessfulLeases).Should().Be(5);
    }

    [Theory]
    [InlineData("/tenant/%01", 400)]
    [InlineData("/tenant/%0A", 400)]
    [InlineData("/chosen/no-such-policy", 410)]
    [InlineData("/chosen/not%20a%20policy", 410)]
    public async Task Request_WithAKeyOrPolicyThatIsNone_IsItsSendersFault(string path, int status)
    {
        var refused = await GetAsync(path);
        ((int)refused.StatusCode).Should().Be(status);
        (await ProblemAsync(refused)).GetProperty("detail").GetString().Should().NotBeEmpty();
        refused.Headers.Should().NotContain(header => header.Key.StartsWith("RateLimit", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Request_WithAKeyThatIsTooLong_IsItsSendersFault() =>
        (await GetAsync($"/tenant/{new string('x', 257)}")).StatusCode.Should().Be(HttpStatusCode.BadRequest);

    [Fact]
    public async Task Request_WhileTheBulkheadIsFullOrClosed_Is503()
    {
        var bulkhead = cluster.Outside.GetBulkhead("single", _key);
        using (await bulkhead.AcquireAsync())
        {
            var full = await GetAsync($"/few/{_key}");
            full.StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
            (await ProblemAsync(full)).GetProperty("reason").GetString().Should().Be("NoFreeSlot");
        }

        (await GetAsync($"/few/{_key}")).StatusCode.Should().Be(HttpStatusCode.OK);
        (await GetAsync($"/few/{_key}")).StatusCode.Should().Be(HttpStatusCode.OK, "the slot is free again when the answer is given");
        await bulkhead.CloseAsync();
        (await GetAsync($"/few/{_key}")).StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
    }

    [Fact]
    public async Task Request_WhileTheAuthorityIsSilent_Is503WithRetryAfter()
    {
        await _app!.DisposeAsync();
        await StartAsync(
            limits => limits.AddClusterPolicy("tenant", "pair").UseClusterRejections(), new Unreachable(new FakeNode(TimeProvider.System)));
        var refused = await GetAsync("/tenant/any");
        refused.StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
        refused.Headers.RetryAfter!.Delta.Should().Be(TimeSpan.FromSeconds(1));
        (await ProblemAsync(refused)).GetProperty("reason").GetString().Should().Be("AuthorityUnavailable");
    }

    [Fact]
    public async Task GlobalLimiter_HoldsForAllRequests()
    {
        await _app!.DisposeAsync();
        await StartAsync(limits => limits.UseClusterGlobalLimiter(_ => [new ClusterLimit("pair", _key)]).UseClusterRejections());
        (await GetAsync("/free")).StatusCode.Should().Be(HttpStatusCode.OK);
        (await GetAsync("/free")).StatusCode.Should().Be(HttpStatusCode.OK);
        (await GetAsync("/free")).StatusCode.Should().Be(HttpStatusCode.TooManyRequests);
    }

    [Fact]
    public async Task Rejection_OfAnotherLibrarysLimiter_Is429()
    {
        await _app!.DisposeAsync();
        await StartAsync(static limits =>
        {
            limits.AddFixedWindowLimiter("tenant", options => (options.PermitLimit, options.Window) = (1, TimeSpan.FromHours(1)));
            limits.UseClusterRejections();
        });
        (await GetAsync("/tenant/any")).StatusCode.Should().Be(HttpStatusCode.OK);
        var refused = await GetAsync("/tenant/any");
        refused.StatusCode.Should().Be(HttpStatusCode.TooManyRequests);
        refused.Headers.RetryAfter.Should().NotBeNull();
    }

    [Fact]
    public async Task Request_UnderNoLimit_IsNotLimited() => (await GetAsync("/none/any")).StatusCode.Should().Be(HttpStatusCode.OK);

    [Fact]
    public void Options_OutOfRange_AreRefused()
    {
        var options = new RateLimiterOptions();
        options.Invoking(it => it.AddClusterPolicy("x", "y", configure: limit => limit.BadKeyStatusCode = 500))
            .Should().Throw<ArgumentOutOfRangeException>().WithParameterName("BadKeyStatusCode");
        options.Invoking(it => it.AddClusterPolicy("x", "y", configure: limit => limit.UnknownPolicyStatusCode = 200))
            .Should().Throw<ArgumentOutOfRangeException>().WithParameterName("UnknownPolicyStatusCode");
    }

    private static string Header(HttpResponseMessage response, string name) => response.Headers.GetValues(name).Should().ContainSingle().Subject;

    private static async Task<JsonElement> ProblemAsync(HttpResponseMessage response)
    {
        using var document = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        return document.RootElement.Clone();
    }

    private Task<HttpResponseMessage> GetAsync(string path) => Http.GetAsync(new Uri(_url + path));

    private async Task StartAsync(Action<RateLimiterOptions> limits, IReliabilityToolkit? toolkit = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.WebHost.ConfigureKestrel(static kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        builder.Logging.ClearProviders();
        builder.Services.AddSingleton(toolkit ?? cluster.Outside);
        builder.Services.AddRateLimiter(limits);
        _app = builder.Build();
        _app.UseRouting();
        _app.UseRateLimiter();
        foreach (var policy in new[] { "tenant", "told", "patient", "chosen", "both", "twice", "few", "none", "wide" })
            _app.MapGet($"/{policy}/{{tenant}}", static () => "served").RequireRateLimiting(policy);
        _app.MapGet("/free", static () => "served");
        await _app.StartAsync();
        _url = _app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
    }

    /// <summary>A node whose authorities never answer.</summary>
    private sealed class Unreachable(FakeNode node) : IReliabilityToolkit
    {
        public ClusterRateLimiter GetRateLimiter(string policy, string? key = null) => node.NewLimiter().Limiter;

        public ClusterCircuitBreaker GetCircuitBreaker(string policy, string? key = null) => node.NewBreaker().Breaker;

        public ClusterBulkhead GetBulkhead(string policy, string? key = null) => node.NewBulkhead().Bulkhead;
    }
}
