using System.Threading.RateLimiting;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Polly;
using ReliabilityToolkit.Orleans.AspNetCore;
using ReliabilityToolkit.Orleans.Http;
using ReliabilityToolkit.Orleans.Polly;
using StackExchange.Redis;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>The code on the pages under docs/, as it stands there: it compiles.</summary>
internal static class Examples
{
    public static async Task StartAsync()
    {
        // <start>
        var builder = WebApplication.CreateBuilder();
        builder.UseOrleans(silo => silo
            .UseLocalhostClustering()
            .AddReliabilityToolkit(toolkit => toolkit
                .AddRateLimiter("hello", limiter => (limiter.TokensPerPeriod, limiter.Burst) = (5, 10)))); // 5 a second, 10 at once

        var app = builder.Build();
        app.MapGet("/hello/{name}", async (string name, IReliabilityToolkit toolkit) =>
        {
            using var lease = await toolkit.GetRateLimiter("hello", name).TryAcquireAsync();
            return lease.IsAcquired ? Results.Text($"Hello, {name}.") : Results.StatusCode(429);
        });
        await app.RunAsync();
        // </start>
    }

    public static async Task OutsideAsync()
    {
        // <outside>
        var builder = Host.CreateApplicationBuilder();
        builder.UseOrleansClient(client => client
            .UseLocalhostClustering()
            .AddReliabilityToolkit(options => options.CallTimeout = TimeSpan.FromMilliseconds(500)));
        using var host = builder.Build();
        await host.StartAsync();
        var toolkit = host.Services.GetRequiredService<IReliabilityToolkit>();
        // </outside>
        await host.StopAsync();
    }

    public static async Task LimiterAsync(IReliabilityToolkit toolkit, string tenant, CancellationToken cancellationToken)
    {
        // <limiter>
        ClusterRateLimiter limiter = toolkit.GetRateLimiter("tenant", tenant);

        using (var now = await limiter.TryAcquireAsync(cancellationToken: cancellationToken)) // one grain call at most
        {
            if (!now.IsAcquired && now.TryGetMetadata(MetadataName.RetryAfter, out var wait))
                Console.WriteLine($"come back in {wait}");
        }

        using (var later = await limiter.AcquireAsync(3, cancellationToken)) // waits in the cluster's line
            later.EnsureAcquired(); // or RateLimitedException: the queue was full, or nobody answered

        using var free = limiter.AttemptAcquire(); // from what the node holds: no call, no wait, no allocation
        // </limiter>
    }

    public static async Task<string> SettleAsync(IReliabilityToolkit toolkit, string user, ILanguageModel model, CancellationToken cancellationToken)
    {
        // <settle>
        using var lease = await toolkit.GetRateLimiter("llm-tokens", user).AcquireEstimatedAsync(2_000, mayWait: true, cancellationToken);
        lease.EnsureAcquired();
        var answer = await model.AskAsync(cancellationToken);
        lease.Settle(answer.TokensUsed); // less: the difference comes back; more: it is owed, and repaid over a minute
        return answer.Text;
        // </settle>
    }

    public static async Task CombineAsync(IReliabilityToolkit toolkit, string user, string tenant, CancellationToken cancellationToken)
    {
        // <combine>
        var all = toolkit.Combine(
            toolkit.GetRateLimiter("user", user), toolkit.GetRateLimiter("tenant", tenant), toolkit.GetRateLimiter("global"));
        using var lease = await all.AcquireAsync(1, cancellationToken);
        lease.EnsureAcquired(); // RateLimitedException.Policy says which of them refused; of the others nothing was taken
        // </combine>
    }

    public static async Task BreakerAsync(IReliabilityToolkit toolkit, IPayments payments, string order, CancellationToken cancellationToken)
    {
        // <breaker>
        ClusterCircuitBreaker breaker = toolkit.GetCircuitBreaker("payments");
        try
        {
            var receipt = await breaker.CallAsync(ct => payments.ChargeAsync(order, ct), cancellationToken);
        }
        catch (CircuitOpenException open)
        {
            Console.WriteLine($"not called; again in {open.RetryAfter}");
        }
        // </breaker>
    }

    public static async Task TicketAsync(ClusterCircuitBreaker breaker, IPayments payments, string order, CancellationToken cancellationToken)
    {
        // <ticket>
        using var ticket = await breaker.TryEnterAsync(cancellationToken);
        if (!ticket.IsAdmitted)
            return;
        var receipt = await payments.ChargeAsync(order, cancellationToken);
        await (receipt.Length > 0 ? ticket.Succeed() : ticket.Fail());
        // </ticket>
    }

    public static async Task KillAsync(IReliabilityToolkit toolkit)
    {
        // <kill>
        var breaker = toolkit.GetCircuitBreaker("payments");
        await breaker.IsolateAsync("the provider has an incident"); // returns when every node obeys
        await breaker.ResetAsync();
        // </kill>
    }

    public static async Task BulkheadAsync(IReliabilityToolkit toolkit, Func<CancellationToken, Task> query, CancellationToken cancellationToken)
    {
        // <bulkhead>
        ClusterBulkhead pool = toolkit.GetBulkhead("database");
        using var permit = await pool.AcquireAsync(cancellationToken: cancellationToken); // waits for its turn
        permit.EnsureAcquired();
        using var held = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, permit.Lost);
        await query(held.Token); // a slot that is lost may soon be somebody else's: stop
        // </bulkhead>
    }

    public static ValueTask<string> RetryAsync(IReliabilityToolkit toolkit, IPayments payments, string order, CancellationToken cancellationToken)
    {
        // <retry>
        var retry = new Retry(new RetryOptions
        {
            MaxAttempts = 4, // the first included
            RetryIf = e => RetryOptions.CanSucceed(e) && e is not UnauthorizedAccessException,
            Budget = new RetryBudget(share: 0.2, perSecond: 10, shared: toolkit.GetRateLimiter("retries")),
        });
        return retry.RunAsync(ct => payments.ChargeAsync(order, ct), cancellationToken);
        // </retry>
    }

    public static async Task OwnPolicyAsync(IReliabilityToolkit toolkit)
    {
        // <own>
        var limiter = toolkit.GetRateLimiter("tenant", "acme");
        var version = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        await limiter.SetPolicyAsync(new RateLimiterPolicy { TokensPerPeriod = 1_000, Burst = 2_000 }, version);
        await limiter.ClearPolicyAsync(version + 1); // the configured one again
        // </own>
    }

    public static void Shadow(ISiloBuilder silo) =>
        // <shadow>
        silo.AddReliabilityToolkit(toolkit => toolkit
            .AddRateLimiter("tenant", limiter => (limiter.TokensPerPeriod, limiter.Burst, limiter.Enforce) = (100, 200, false)));
    // </shadow>

    public static void Audit(ISiloBuilder silo, IAuditLog audit) =>
        // <audit>
        silo.AddReliabilityToolkit(toolkit => toolkit
            .AddCircuitBreaker("payments")
            .AuditCircuits((what, cancellationToken) =>
                audit.WriteAsync($"{what.At:O} {what.Policy} is {what.State}: {what.Cause}", cancellationToken)));
    // </audit>

    public static void Directory(ISiloBuilder silo) =>
        // <directory>
        silo.AddReliabilityToolkit(toolkit => toolkit.UseStronglyConsistentDirectory(rangeLease: TimeSpan.FromSeconds(8)));
    // </directory>

    public static void Storage(ISiloBuilder silo, string connection)
    {
        // <redis>
        silo.AddRedisGrainStorage("ReliabilityToolkit", options =>
        {
            options.ConfigurationOptions = ConfigurationOptions.Parse("redis:6379");
            options.DeleteStateOnClear = true; // else a name that was used once leaves a row
        });
        // </redis>

        // <postgres>
        silo.AddAdoNetGrainStorage("ReliabilityToolkit", options =>
        {
            options.Invariant = "Npgsql";
            options.ConnectionString = connection;
            options.DeleteStateOnClear = true;
        });
        // </postgres>
    }

    public static void Node(IServiceCollection services)
    {
        // <node>
        services.Configure<ReliabilityToolkitClientOptions>(options => options.CallTimeout = TimeSpan.FromMilliseconds(500));
        // </node>
        services.Configure<ReliabilityToolkitClientOptions>(options =>
        {
            // <unavailable>
            options.WhenUnavailable["tenant"] = WhenUnavailable.LocalShare;
            // </unavailable>
        });
        // <health>
        services.AddHealthChecks().AddReliabilityToolkit(maxFallbackShare: 0.01);
        // </health>
    }

    public static void Middleware(WebApplicationBuilder builder)
    {
        // <middleware>
        builder.Services.AddRateLimiter(limits => limits
            .AddClusterPolicy("per-tenant", "tenant", context => (string?)context.GetRouteValue("tenant"))
            .AddClusterPolicy("patient", "tenant", context => context.User.Identity?.Name, limit => limit.Wait = true)
            .UseClusterRejections());

        var app = builder.Build();
        app.UseRouting();
        app.UseRateLimiter();
        app.MapGet("/orders/{tenant}", (string tenant) => $"Orders of {tenant}.").RequireRateLimiting("per-tenant");
        // </middleware>
    }

    public static void SeveralLimits(IServiceCollection services)
    {
        // <several>
        services.AddRateLimiter(limits => limits
            .AddClusterPolicy("careful", context =>
            [
                new ClusterLimit("user", context.User.Identity?.Name ?? "anonymous"),
                new ClusterLimit("global"),
                ClusterLimit.Bulkhead("reports"), // and so many at once
            ])
            .UseClusterRejections());
        // </several>
    }

    public static ResiliencePipeline<HttpResponseMessage> Pipeline(IReliabilityToolkit toolkit)
    {
        // <polly>
        return new ResiliencePipelineBuilder<HttpResponseMessage>()
            .AddClusterRateLimiter(toolkit.GetRateLimiter("payments"))
            .AddClusterBulkhead(toolkit.GetBulkhead("payments"))
            .AddClusterCircuitBreaker(new ClusterCircuitBreakerStrategyOptions<HttpResponseMessage>
            {
                Breaker = _ => toolkit.GetCircuitBreaker("payments"),
                ShouldHandle = arguments => new(arguments.Outcome.Exception is HttpRequestException
                    || arguments.Outcome.Result is { StatusCode: >= System.Net.HttpStatusCode.InternalServerError }),
            })
            .Build();
        // </polly>
    }

    public static void Http(IServiceCollection services)
    {
        // <http>
        services.AddHttpClient("payments").AddClusterCircuitBreaker("downstream", options => options.Timeout = TimeSpan.FromSeconds(5));
        // </http>
    }

    public static void Guards(ISiloBuilder silo) =>
        // <guards>
        silo.AddReliabilityToolkitCallGuards();
    // </guards>

    internal interface ILanguageModel
    {
        Task<(string Text, int TokensUsed)> AskAsync(CancellationToken cancellationToken);
    }

    internal interface IAuditLog
    {
        ValueTask WriteAsync(string line, CancellationToken cancellationToken);
    }
}

// <grain>
public interface IReportGrain : IGrainWithStringKey
{
    [RateLimited("reports", Key = CallKey.Argument + "tenant")]
    Task<string> MakeAsync(string tenant);
}

public sealed class ReportGrain : Grain, IReportGrain
{
    [Bulkheaded("database"), CircuitBroken("warehouse", Key = CallKey.GrainId)]
    public Task<string> MakeAsync(string tenant) => Task.FromResult($"A report for {tenant}.");
}
// </grain>
