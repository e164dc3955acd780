using OpenTelemetry;
using OpenTelemetry.Metrics;
using ReliabilityToolkit.Orleans;

namespace SiloHost;

/// <summary>Metrics at /metrics for Prometheus, always; and all of it to an OTLP endpoint, where OTEL_EXPORTER_OTLP_ENDPOINT names one.</summary>
internal static class TelemetrySetup
{
    public static void AddTelemetry(this WebApplicationBuilder builder)
    {
        // <telemetry>
        var telemetry = builder.Services.AddOpenTelemetry()
            .WithMetrics(metrics => metrics.AddMeter(ReliabilityToolkitTelemetry.MeterName, "Microsoft.Orleans").AddPrometheusExporter())
            .WithTracing(traces => traces.AddSource(ReliabilityToolkitTelemetry.ActivitySourceName, "Microsoft.AspNetCore"));
        if (builder.Configuration["OTEL_EXPORTER_OTLP_ENDPOINT"] is { Length: > 0 })
            telemetry.UseOtlpExporter();
        // </telemetry>
    }
}
