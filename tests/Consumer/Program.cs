// The README's example (the file that its code is cut from is laid beside this one), and the first lines of the other pages, as a stranger would
// write them: against the packages, in a project of his own.
using Polly;
using ReliabilityToolkit.Orleans;
using ReliabilityToolkit.Orleans.AspNetCore;
using ReliabilityToolkit.Orleans.Http;
using ReliabilityToolkit.Orleans.Polly;
using ReliabilityToolkit.Orleans.Tests;

var (silo, gateway, http) = (int.Parse(args[0]), int.Parse(args[1]), int.Parse(args[2]));
var faults = new List<string>();
void Check(bool isSo, string what)
{
    Console.WriteLine($"{(isSo ? "ok    " : "FAILED")} {what}");
    if (!isSo)
        faults.Add(what);
}

using (var readme = ReadmeExample.BuildHost(silo, gateway))
{
    await readme.StartAsync();
    Check(await readme.Services.GetRequiredService<Gate>().EnterAsync("acme") == "welcome", "the README's limiter admits");
    var paid = await readme.Services.GetRequiredService<Checkout>().PayAsync("acme", "order 1", CancellationToken.None);
    Check(paid == "order 1 is paid", "the README's composition pays");
    await readme.StopAsync();
}

var builder = WebApplication.CreateBuilder();
builder.Logging.SetMinimumLevel(LogLevel.Warning);
builder.WebHost.UseUrls($"http://127.0.0.1:{http}");
builder.UseOrleans(orleans => orleans
    .UseLocalhostClustering(silo, gateway)
    .AddReliabilityToolkit(toolkit => toolkit
        .AddRateLimiter("tenant", limiter => (limiter.TokensPerPeriod, limiter.Period, limiter.Burst) = (2, TimeSpan.FromHours(1), 2))
        .AddCircuitBreaker("payments", breaker => breaker.FailureThreshold = 1)
        .AddBulkhead("database", bulkhead => bulkhead.Capacity = 20)
        .Bind(builder.Configuration.GetSection("ReliabilityToolkit"))));
builder.Services.AddRateLimiter(limits => limits
    .AddClusterPolicy("per-tenant", "tenant", context => (string?)context.GetRouteValue("tenant"))
    .UseClusterRejections());
builder.Services.AddHttpClient("payments").AddClusterCircuitBreaker("payments");
builder.Services.AddHealthChecks().AddReliabilityToolkit();

await using var app = builder.Build();
app.UseRateLimiter();
app.MapGet("/hello/{tenant}", (string tenant) => $"Hello, {tenant}.").RequireRateLimiting("per-tenant");
app.MapHealthChecks("/health");
await app.StartAsync();

var toolkit = app.Services.GetRequiredService<IReliabilityToolkit>();
using (var lease = await toolkit.GetRateLimiter("tenant", "acme").TryAcquireAsync(2))
    Check(lease.IsAcquired, "a limiter admits what its burst allows");
using (var lease = await toolkit.GetRateLimiter("tenant", "acme").TryAcquireAsync())
    Check(!lease.IsAcquired, "and no more");
using (var permit = await toolkit.GetBulkhead("database").AcquireAsync())
    Check(permit.IsHeld, "a bulkhead lends a slot");

using var client = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{http}") };
Check((await client.GetAsync("/hello/acme")).StatusCode == System.Net.HttpStatusCode.TooManyRequests, "the middleware goes by the same limiter");
Check((await client.GetAsync("/hello/other")).IsSuccessStatusCode, "and by each tenant's own");
Check((await client.GetStringAsync("/health")) == "Healthy", "the health check is healthy");

var pipeline = new ResiliencePipelineBuilder().AddClusterCircuitBreaker(toolkit.GetCircuitBreaker("payments")).Build();
try
{
    await pipeline.ExecuteAsync(static _ => throw new TimeoutException());
}
catch (TimeoutException)
{
    var status = await toolkit.GetCircuitBreaker("payments").GetStatusAsync();
    Check(status.State == CircuitState.Open, "a failure in Polly's pipeline opens the circuit");
}

Check(app.Services.GetRequiredService<IHttpClientFactory>().CreateClient("payments") is not null, "a client has its breaker");
var retry = new Retry(new RetryOptions { MaxAttempts = 4, BaseDelay = TimeSpan.FromMilliseconds(1) });
var attempts = 0;
Check(await retry.RunAsync(_ => ++attempts < 3 ? throw new TimeoutException() : ValueTask.FromResult(attempts)) == 3, "retry retries");
await app.StopAsync();
return faults.Count;
