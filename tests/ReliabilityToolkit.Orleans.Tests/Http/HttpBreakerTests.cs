using System.Net;
using System.Net.Http.Headers;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using ReliabilityToolkit.Orleans.Http;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A breaker of the cluster per host, in clients of HttpClientFactory.</summary>
[Collection(ClusterTests.Name)]
public sealed class HttpBreakerTests(ToolkitCluster cluster)
{
    private readonly FakeTimeProvider _time = new(DateTimeOffset.UtcNow);
    private readonly string _host = $"{ToolkitCluster.NewKey()}.example";
    private Func<HttpRequestMessage, CancellationToken, Task<HttpResponseMessage>> _answer = static (_, _) => Answer(HttpStatusCode.OK);
    private int _sent;

    [Fact]
    public async Task Host_ThatFails_IsLeftInPeaceByAllNodesAndOthersAreNot()
    {
        var client = NewClient(cluster.Outside);
        _answer = static (_, _) => Answer(HttpStatusCode.BadGateway);
        for (var i = 0; i < 2; i++)
            (await GetAsync(client)).StatusCode.Should().Be(HttpStatusCode.BadGateway);
        var open = (await client.Awaiting(GetAsync).Should().ThrowAsync<CircuitOpenException>()).Which;
        (open.Name, open.State).Should().Be(($"two/{_host}:443", CircuitState.Open));
        open.RetryAfter.Should().BeCloseTo(TimeSpan.FromHours(1), TimeSpan.FromMinutes(1));
        await NewClient(cluster.Nodes[0]).Awaiting(GetAsync).Should().ThrowAsync<CircuitOpenException>("it is the cluster's");
        _sent.Should().Be(2);
        (await client.GetAsync(new Uri($"https://{_host}:8443/"))).StatusCode.Should().Be(HttpStatusCode.BadGateway, "that is another port");
    }

    [Theory]
    [InlineData(HttpStatusCode.NotFound)]
    [InlineData(HttpStatusCode.NotImplemented)]
    [InlineData(HttpStatusCode.TooManyRequests)]
    public async Task Answers_ThatSaySomethingOfTheRequest_AreNoFailures(HttpStatusCode status)
    {
        var client = NewClient(cluster.Outside);
        _answer = (_, _) => Answer(status);
        for (var i = 0; i < 4; i++)
            (await GetAsync(client)).StatusCode.Should().Be(status);
    }

    [Theory]
    [InlineData(HttpStatusCode.TooManyRequests)]
    [InlineData(HttpStatusCode.ServiceUnavailable)]
    public async Task RetryAfter_IsHonoured(HttpStatusCode status)
    {
        var client = NewClient(cluster.Outside);
        _answer = (_, _) => Answer(status, new RetryConditionHeaderValue(TimeSpan.FromSeconds(20)));
        (await GetAsync(client)).StatusCode.Should().Be(status);
        (await client.Awaiting(GetAsync).Should().ThrowAsync<CircuitOpenException>()).Which.RetryAfter.Should().Be(TimeSpan.FromSeconds(20));
        _answer = static (_, _) => Answer(HttpStatusCode.OK);
        _time.Advance(TimeSpan.FromSeconds(20));
        (await GetAsync(client)).StatusCode.Should().Be(HttpStatusCode.OK);
        _sent.Should().Be(2);
    }

    [Fact]
    public async Task RetryAfter_AsADateOrFarAway_IsHonouredWithinBounds()
    {
        var client = NewClient(cluster.Outside);
        _answer = (_, _) => Answer(HttpStatusCode.TooManyRequests, new RetryConditionHeaderValue(_time.GetUtcNow().AddDays(7)));
        await GetAsync(client);
        (await client.Awaiting(GetAsync).Should().ThrowAsync<CircuitOpenException>()).Which.RetryAfter.Should().Be(TimeSpan.FromMinutes(1));
        _time.Advance(TimeSpan.FromMinutes(1));
        _answer = (_, _) => Answer(HttpStatusCode.TooManyRequests, new RetryConditionHeaderValue(_time.GetUtcNow().AddDays(-7)));
        await GetAsync(client);
        (await GetAsync(client)).StatusCode.Should().Be(HttpStatusCode.TooManyRequests, "that was before");
    }

    [Fact]
    public async Task Host_ThatDoesNotAnswerInTime_HasFailedAndItsCallersCancellationHasNot()
    {
        var client = NewClient(cluster.Outside, options => options.Timeout = TimeSpan.FromMilliseconds(20));
        _answer = static async (_, token) =>
        {
            await Task.Delay(Timeout.Infinite, token);
            return null!;
        };
        await client.Awaiting(GetAsync).Should().ThrowAsync<TimeoutException>();
        using var cancelled = new CancellationTokenSource();
        _answer = async (_, token) =>
        {
            await cancelled.CancelAsync();
            token.ThrowIfCancellationRequested();
            return null!;
        };
        await client.Awaiting(it => it.GetAsync(Uri, cancelled.Token)).Should().ThrowAsync<OperationCanceledException>();
        (await cluster.Outside.GetCircuitBreaker("two", $"{_host}:443").GetStatusAsync())
            .Should().Match<CircuitBreakerStatus>(it => it.State == CircuitState.Closed && it.ConsecutiveFailures == 1);
        _answer = static (_, _) => throw new HttpRequestException("no route to host");
        await client.Awaiting(GetAsync).Should().ThrowAsync<HttpRequestException>();
        await client.Awaiting(GetAsync).Should().ThrowAsync<CircuitOpenException>();
    }

    [Fact]
    public async Task Predicate_ThatThrows_IsHeardOfAndCountsAsAFailure()
    {
        var client = NewClient(cluster.Outside, options => options.IsFailure = static _ => throw new InvalidOperationException("a bug"));
        await client.Awaiting(GetAsync).Should().ThrowAsync<InvalidOperationException>();
        (await cluster.Outside.GetCircuitBreaker("two", $"{_host}:443").GetStatusAsync()).ConsecutiveFailures.Should().Be(1);
    }

    [Fact]
    public void Client_ThatSendsSynchronously_IsToldSo()
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, Uri);
        NewClient(cluster.Outside).Invoking(it => it.Send(request)).Should().Throw<NotSupportedException>();
    }

    [Fact]
    public void Options_OutOfRange_AreRefused()
    {
        var builder = new ServiceCollection().AddHttpClient("x");
        builder.Invoking(it => it.AddClusterCircuitBreaker("two", options => options.Timeout = TimeSpan.Zero))
            .Should().Throw<ArgumentOutOfRangeException>().WithParameterName("Timeout");
        builder.Invoking(it => it.AddClusterCircuitBreaker("two", options => options.MaxRetryAfter = TimeSpan.FromDays(2)))
            .Should().Throw<ArgumentOutOfRangeException>().WithParameterName("MaxRetryAfter");
        builder.Invoking(it => it.AddClusterCircuitBreaker("two", options => options.IsFailure = null!)).Should().Throw<ArgumentNullException>();
    }

    private Uri Uri => new($"https://{_host}/");

    private static Task<HttpResponseMessage> Answer(HttpStatusCode status, RetryConditionHeaderValue? retryAfter = null)
    {
        var response = new HttpResponseMessage(status);
        response.Headers.RetryAfter = retryAfter;
        return Task.FromResult(response);
    }

    private Task<HttpResponseMessage> GetAsync(HttpClient client) => client.GetAsync(Uri);

    private HttpClient NewClient(IReliabilityToolkit toolkit, Action<ClusterCircuitBreakerHandlerOptions>? configure = null)
    {
        var services = new ServiceCollection();
        services.AddSingleton(toolkit);
        services.AddSingleton<TimeProvider>(_time);
        services.AddHttpClient("downstream").AddClusterCircuitBreaker("two", configure)
            .ConfigurePrimaryHttpMessageHandler(() => new Downstream(this));
        return services.BuildServiceProvider().GetRequiredService<IHttpClientFactory>().CreateClient("downstream");
    }

    private sealed class Downstream(HttpBreakerTests test) : HttpMessageHandler
    {
        protected override Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref test._sent);
            return test._answer(request, cancellationToken);
        }
    }
}
