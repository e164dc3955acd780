using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>The code on the README's page, as it stands there: it compiles, and a test runs it.</summary>
internal static class ReadmeExample
{
    public static IHost BuildHost(int siloPort, int gatewayPort)
    {
        // <silo>
        var builder = Host.CreateApplicationBuilder();
        builder.UseOrleans(silo => silo
            .UseLocalhostClustering(siloPort, gatewayPort)
            .AddReliabilityToolkit(toolkit => toolkit
                .AddRateLimiter("tenant", limiter => (limiter.TokensPerPeriod, limiter.Burst) = (100, 200)) // per second
                .AddCircuitBreaker("payments", breaker => breaker.CoolDown = TimeSpan.FromSeconds(10))
                .AddBulkhead("database", bulkhead => bulkhead.Capacity = 20)
                .Bind(builder.Configuration.GetSection("ReliabilityToolkit")) // settings win over code, and may change
                .UseStronglyConsistentDirectory(rangeLease: TimeSpan.FromSeconds(8))));
        // </silo>
        builder.Services.AddSingleton<Gate>().AddSingleton<Checkout>().AddSingleton<IPayments, NoPayments>();
        return builder.Build();
    }

    private sealed class NoPayments : IPayments
    {
        public Task<string> ChargeAsync(string order, CancellationToken cancellationToken) => Task.FromResult($"{order} is paid");
    }
}

internal interface IPayments
{
    Task<string> ChargeAsync(string order, CancellationToken cancellationToken);
}

// <limiter>
public sealed class Gate(IReliabilityToolkit toolkit)
{
    public async Task<string> EnterAsync(string tenant)
    {
        using var lease = await toolkit.GetRateLimiter("tenant", tenant).TryAcquireAsync();
        if (lease.IsAcquired)
            return "welcome";
        lease.TryGetMetadata(System.Threading.RateLimiting.MetadataName.RetryAfter, out var retryAfter);
        return $"come back in {retryAfter}";
    }
}
// </limiter>

// <composition>
internal sealed class Checkout(IReliabilityToolkit toolkit, IPayments payments)
{
    private readonly Retry _retry = new(new RetryOptions { MaxAttempts = 4, RetryIf = e => e is not BulkheadClosedException });

    public ValueTask<string> PayAsync(string tenant, string order, CancellationToken cancellationToken) =>
        _retry.RunAsync(
            async ct =>
            {
                using var admitted = (await toolkit.GetRateLimiter("tenant", tenant).AcquireAsync(1, ct)).EnsureAcquired();
                using var permit = (await toolkit.GetBulkhead("database").AcquireAsync(1, ct)).EnsureAcquired();
                return await toolkit.GetCircuitBreaker("payments").CallAsync(t => payments.ChargeAsync(order, t), ct);
            },
            cancellationToken);
}
// </composition>
