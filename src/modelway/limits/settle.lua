-- Gives back what a call did not use, or takes what it used beyond. KEYS: a bucket per rule. ARGV: the call;
-- then per rule its window in ms (0: what is under way), its limit, what was taken, what was used, and where
-- the call lies in the bucket (since, added).

for i, key in ipairs(KEYS) do
  local at = 6 * i - 4
  local window, limit = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  if window == 0 then
    redis.call('ZREM', key, ARGV[1])
  else
    local taken, used = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local since, added = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
    local bucket = load(key, limit)
    if used > taken then
      bucket.level = bucket.level + (used - taken) * window
      bucket.added = bucket.added + (used - taken)
    elseif bucket.since == since then -- what came after it drains last: only the rest is still its own
      local left = bucket.level - (bucket.added - added) * window
      bucket.level = bucket.level - math.max(0, math.min((taken - used) * window, left))
    end
    save(key, bucket, limit)
  end
end
return 1
