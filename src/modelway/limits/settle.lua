-- Gives back what a call did not use, or takes what it used beyond. KEYS: a bucket per rule. ARGV: the call;
-- then per rule its window in ms (0: what is under way), its limit then, what was taken, what was used, and where
-- the call lies in the bucket (since, added).

for i, key in ipairs(KEYS) do
  local at = 6 * i - 4
  local window, limit = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  if window == 0 then
    redis.call('ZREM', key, ARGV[1])
  else
    local taken, used = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local since, added = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
    local bucket = load(key, window, nil, limit)
    if used > taken then -- a debt, of which nobody waits for more than a few windows
      local most = bucket.limit * debt_windows_max
      local more = math.min(used - taken, most)
      bucket.level = math.min(bucket.level + more * window, most * window)
      bucket.added = bucket.added + more
    elseif bucket.since == since then -- what came after it drains last: only the rest is still its own
      local left = bucket.level - (bucket.added - added) * window
      bucket.level = bucket.level - math.max(0, math.min((taken - used) * window, left))
    end
    save(key, bucket)
  end
end
return 1
