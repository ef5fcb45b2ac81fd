-- Lets a call in by every rule, or by none. KEYS: a bucket per rule. ARGV: the call, its lease and the wait
-- for a place in ms; then per rule its window in ms (0: what is under way), its limit and what the call costs.
-- Gives the rule that refused (0: none), the wait in ms; then per rule what was taken, what is left, when
-- all of it will be again, and where the call lies in the bucket (since, added).

local member, lease, place_wait = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local refused, wait = 0, 0
local found = {}

for i, key in ipairs(KEYS) do
  local window, limit, cost = tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2]), tonumber(ARGV[3 * i + 3])
  local rule, rule_wait = { window = window, limit = limit, taken = math.min(cost, limit) }, 0
  if window == 0 then
    if cost > 0 and under_way(key) >= limit then
      rule_wait = place_wait
    end
  else
    rule.bucket = load(key, window, limit)
    local over = rule.bucket.level + (rule.taken - limit) * window
    if rule.taken > 0 and over > 0 then
      rule_wait = math.ceil(over / limit)
    end
  end
  if rule_wait > wait then
    refused, wait = i, rule_wait
  end
  found[i] = rule
end

local reply = { refused, wait }
for i, key in ipairs(KEYS) do
  local rule = found[i]
  local bucket = rule.bucket or { level = 0, added = 0, since = 0 }
  if refused == 0 and rule.taken > 0 then
    if rule.window == 0 then
      redis.call('ZADD', key, now + lease, member)
      redis.call('PEXPIRE', key, lease)
    else
      bucket.level = bucket.level + rule.taken * rule.window
      bucket.added = bucket.added + rule.taken
      save(key, bucket)
    end
  end
  local left = 0
  if rule.window > 0 then
    left = math.max(0, math.floor((rule.limit * rule.window - bucket.level) / rule.window))
  end
  for _, number in ipairs({ rule.taken, left, math.ceil(bucket.level / rule.limit), bucket.since, bucket.added }) do
    reply[#reply + 1] = number
  end
end
return reply
