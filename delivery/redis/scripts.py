"""The broker's Lua scripts for queues. Each is atomic: a message always waits, is fetched by one worker, or is removed.

The keys are those of Dramatiq's Redis broker, so that its producers and tools keep working:
`NS:QUEUE` is the list of waiting ids, `NS:QUEUE.msgs` a hash of messages by id, `NS:__acks__.WORKER.QUEUE` the set of
ids that a worker has fetched, `NS:__heartbeats__` the time of each worker's last heartbeat, `NS:QUEUE.XQ` and
`NS:QUEUE.XQ.msgs` the dead letters. Two keys are ours: `NS:QUEUE.suspects`, a hash of suspect ids and the number of
deaths that each certainly caused; `NS:QUEUE.DQ.etas`, the due time of each delayed message in milliseconds
(delivery/redis/delay_scripts.py). Messages kept after their acknowledgement: delivery/redis/kept_scripts.py.

Scripts use the server's time, so that workers' clocks need not agree. The text below each script begins with its
arguments.
"""

from typing import Final

WITH_ROOM: Final = "#!lua\n"
"""First line of a script that a full Redis refuses: the scripts with which producers enqueue."""

ALWAYS: Final = "#!lua flags=allow-oom\n"
"""First line of a script that also runs in a full Redis, because workers remove messages. Needs Redis 7 or Valkey."""

_PUT: Final = """
redis.call('hset', KEYS[1] .. ':' .. ARGV[1] .. '.msgs', ARGV[2], ARGV[3])
redis.call('rpush', KEYS[1] .. ':' .. ARGV[1], ARGV[2])
"""

ENQUEUE: Final = WITH_ROOM + _PUT
"""(queue, id, data): enqueues a message. A full Redis refuses it."""

ENQUEUE_ALWAYS: Final = ALWAYS + _PUT
"""(queue, id, data): enqueues a message of a worker, also in a full Redis, because workers remove messages."""

HEAD: Final = (
    ALWAYS
    + """
local data = redis.call('hget', KEYS[1] .. ':' .. ARGV[1] .. '.msgs', ARGV[2])
return data and string.sub(data, 1, tonumber(ARGV[3]))
"""
)
"""(queue, id, number of bytes): returns the first bytes of a message that is too large to be read whole."""

_GIVE_BACK: Final = """
local function give_back(namespace, worker, working)
    redis.call('zrem', namespace .. ':__heartbeats__', worker)
    if string.find(worker, '[^%w%-]') then
        return
    end
    for _, held in ipairs(redis.call('keys', namespace .. ':__acks__.' .. worker .. '.*')) do
        local queue = namespace .. ':' .. string.sub(held, #namespace + #worker + 12)
        for _, id in ipairs(redis.call('smembers', held)) do
            if redis.call('hexists', queue .. '.msgs', id) == 1 then
                redis.call('lpush', queue, id)
                local deaths = working == nil and 0 or working[id]
                if deaths and string.sub(queue, -3) ~= '.DQ' then
                    redis.call('hsetnx', queue .. '.suspects', id, deaths)
                end
            end
        end
        redis.call('del', held)
    end
end
"""

GIVE_BACK: Final = (
    ALWAYS
    + _GIVE_BACK
    + """
local working = {}
for place = 3, #ARGV do
    working[ARGV[place]] = ARGV[2]
end
give_back(KEYS[1], ARGV[1], working)
"""
)
"""(dead worker, deaths, ids it worked on ...): returns the worker's messages to the front of their queues and marks the
messages that it worked on as suspect, each with that number of deaths."""

FETCH: Final = (
    ALWAYS
    + _GIVE_BACK
    + """
local queue = KEYS[1] .. ':' .. ARGV[1]
local worker, count, silent_ms = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local max_bytes, room_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
local now = redis.call('time')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local heartbeats = KEYS[1] .. ':__heartbeats__'
redis.call('zadd', heartbeats, now_ms, worker)
-- a heartbeat in the future dates from before the clock was set back
local silent = redis.call('zrangebyscore', heartbeats, '-inf', now_ms - silent_ms, 'limit', 0, 1000)
for _, dead in ipairs(redis.call('zrangebyscore', heartbeats, now_ms + silent_ms, '+inf', 'limit', 0, 1000)) do
    silent[#silent + 1] = dead
end
if #silent > 0 then
    -- workers that hold messages first: a producer can forge heartbeats, but not held messages
    for _, held in ipairs(redis.call('keys', KEYS[1] .. ':__acks__.*')) do
        local holder = string.match(string.sub(held, #KEYS[1] + 11), '^[%w%-]+')
        local seen_ms = tonumber(holder and redis.call('zscore', heartbeats, holder) or now_ms)
        if seen_ms <= now_ms - silent_ms or seen_ms >= now_ms + silent_ms then
            give_back(KEYS[1], holder, nil)
        end
    end
    for _, dead in ipairs(silent) do
        redis.call('zrem', heartbeats, dead)
    end
end
local fetched, bytes, left = {}, 0, 10000
while #fetched < count and bytes < room_bytes and left > 0 do
    left = left - 1
    local id = redis.call('lpop', queue)
    if not id then
        break
    end
    if redis.call('hexists', queue .. '.msgs', id) == 1 then
        local size = redis.call('hstrlen', queue .. '.msgs', id)
        redis.call('sadd', KEYS[1] .. ':__acks__.' .. worker .. '.' .. ARGV[1], id)
        local data = size <= max_bytes and redis.call('hget', queue .. '.msgs', id)
        fetched[#fetched + 1] = {id, data, redis.call('hget', queue .. '.suspects', id)}
        bytes = bytes + size
    end
end
return fetched
"""
)
"""(queue, worker, largest count, ms without heartbeat after which a worker is dead, largest bytes of a message, bytes
after which it stops): fetches messages for a worker; they are the worker's until it acknowledges or returns them.

Records the worker's heartbeat, returns dead workers' messages to their queues, deletes up to 1,000 heartbeats that are
too old and 1,000 from the future, and reads up to 10,000 ids; the bounds are needed because producers can forge both.
Returns (id, data or nil if too large, deaths or nil if not suspect) of each message."""

SET_ASIDE: Final = (
    ALWAYS
    + """
local queue = KEYS[1] .. ':' .. ARGV[1]
local kinds = {
    {queue, 'list'}, {queue .. '.msgs', 'hash'}, {queue .. '.suspects', 'hash'}, {queue .. '.etas', 'zset'},
    {queue .. '.XQ', 'zset'}, {queue .. '.XQ.msgs', 'hash'}, {KEYS[1] .. ':__heartbeats__', 'zset'},
    {KEYS[1] .. ':__acks__.' .. ARGV[2] .. '.' .. ARGV[1], 'set'},
    {queue .. '.kept', 'stream'}, {queue .. '.kept.state', 'hash'},
}
local wrong = {}
for _, known in ipairs(kinds) do
    local kind = redis.call('type', known[1]).ok
    if kind ~= 'none' and kind ~= known[2] then
        redis.call('rename', known[1], known[1] .. '.wrong_type')
        wrong[#wrong + 1] = {known[1], kind}
    end
end
return wrong
"""
)
"""(queue, worker): renames keys of the queue that have a wrong type to `….wrong_type`, replacing a key of that name;
returns (key, type) of each."""

REMOVE: Final = """
local function remove(namespace, worker, queue_name, id)
    local queue = namespace .. ':' .. queue_name
    redis.call('srem', namespace .. ':__acks__.' .. worker .. '.' .. queue_name, id)
    redis.call('hdel', queue .. '.msgs', id)
    redis.call('hdel', queue .. '.suspects', id)
end
"""
"""A Lua function that removes a finished message, for the scripts that acknowledge messages."""

ACK: Final = (
    ALWAYS
    + REMOVE
    + """
for place = 3, #ARGV do
    remove(KEYS[1], ARGV[2], ARGV[1], ARGV[place])
end
"""
)
"""(queue, worker, ids ...): removes finished messages, even if another worker has fetched them; ignores unknown ids."""

NACK: Final = (
    ALWAYS
    + """
local queue = KEYS[1] .. ':' .. ARGV[1]
local data = redis.call('hget', queue .. '.msgs', ARGV[4])
if data then
    local now = redis.call('time')
    local dead = KEYS[1] .. ':' .. ARGV[3] .. '.XQ'
    redis.call('zadd', dead, now[1] * 1000, ARGV[4])
    redis.call('hset', dead .. '.msgs', ARGV[4], data)
end
redis.call('srem', KEYS[1] .. ':__acks__.' .. ARGV[2] .. '.' .. ARGV[1], ARGV[4])
redis.call('hdel', queue .. '.msgs', ARGV[4])
redis.call('hdel', queue .. '.suspects', ARGV[4])
"""
)
"""(queue, worker, queue of the dead letter, id): moves a message that Postgres could not store to the dead letters."""

REQUEUE: Final = (
    ALWAYS
    + """
local queue = KEYS[1] .. ':' .. ARGV[1]
for place = #ARGV, 3, -1 do
    if redis.call('srem', KEYS[1] .. ':__acks__.' .. ARGV[2] .. '.' .. ARGV[1], ARGV[place]) == 1
            and redis.call('hexists', queue .. '.msgs', ARGV[place]) == 1 then
        redis.call('lpush', queue, ARGV[place])
    end
end
"""
)
"""(queue, worker, ids ...): returns messages that the worker has fetched to the front of the queue, in their order.

Ignores ids that it has not fetched."""
