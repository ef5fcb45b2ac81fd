-- What every script begins with. A bucket is one string, `at level added since`: the same four numbers, with
-- the same meaning, as in limits/memory.py; levels are units x milliseconds of the window.

local time = redis.call('TIME') -- the server's: no gateway's clock matters
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function save(key, bucket, limit)
  if bucket.level <= 0 then
    redis.call('DEL', key)
    return
  end
  local value = string.format('%.0f %.0f %.0f %.0f', now, bucket.level, bucket.added, bucket.since)
  redis.call('SET', key, value, 'PX', string.format('%.0f', math.ceil(bucket.level / limit) + 1))
end

local function load(key, limit)
  local kept = redis.call('GET', key)
  local at, level, added, since
  if kept then
    at, level, added, since = string.match(kept, '^(%d+) (%d+) (%d+) (%d+)$')
  end
  if not at then
    return { level = 0, added = 0, since = now }
  end
  at, level, added, since = tonumber(at), tonumber(level), tonumber(added), tonumber(since)
  level = level - math.max(0, now - at) * limit
  if level <= 0 then
    return { level = 0, added = 0, since = now }
  end
  local bucket = { level = level, added = added, since = since }
  if now < at then -- the clock was set back: from here on it drains
    save(key, bucket, limit)
  end
  return bucket
end

local function under_way(key)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  return redis.call('ZCARD', key)
end
