using ReliabilityToolkit.Orleans.AspNetCore;

namespace SiloHost;

/// <summary>Two limits on one endpoint, in ASP.NET Core's own middleware: so many reports for each tenant, and so many for all.</summary>
internal static class ReportLimits
{
    public const string Policy = "reports";

    public static void AddReportLimits(this IServiceCollection services)
    {
        // <limits>
        services.AddRateLimiter(limits => limits
            .AddClusterPolicy(
                Policy,
                context => [new ClusterLimit("report", (string?)context.GetRouteValue("tenant")), new ClusterLimit("all-reports")],
                limit => limit.HeadersOnSuccess = true)
            .UseClusterRejections());
        // </limits>
    }

    public static void MapReports(this IEndpointRouteBuilder app)
    {
        // <endpoint>
        app.MapGet("/reports/{tenant}", (string tenant) => $"A report for {tenant}.").RequireRateLimiting(Policy);
        // </endpoint>
    }
}
