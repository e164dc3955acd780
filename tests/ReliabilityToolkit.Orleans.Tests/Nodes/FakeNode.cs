using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace ReliabilityToolkit.Orleans.Tests;

/// <summary>A node under fake time, whose authority answers as the test says.</summary>
internal sealed class FakeNode
{
    public FakeNode(TimeProvider? time = null, ILogger? logger = null)
    {
        Clock = new NodeClock(time ?? Time);
        Caller = new AuthorityCaller(Clock, new Chance(new Random(1)), TimeSpan.FromSeconds(1), logger ?? NullLogger.Instance, Meter);
    }

    public FakeTimeProvider Time { get; } = new();

    public NodeClock Clock { get; }

    public NodeMeter Meter { get; } = new();

    public AuthorityCaller Caller { get; }

    public FakeAuthority Authority { get; } = new Played();

    /// <summary>Where breakers and bulkheads hear hints, as channel 1.</summary>
    public NodeObserver Observer { get; } = new();

    public TimeSpan Elapsed => Time.GetUtcNow() - Time.Start;

    public RateLimiterNode NewLimiter(WhenUnavailable whenUnavailable = default) =>
        new(Begin<IRateLimiterProtocol>(), new RenewalTimer(Clock), whenUnavailable);

    public CircuitBreakerNode NewBreaker(Func<Exception, bool>? isFailure = null, CircuitFallback fallback = default) =>
        new(Begin<ICircuitBreakerProtocol>(), new RenewalTimer(Clock), Observer, isFailure, fallback, "this one");

    public BulkheadNode NewBulkhead() => new(Begin<IBulkheadProtocol>(), new RenewalTimer(Clock), Observer, "this one");

    /// <summary>Lets time pass in steps until it is done.</summary>
    public async Task<T> FinishAsync<T>(Func<ValueTask<T>> call)
    {
        T result = default!;
        await Time.FinishAsync(async () => result = await call(), TimeSpan.FromMilliseconds(10));
        return result;
    }

    private Conversation<TAuthority> Begin<TAuthority>() =>
        new(new ResourceName("api", "key"), (TAuthority)(object)Authority, Caller, new RequestChannel(new Guid(1, 2, 3, new byte[8]), 1));

    private sealed class Played : FakeAuthority;
}

/// <summary>All three protocols; what a test does not set is never answered. Abstract, or Orleans would take it for a grain.</summary>
internal abstract class FakeAuthority : IRateLimiterProtocol, ICircuitBreakerProtocol, IBulkheadProtocol
{
    public Func<TokenRequest, ValueTask<TokenGrant>>? OnAcquireTokens { get; set; }

    public Func<PartRequest, ValueTask<PartGrant>>? OnRenewPart { get; set; }

    public Func<ValueTask<RateLimiterStatus>>? OnStatus { get; set; }

    public Func<VerdictRequest, ValueTask<VerdictGrant>>? OnRenewVerdict { get; set; }

    public Func<CircuitOrder, ValueTask<Obedience>>? OnOrder { get; set; }

    public Func<SlotsRequest, ValueTask<SlotsGrant>>? OnRenewSlots { get; set; }

    public Func<SlotOrder, ValueTask<Obedience>>? OnSwitch { get; set; }

    /// <summary>Trip, close, reset and the like: what was told, in order, by the request's number and its command.</summary>
    public Func<string, RequestId, ValueTask<Acknowledgement>>? OnCommand { get; set; }

    /// <summary>Requests that were taken back.</summary>
    public List<RequestId> TakenBack { get; } = [];

    public ValueTask<TokenGrant> AcquireAsync(TokenRequest request) =>
        OnAcquireTokens?.Invoke(request) ?? Never<TokenGrant>();

    public ValueTask<PartGrant> RenewAsync(PartRequest request) =>
        OnRenewPart?.Invoke(request) ?? Never<PartGrant>();

    public ValueTask<Acknowledgement> CancelAsync(TokenCancellation cancellation) => TakeBack(cancellation.Id);

    public Func<TokenRefund, ValueTask<Acknowledgement>>? OnRefund { get; set; }

    public ValueTask<Acknowledgement> RefundAsync(TokenRefund refund) => OnRefund?.Invoke(refund) ?? Never<Acknowledgement>();

    public ValueTask<Acknowledgement> ResetAsync(RequestId id) => Command("Reset", id);

    ValueTask<RateLimiterStatus> IRateLimiterProtocol.GetStatusAsync() =>
        OnStatus?.Invoke() ?? Never<RateLimiterStatus>();

    public ValueTask<bool> SetPolicyAsync(PolicyOverride<RateLimiterPolicy> order) => Never<bool>();

    public ValueTask<bool> SetPolicyAsync(PolicyOverride<CircuitBreakerPolicy> order) => Never<bool>();

    public ValueTask<bool> SetPolicyAsync(PolicyOverride<BulkheadPolicy> order) => Never<bool>();

    public ValueTask<VerdictGrant> RenewAsync(VerdictRequest request) =>
        OnRenewVerdict?.Invoke(request) ?? Never<VerdictGrant>();

    public ValueTask<Obedience> CommandAsync(CircuitOrder order) =>
        OnOrder?.Invoke(order) ?? Never<Obedience>();

    ValueTask<CircuitBreakerStatus> ICircuitBreakerProtocol.GetStatusAsync() =>
        Never<CircuitBreakerStatus>();

    public ValueTask<SlotsGrant> RenewAsync(SlotsRequest request) =>
        OnRenewSlots?.Invoke(request) ?? Never<SlotsGrant>();

    public ValueTask<Obedience> CommandAsync(SlotOrder order) =>
        OnSwitch?.Invoke(order) ?? Never<Obedience>();

    ValueTask<BulkheadStatus> IBulkheadProtocol.GetStatusAsync() => Never<BulkheadStatus>();

    public static ValueTask<TAnswer> Never<TAnswer>() => new(new TaskCompletionSource<TAnswer>().Task);

    private ValueTask<Acknowledgement> Command(string command, RequestId id) =>
        OnCommand?.Invoke(command, id) ?? Never<Acknowledgement>();

    private ValueTask<Acknowledgement> TakeBack(RequestId id)
    {
        TakenBack.Add(id);
        return new(Acknowledgement.Done);
    }
}
