using Microsoft.Extensions.DependencyInjection;

namespace ReliabilityToolkit.Orleans;

/// <summary>The node gives back what it holds when its host begins to stop.</summary>
internal sealed class NodeEnding<TLifecycle>(IServiceProvider services) : ILifecycleParticipant<TLifecycle>
    where TLifecycle : ILifecycleObservable
{
    public void Participate(TLifecycle lifecycle) => lifecycle.Subscribe<NodeToolkit>(
        ServiceLifecycleStage.Active,
        static _ => Task.CompletedTask,
        token => services.GetRequiredService<NodeToolkit>().StopAsync(token));
}
