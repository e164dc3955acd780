using System.Text.Json.Serialization;
using ReliabilityToolkit.Orleans;

namespace SiloHost;

/// <summary>A web application and a silo in one process, until somebody stops it.</summary>
internal static class ServerMode
{
    public static async Task<int> RunAsync(ServerOptions options)
    {
        if (await Preflight.FindFaultAsync(options) is { } fault)
            return await FailAsync(options, fault);

        await using var app = Build(options);
        try
        {
            await app.StartAsync();
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            return await FailAsync(options, e.Message);
        }

        Console.WriteLine(HelpText.ForServer(options));
        try
        {
            await app.WaitForShutdownAsync();
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // The instance that keeps the membership table has gone, say: there is nobody to take leave of.
            await Console.Error.WriteLineAsync($"Instance {options.Instance} stopped without taking its leave of the cluster: {e.Message}");
        }

        return ExitCode.Good;
    }

    private static async Task<int> FailAsync(ServerOptions options, string why)
    {
        await Console.Error.WriteLineAsync($"Instance {options.Instance} did not start: {why}");
        return ExitCode.CouldNotRun;
    }

    private static void SayWhatIsBad(ProblemDetailsContext problem)
    {
        if (problem.Exception is BadHttpRequestException bad)
            problem.ProblemDetails.Detail = bad.InnerException?.Message ?? bad.Message;
    }

    private static WebApplication Build(ServerOptions options)
    {
        // Settings lie beside the program, wherever it is started from.
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenLocalhost(options.HttpPort));
        builder.Host.UseOrleans(silo => SiloSetup.Configure(silo, options, builder.Configuration));

        builder.Services.AddSingleton<SimulatedDownstream>();
        builder.Services.AddSingleton<OrderPipeline>();
        builder.Services.AddHealthChecks().AddCheck<SiloHealthCheck>("silo").AddReliabilityToolkit();
        builder.AddTelemetry();
        builder.Services.AddReportLimits();
        builder.Services.Configure<RouteHandlerOptions>(handlers => handlers.ThrowOnBadRequest = true); // so that the problem says what is bad
        builder.Services.AddProblemDetails(problems => problems.CustomizeProblemDetails = SayWhatIsBad);
        builder.Services.ConfigureHttpJsonOptions(json => json.SerializerOptions.Converters.Add(new JsonStringEnumConverter()));

        var app = builder.Build();
        app.UseExceptionHandler(new ExceptionHandlerOptions
        {
            StatusCodeSelector = e => e is BadHttpRequestException bad ? bad.StatusCode : StatusCodes.Status500InternalServerError,
        });
        app.UseStatusCodePages();
        app.UseRouting();
        app.UseRateLimiter();
        app.MapSample();
        return app;
    }
}
