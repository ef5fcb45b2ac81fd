-- Keeps the leases of calls under way young. KEYS: one bucket. ARGV: the lease in ms, then the calls.

local lease = tonumber(ARGV[1])
for i = 2, #ARGV do
  redis.call('ZADD', KEYS[1], now + lease, ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], lease)
return 1
