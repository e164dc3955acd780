using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>Holders of permits that are real processes, killed and frozen.</summary>
[Collection(ClusterTests.Name)]
public sealed class HolderProcessTests(ToolkitCluster cluster)
{
    private readonly string _key = ToolkitCluster.NewKey();

    [Fact]
    public async Task Holder_ThatIsKilled_GivesBackItsSlotWithinALease()
    {
        using var holder = new Holder(cluster, "brief", _key);
        await holder.SaysAsync("acquired");
        var bulkhead = cluster.Nodes[0].GetBulkhead("brief", _key);
        var next = bulkhead.AcquireAsync().AsTask();
        await ToolkitCluster.EventuallyAsync(async () => (await bulkhead.GetStatusAsync()).Waiting == 1, "one waits");
        holder.Kill();
        var killed = (await bulkhead.GetStatusAsync()).Holders.Should().ContainSingle().Which;
        killed.NodeName.Should().Be("holder");
        killed.EndsAfter.Should().BeLessThanOrEqualTo(TimeSpan.FromSeconds(2), "nothing is heard of it any more, and that is a lease");
        using var permit = await next.WaitAsync(TimeSpan.FromSeconds(20));
        permit.IsAcquired.Should().BeTrue();
        permit.FencingToken.Should().BeGreaterThan(holder.FencingToken);
    }

    [Fact]
    public async Task Holder_ThatIsFrozenForLongerThanALease_TakesNoStepOnceItsSlotMayBeAnothers()
    {
        if (!RuntimeInformation.IsOSPlatform(OSPlatform.Linux))
            return; // there is no other way to freeze a process
        using var holder = new Holder(cluster, "brief", _key);
        await holder.SaysAsync("step");
        holder.Signal("STOP");
        using var next = await cluster.Outside.GetBulkhead("brief", _key).AcquireAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(20));
        var acquiredAt = Stopwatch.GetTimestamp();
        next.IsAcquired.Should().BeTrue("the frozen one has not been heard of for a lease");
        holder.Signal("CONT");
        await holder.SaysAsync("lost");
        await holder.SaysAsync("told");
        holder.Steps.Should().NotBeEmpty().And.OnlyContain(step => step < acquiredAt, "it looks before each step");
        next.IsHeld.Should().BeTrue();
        next.FencingToken.Should().BeGreaterThan(holder.FencingToken);
    }

    /// <summary>The process, and what it says.</summary>
    private sealed class Holder : IDisposable
    {
        private readonly Process _process;
        private readonly ConcurrentDictionary<string, TaskCompletionSource> _said = new();
        private readonly ConcurrentQueue<long> _steps = new();

        public Holder(ToolkitCluster cluster, string policy, string key)
        {
            var start = new ProcessStartInfo("dotnet") { RedirectStandardInput = true, RedirectStandardOutput = true };
            start.ArgumentList.Add(Program);
            foreach (var argument in cluster.OfAnOutsider)
                start.ArgumentList.Add(argument);
            start.ArgumentList.Add(policy);
            start.ArgumentList.Add(key);
            _process = Process.Start(start)!;
            _process.OutputDataReceived += (_, line) => Hear(line.Data);
            _process.BeginOutputReadLine();
        }

        // From where it was built, with all that it needs: beside the tests lies only what these need.
        private static string Program
        {
            get
            {
                var output = new DirectoryInfo(AppContext.BaseDirectory); // …/tests/PROJECT/bin/CONFIGURATION/FRAMEWORK
                return Path.Combine(
                    output.Parent!.Parent!.Parent!.Parent!.FullName,
                    "PermitHolder",
                    "bin",
                    output.Parent.Name,
                    output.Name,
                    "ReliabilityToolkit.Orleans.PermitHolder.dll");
            }
        }

        public long FencingToken { get; private set; }

        public IReadOnlyCollection<long> Steps => _steps;

        public Task SaysAsync(string what) => Said(what).Task.WaitAsync(TimeSpan.FromSeconds(30));

        public void Signal(string signal)
        {
            using var kill = Process.Start("kill", [$"-{signal}", _process.Id.ToString(CultureInfo.InvariantCulture)]);
            kill.WaitForExit();
            kill.ExitCode.Should().Be(0);
        }

        public void Kill()
        {
            _process.Kill();
            _process.WaitForExit();
        }

        public void Dispose()
        {
            Kill();
            _process.Dispose();
        }

        private void Hear(string? line)
        {
            if (line?.Split(' ') is not [var what, var number] || !long.TryParse(number, CultureInfo.InvariantCulture, out var value))
                return;
            if (what == "acquired")
                FencingToken = value;
            else if (what == "step")
                _steps.Enqueue(value);
            Said(what).TrySetResult();
        }

        private TaskCompletionSource Said(string what) =>
            _said.GetOrAdd(what, static _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
    }
}
