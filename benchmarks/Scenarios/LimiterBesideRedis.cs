using StackExchange.Redis;

namespace ReliabilityToolkit.Orleans.Benchmarks;

/// <summary>What many do for a limit that is everybody's: a token bucket in Redis, a script call for each token.</summary>
internal sealed class LimiterBesideRedis : IScenario
{
    private const int Batch = 1_000;

    private const string TokenBucket = """
        local capacity, rate = tonumber(ARGV[1]), tonumber(ARGV[2])
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
        local tokens = math.min(capacity, (tonumber(bucket[1]) or capacity) + (now - (tonumber(bucket[2]) or now)) * rate / 1000000)
        local admitted = tokens >= 1
        if admitted then tokens = tokens - 1 end
        redis.call('HSET', KEYS[1], 'tokens', tokens, 'at', now)
        redis.call('PEXPIRE', KEYS[1], math.ceil(capacity / rate * 1000))
        return admitted and 1 or 0
        """;

    public string Name => "redis";

    public async Task<IReadOnlyList<Row>> MeasureAsync(Settings settings)
    {
        await using var server = await RedisServer.TryStartAsync();
        if (server is null)
            return [new Row("Token bucket in Lua on a local Redis: NOT measured, there is no redis-server and none can be installed", 0, "ops/s")];
        await using var redis = await ConnectionMultiplexer.ConnectAsync($"127.0.0.1:{server.Port}");
        var endpoint = redis.GetServer("127.0.0.1", server.Port);
        var script = await endpoint.ScriptLoadAsync(TokenBucket);
        await using var silo = await Silo.StartAsync();
        var rows = new List<Row>();
        foreach (var callers in new[] { 1, 32, 256 })
            rows.AddRange(await MeasureAsync(settings, redis.GetDatabase(), script, silo.Toolkit.GetRateLimiter(Silo.Policy), callers));
        return rows;
    }

    private static async Task<IReadOnlyList<Row>> MeasureAsync(
        Settings settings, IDatabase redis, byte[] script, ClusterRateLimiter limiter, int callers)
    {
        var shown = callers == 1 ? "1 caller" : $"{callers} callers";
        var lua = new Contender($"Token bucket in Lua on a local Redis, {shown}", InRedis(redis, script));
        var ours = new Contender($"ClusterRateLimiter.TryAcquireAsync from the part, {shown}", FromThePart(limiter));
        var contest = await Contest.RunAsync(settings, callers, lua, ours);
        return [contest.CallsPerSecond(lua), contest.CallsPerSecond(ours, lua, Target.FiveHundredTimes)];
    }

    private static Func<StopSignal, Task<long>> InRedis(IDatabase redis, byte[] script) => async stop =>
    {
        RedisKey[] keys = ["limiter"];
        RedisValue[] values = [1_000_000_000, 1_000_000_000];
        var calls = 0L;
        for (; !stop.IsSet; calls++)
        {
            if ((int)await redis.ScriptEvaluateAsync(script, keys, values) != 1)
                throw new InvalidOperationException("Redis refused a token.");
        }

        return calls;
    };

    // It does not wait for anything, so it lets others have the thread now and then. Those refused until the part has grown are not counted.
    private static Func<StopSignal, Task<long>> FromThePart(ClusterRateLimiter limiter) => async stop =>
    {
        var admitted = 0L;
        while (!stop.IsSet)
        {
            for (var i = 0; i < Batch; i++)
            {
                if ((await limiter.TryAcquireAsync()).IsAcquired)
                    admitted++;
            }

            await Task.Yield();
        }

        return admitted;
    };
}
