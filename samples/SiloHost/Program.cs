using SiloHost;

if (args.Contains("--help") || args.Contains("-h"))
{
    Console.WriteLine(HelpText.All);
    return ExitCode.Good;
}

try
{
    return args switch
    {
        ["drive", .. var options] when options.Contains(BreakerDriveOptions.Breaker) =>
            await BreakerDriveMode.RunAsync(BreakerDriveOptions.Read(options)),
        ["drive", .. var options] => await DriveMode.RunAsync(DriveOptions.Read(options)),
        ["check", .. var files] => CheckMode.Run(files),
        ["schema", .. var options] => await SchemaMode.RunAsync(options),
        _ => await ServerMode.RunAsync(ServerOptions.Read(args)),
    };
}
catch (UsageException e)
{
    await Console.Error.WriteLineAsync($"{e.Message} (--help tells more.)");
    return ExitCode.BadUsage;
}
