using System.Threading.RateLimiting;
using static ReliabilityToolkit.Orleans.Tests.Time;

namespace ReliabilityToolkit.Orleans.Tests;

public sealed class LeaseTests
{
    [Fact]
    public void Term_TheHolderLetsGoBeforeTheLenderTakesBack()
    {
        // Asked at 10 s, answered at 10 s at the earliest, for 100 s: 1 % is for clocks that drift.
        LeaseTerm.HeldUntil(At(10), Seconds(100)).Should().Be(At(109));
        LeaseTerm.LentUntil(At(10), Seconds(100)).Should().Be(At(110));
        LeaseTerm.RenewAt(At(10), Seconds(99)).Should().Be(At(43), "two renewals may be lost");
    }

    [Fact]
    public void EnsureAcquired_Acquired_IsTheLeaseItself()
    {
        var lease = new Lease { Acquired = true };
        lease.EnsureAcquired().Should().BeSameAs(lease);
        lease.IsDisposed.Should().BeFalse();
        FluentActions.Invoking(() => ((Lease)null!).EnsureAcquired()).Should().Throw<ArgumentNullException>().WithParameterName("lease");
    }

    [Fact]
    public void EnsureAcquired_Refused_ThrowsWhatTheLeaseTellsAndDisposesIt()
    {
        var lease = new Lease { Reason = RefusalReason.QueueFull, RetryAfter = Seconds(3) };
        lease.Invoking(it => it.EnsureAcquired()).Should().Throw<RateLimitedException>().WithMessage("Refused: QueueFull. Retry after 00:00:03.")
            .Which.Should().Match<RateLimitedException>(e => e.Reason == RefusalReason.QueueFull && e.RetryAfter == Seconds(3));
        lease.IsDisposed.Should().BeTrue();

        new Lease { Reason = RefusalReason.NoFreeSlot }.Invoking(it => it.EnsureAcquired()).Should().Throw<RateLimitedException>()
            .WithMessage("Refused: NoFreeSlot.", "a lease of another library does not say by whom").Which.RetryAfter.Should().BeNull();
        new Lease().Invoking(it => it.EnsureAcquired()).Should().Throw<RateLimitedException>("a lease of another library says nothing")
            .Which.Reason.Should().Be(RefusalReason.Unspecified);
    }

    [Fact]
    public void PermitCount_WhatTheAuthorityRefused_IsToldAsTheCallersOwnArgument()
    {
        var told = PermitCount.IsRefused(new ArgumentOutOfRangeException("tokens", 7, "1 to 5 can be had."), 7);
        (told.ParamName, told.ActualValue).Should().Be(("permitCount", 7));
        told.Message.Should().StartWith("1 to 5 can be had. (Parameter 'permitCount')");
        PermitCount.IsRefused(new ArgumentOutOfRangeException(null, "no parameter"), 7).Message
            .Should().StartWith("no parameter (Parameter 'permitCount')");
    }

    [Fact]
    public void Exceptions_SayWhatHappenedInWords()
    {
        new CircuitOpenException("payments", CircuitState.Open, Seconds(3)).Message.Should().Be("Circuit \"payments\" is open for another 00:00:03.");
        new CircuitOpenException("payments", CircuitState.Open, null).Message.Should().Be("Circuit \"payments\" is open.");
        new BulkheadClosedException("database").Message.Should().Be("Bulkhead \"database\" is closed.");
        new AuthorityUnavailableException("api", Seconds(1), null).Message.Should().Be("The authority of \"api\" did not answer within 00:00:01.");
        AuthorityUnavailableException.ForVoidAnswer("api").Message.Should().StartWith("The authority of \"api\" no longer remembers");
        new UnknownPolicyException("bulkhead", "x", ["a", "b"]).Message
            .Should().Be("No bulkhead policy \"x\" is configured on the silo. Known: a, b.");
        new UnknownPolicyException("bulkhead", "x", []).Message.Should().Be("No bulkhead policy \"x\" is configured on the silo. Known: none.");
        var inner = new TimeoutException();
        new ReliabilityException("words", Seconds(2), inner).Should().Match<ReliabilityException>(
            e => e.Message == "words" && e.RetryAfter == Seconds(2) && e.InnerException == inner);
        new AuthorityUnavailableException("api", Seconds(1), inner).Should().Match<AuthorityUnavailableException>(
            e => e.Name == "api" && e.InnerException == inner && e.RetryAfter == null);
    }

    private sealed class Lease : RateLimitLease
    {
        public bool Acquired { get; init; }

        public RefusalReason? Reason { get; init; }

        public TimeSpan? RetryAfter { get; init; }

        public bool IsDisposed { get; private set; }

        public override bool IsAcquired => Acquired;

        public override IEnumerable<string> MetadataNames => [];

        public override bool TryGetMetadata(string metadataName, out object? metadata)
        {
            metadata = metadataName == ToolkitMetadata.Reason.Name ? Reason : metadataName == MetadataName.RetryAfter.Name ? RetryAfter : null;
            return metadata is not null;
        }

        protected override void Dispose(bool disposing)
        {
            IsDisposed = true;
            base.Dispose(disposing);
        }
    }

    [Fact]
    public void Metadata_OfAPolicyWithoutAKey_NamesNoKey() =>
        RefusalMetadata.Names(new ResourceName("api", null), hasRetryAfter: false)
            .Should().Equal(MetadataName.ReasonPhrase.Name, "REFUSAL_REASON", "POLICY");

    [Fact]
    public void Metadata_OfARefusal_HasANameThatOthersCanLookUp() => ToolkitMetadata.Reason.Name.Should().Be("REFUSAL_REASON");

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 0)]
    [InlineData(1_000, 999)]
    [InlineData(1_001, 999)]
    [InlineData(1_000_000, 999_000)]
    public void Rate_ThatWasLent_IsUsedLessAThousandthRoundedDown(long lent, long usable) => LeaseTerm.UsableRate(lent).Should().Be(usable);
}
