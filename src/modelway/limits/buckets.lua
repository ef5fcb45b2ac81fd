-- What every script begins with. A bucket is one string, `at level added since limit`: the same five numbers,
-- with the same meaning, as in limits/buckets.py; levels are units x milliseconds of the window.

local time = redis.call('TIME') -- the server's: no gateway's clock matters
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function save(key, bucket)
  if bucket.level <= 0 then
    redis.call('DEL', key)
    return
  end
  local value = string.format('%.0f %.0f %.0f %.0f %.0f', now, bucket.level, bucket.added, bucket.since, bucket.limit)
  redis.call('SET', key, value, 'PX', string.format('%.0f', math.ceil(bucket.level / bucket.limit) + 1))
end

-- `limit` is what holds now; nil where nobody knows: then it is what it was, or `otherwise`.
local function load(key, window, limit, otherwise)
  local kept = redis.call('GET', key)
  local at, level, added, since, was
  if kept then
    at, level, added, since, was = string.match(kept, '^(%d+) (%d+) (%d+) (%d+) (%d+)$')
  end
  if not at then
    return { level = 0, added = 0, since = now, limit = limit or otherwise }
  end
  at, level, added, since, was = tonumber(at), tonumber(level), tonumber(added), tonumber(since), tonumber(was)
  limit = limit or was
  level = level - math.max(0, now - at) * limit
  if limit < was then -- what was right before is no debt now
    level = math.min(level, limit * window)
  end
  if level <= 0 then
    return { level = 0, added = 0, since = now, limit = limit }
  end
  local bucket = { level = level, added = added, since = since, limit = limit }
  if now < at or limit ~= was then -- the clock was set back: from here on it drains; so by another limit
    save(key, bucket)
  end
  return bucket
end

local function under_way(key)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  return redis.call('ZCARD', key)
end
