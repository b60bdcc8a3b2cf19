"""What runs within Redis, each in one step: a message is waiting, or held by one worker, or gone, and never between.

The keys are those of Dramatiq's own Redis broker, so that its producers and tools go on working:
`NS:QUEUE` lists the ids that wait, `NS:QUEUE.msgs` has each message by its id, `NS:__acks__.WORKER.QUEUE` is what a
worker holds, `NS:__heartbeats__` when each worker was last seen, `NS:QUEUE.XQ` and `NS:QUEUE.XQ.msgs` the dead letters.
Ours: `NS:QUEUE.suspects`, the messages with which a process died, and how many deaths are surely their doing.

All but ENQUEUE run in a full Redis too: what is taken out frees it. Redis 7 and Valkey know the flag for that.
The time is the server's, so that workers' clocks need not agree.
"""

from typing import Final

_WITH_ROOM: Final = "#!lua\n"
_ALWAYS: Final = "#!lua flags=allow-oom\n"

_PUT: Final = """
redis.call('hset', KEYS[1] .. ':' .. ARGV[1] .. '.msgs', ARGV[2], ARGV[3])
redis.call('rpush', KEYS[1] .. ':' .. ARGV[1], ARGV[2])
"""

ENQUEUE: Final = _WITH_ROOM + _PUT
"""(queue, id, data). A full Redis refuses it."""

ENQUEUE_ALWAYS: Final = _ALWAYS + _PUT
"""The same for workers, whose message takes the place of one that goes: a retry, a part, a tick."""

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
    _ALWAYS
    + _GIVE_BACK
    + """
local working = {}
for place = 3, #ARGV do
    working[ARGV[place]] = ARGV[2]
end
give_back(KEYS[1], ARGV[1], working)
"""
)
"""(dead worker, deaths, ids it worked on ...). What it held waits again, first in line, some of it suspect."""

FETCH: Final = (
    _ALWAYS
    + _GIVE_BACK
    + """
local queue = KEYS[1] .. ':' .. ARGV[1]
local worker, count, silent_ms = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local max_bytes, room_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
local now = redis.call('time')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('zadd', KEYS[1] .. ':__heartbeats__', now_ms, worker)
for _, dead in ipairs(redis.call('zrangebyscore', KEYS[1] .. ':__heartbeats__', '-inf', now_ms - silent_ms)) do
    give_back(KEYS[1], dead, nil)
end
local fetched, bytes = {}, 0
while #fetched < count and bytes < room_bytes do
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
"""(queue, worker, how many, milliseconds of silence after which a worker is dead, bytes a message may have, bytes of
messages after which it gets no more).

The worker shows that it lives, takes over what dead workers held, and gets (id, data or nil where it is too
large, deaths or nil where it is no suspect) of each message it holds from now on."""

ACK: Final = (
    _ALWAYS
    + """
local queue = KEYS[1] .. ':' .. ARGV[1]
redis.call('srem', KEYS[1] .. ':__acks__.' .. ARGV[2] .. '.' .. ARGV[1], ARGV[3])
redis.call('hdel', queue .. '.msgs', ARGV[3])
redis.call('hdel', queue .. '.suspects', ARGV[3])
"""
)
"""(queue, worker, id). The message is done, whoever holds it by now: an id without a message is passed over."""

NACK: Final = (
    _ALWAYS
    + """
local queue = KEYS[1] .. ':' .. ARGV[1]
local data = redis.call('hget', queue .. '.msgs', ARGV[3])
if data then
    local now = redis.call('time')
    local dead = KEYS[1] .. ':' .. ARGV[4] .. '.XQ'
    redis.call('zadd', dead, now[1] * 1000, ARGV[3])
    redis.call('hset', dead .. '.msgs', ARGV[3], data)
end
redis.call('srem', KEYS[1] .. ':__acks__.' .. ARGV[2] .. '.' .. ARGV[1], ARGV[3])
redis.call('hdel', queue .. '.msgs', ARGV[3])
redis.call('hdel', queue .. '.suspects', ARGV[3])
"""
)
"""(queue, worker, id, queue of the dead letter). For the message that Postgres would not keep."""

REQUEUE: Final = (
    _ALWAYS
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
"""(queue, worker, ids ...). What the worker holds and will not work on waits again, first in line, in its order."""
