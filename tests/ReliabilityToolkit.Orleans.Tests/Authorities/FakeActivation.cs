using System.Reflection;
using Orleans.Core;
using Orleans.Serialization.Invocation;
using Orleans.Timers;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>
/// What a grain has around it when no silo is there: a scheduler of its own, timers under the test's time, and a record of what it asked Orleans for.
/// </summary>
internal sealed class FakeActivation(string type, string key, TimeProvider time) : IGrainContext, IGrainRuntime, ITimerRegistry, IServiceProvider
{
    private readonly TaskFactory _turns = new(new ConcurrentExclusiveSchedulerPair().ExclusiveScheduler);

    /// <summary>What was asked for by <c>DelayDeactivation</c>.</summary>
    public List<TimeSpan> Delays { get; } = [];

    /// <summary>How often it asked to be let go.</summary>
    public int LetGo { get; private set; }

    public GrainId GrainId { get; } = GrainId.Create(type, key);

    public IServiceProvider ActivationServices => this;

    public ITimerRegistry TimerRegistry => this;

    public IServiceProvider ServiceProvider => this;

    public TimeProvider TimeProvider => time;

    public object? GrainInstance => null;

    public ActivationId ActivationId { get; } = ActivationId.NewId();

    public GrainAddress Address => throw new NotSupportedException();

    public GrainReference GrainReference => throw new NotSupportedException();

    public IGrainLifecycle ObservableLifecycle => throw new NotSupportedException();

    public IWorkItemScheduler Scheduler => throw new NotSupportedException();

    public Task Deactivated => throw new NotSupportedException();

    public string SiloIdentity => "";

    public SiloAddress SiloAddress => throw new NotSupportedException();

    public IGrainFactory GrainFactory => throw new NotSupportedException();

    /// <summary>What a silo's grains share; where nothing is said, without a storage.</summary>
    public static AuthoritySurroundings Around(
        NodeClock clock,
        PolicySource source,
        RecordStore? records = null,
        Departures? departures = null,
        AuthorityMeter? meter = null,
        CircuitAudit? audit = null)
    {
        meter ??= new AuthorityMeter();
        return new AuthoritySurroundings(
            clock,
            source,
            new Chance(Random.Shared),
            records ?? new RecordStore(clock, null!, null, meter),
            departures ?? new Departures(clock),
            meter,
            audit ?? new CircuitAudit([], meter, new LogBook<CircuitAudit>()));
    }

    /// <summary>Makes the grain as Orleans does: what is around it is the thread's while it is made.</summary>
    public TGrain Create<TGrain>(Func<TGrain> create)
    {
        EnterContext(this, out var before);
        try
        {
            return create();
        }
        finally
        {
            EnterContext(before, out _);
        }
    }

    /// <summary>A turn of the grain. Turns come one after the other, so what was asked for before has been done by the end of this one.</summary>
    public Task<T> TurnAsync<T>(Func<ValueTask<T>> call) => _turns.StartNew(() => call().AsTask()).Unwrap();

    public Task TurnAsync(Action call) => _turns.StartNew(call);

    public object? GetService(Type serviceType) => serviceType == typeof(IGrainRuntime) ? this : null;

    public void DelayDeactivation(IGrainContext grainContext, TimeSpan timeSpan) => Delays.Add(timeSpan);

    public void DeactivateOnIdle(IGrainContext grainContext) => LetGo++;

    public IGrainTimer RegisterGrainTimer<TState>(
        IGrainContext grainContext, Func<TState, CancellationToken, Task> callback, TState state, GrainTimerCreationOptions options) =>
        new Timer(time.CreateTimer(_ => TurnAsync(() => _ = callback(state, default)), null, options.DueTime, options.Period));

    public IDisposable RegisterTimer(
        IGrainContext grainContext, Func<object?, Task> callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        throw new NotSupportedException();

    public IStorage<TState> GetStorage<TState>(IGrainContext grainContext) => throw new NotSupportedException();

    object? ITargetHolder.GetTarget() => null;

    object? ITargetHolder.GetComponent(Type componentType) => null;

    public void SetComponent<TComponent>(TComponent? value)
        where TComponent : class => throw new NotSupportedException();

    public void ReceiveMessage(object message) => throw new NotSupportedException();

    public void Activate(Dictionary<string, object>? requestContext, CancellationToken cancellationToken) => throw new NotSupportedException();

    public void Deactivate(DeactivationReason deactivationReason, CancellationToken cancellationToken) => throw new NotSupportedException();

    public void Rehydrate(IRehydrationContext context) => throw new NotSupportedException();

    public void Migrate(Dictionary<string, object>? requestContext, CancellationToken cancellationToken) => throw new NotSupportedException();

    public bool Equals(IGrainContext? other) => ReferenceEquals(this, other);

    // Injected into the grain's constructor, the context would cost each activation 290 bytes for a scope of its own.
    private static readonly SetContext EnterContext = typeof(IGrainContext).Assembly
        .GetType("Orleans.Runtime.RuntimeContext")!
        .GetMethod("SetExecutionContext", BindingFlags.Static | BindingFlags.NonPublic)!
        .CreateDelegate<SetContext>();

    private delegate void SetContext(IGrainContext? context, out IGrainContext? before);

    private sealed class Timer(ITimer timer) : IGrainTimer
    {
        public void Change(TimeSpan dueTime, TimeSpan period) => timer.Change(dueTime, period);

        public void Dispose() => timer.Dispose();
    }
}
