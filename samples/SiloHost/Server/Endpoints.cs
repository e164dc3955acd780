using ReliabilityToolkit.Orleans;

namespace SiloHost;

/// <summary>The web face of an instance.</summary>
internal static class Endpoints
{
    public static void MapSample(this WebApplication app)
    {
        app.MapHealthChecks("/health");
        app.MapPrometheusScrapingEndpoint();
        app.MapReports();
        var api = app.MapGroup("").AddEndpointFilter<RefusalsAsProblems>();
        api.MapGet("/orders/{tenant}", (string tenant, OrderPipeline pipeline, CancellationToken aborted) => pipeline.PlaceAsync(tenant, aborted));
        MapDownstream(api);
        MapStatus(api);
        MapBreakerCommands(api);
    }

    private static void MapDownstream(RouteGroupBuilder api)
    {
        api.MapGet("/downstream", (SimulatedDownstream downstream) => downstream.Behaviour);
        api.MapPut("/downstream", (DownstreamBehaviour behaviour, SimulatedDownstream downstream) =>
        {
            if (behaviour.Validate() is { Count: > 0 } faults)
                return Results.ValidationProblem(faults);
            downstream.Behaviour = behaviour;
            return Results.Ok(behaviour);
        });
    }

    private static void MapStatus(RouteGroupBuilder api)
    {
        api.MapGet("/limiters/{policy}/{key?}", (string policy, string? key, IReliabilityToolkit toolkit, CancellationToken aborted) =>
            toolkit.GetRateLimiter(policy, key).GetStatusAsync(aborted));
        api.MapGet("/breakers/{policy}/{key?}", (string policy, string? key, IReliabilityToolkit toolkit, CancellationToken aborted) =>
            toolkit.GetCircuitBreaker(policy, key).GetStatusAsync(aborted));
        api.MapGet("/bulkheads/{policy}/{key?}", (string policy, string? key, IReliabilityToolkit toolkit, CancellationToken aborted) =>
            toolkit.GetBulkhead(policy, key).GetStatusAsync(aborted));
    }

    private static void MapBreakerCommands(RouteGroupBuilder api)
    {
        MapCommand("trip", (breaker, reason, token) => breaker.TripAsync(reason, token));
        MapCommand("isolate", (breaker, reason, token) => breaker.IsolateAsync(reason, token));
        MapCommand("reset", (breaker, reason, token) => breaker.ResetAsync(reason, token));

        void MapCommand(string command, Func<ClusterCircuitBreaker, string?, CancellationToken, Task> order)
        {
            api.MapPost($"/breakers/{{policy}}/{command}", (string policy, string? reason, IReliabilityToolkit toolkit, CancellationToken aborted) =>
                ObeyAsync(toolkit.GetCircuitBreaker(policy), reason, aborted));
            api.MapPost(
                $"/breakers/{{policy}}/{{key}}/{command}",
                (string policy, string key, string? reason, IReliabilityToolkit toolkit, CancellationToken aborted) =>
                    ObeyAsync(toolkit.GetCircuitBreaker(policy, key), reason, aborted));

            async Task<CircuitBreakerStatus> ObeyAsync(ClusterCircuitBreaker breaker, string? reason, CancellationToken aborted)
            {
                await order(breaker, reason, aborted);
                return await breaker.GetStatusAsync(aborted);
            }
        }
    }
}
