using System.Text.Json.Serialization;

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
        await app.WaitForShutdownAsync();
        return ExitCode.Good;
    }

    private static async Task<int> FailAsync(ServerOptions options, string why)
    {
        await Console.Error.WriteLineAsync($"Instance {options.Instance} did not start: {why}");
        return ExitCode.CouldNotRun;
    }

    private static WebApplication Build(ServerOptions options)
    {
        // Settings lie beside the program, wherever it is started from.
        var builder = WebApplication.CreateBuilder(new WebApplicationOptions { ContentRootPath = AppContext.BaseDirectory });
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.ListenLocalhost(options.HttpPort));
        builder.Host.UseOrleans(silo => SiloSetup.Configure(silo, options, builder.Configuration));

        builder.Services.AddSingleton<SimulatedDownstream>();
        builder.Services.AddSingleton<OrderPipeline>();
        builder.Services.AddHealthChecks().AddCheck<SiloHealthCheck>("silo");
        builder.Services.AddProblemDetails();
        builder.Services.ConfigureHttpJsonOptions(json => json.SerializerOptions.Converters.Add(new JsonStringEnumConverter()));

        var app = builder.Build();
        app.UseExceptionHandler();
        app.UseStatusCodePages();
        app.MapSample();
        return app;
    }
}
