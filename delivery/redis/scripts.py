"""What runs within Redis, each in one step: a message is waiting, or held by one worker, or gone, and never between.

The keys are those of Dramatiq's own Redis broker, so that its producers and tools go on working:
`NS:QUEUE` lists the ids that wait, `NS:QUEUE.msgs` has each message by its id, `NS:__acks__.WORKER.QUEUE` is what a
worker holds, `NS:__heartbeats__` when each worker was last seen, `NS:QUEUE.XQ` and `NS:QUEUE.XQ.msgs` the dead letters.
Ours: `NS:QUEUE.suspects`, the messages with which a process died, and how many deaths are surely their doing;
`NS:QUEUE.DQ.etas`, when the time of each delayed message comes, in milliseconds.

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

_PUT_LATER: Final = """
redis.call('hset', KEYS[1] .. ':' .. ARGV[1] .. '.msgs', ARGV[2], ARGV[3])
redis.call('zadd', KEYS[1] .. ':' .. ARGV[1] .. '.etas', ARGV[4], ARGV[2])
"""

ENQUEUE_LATER: Final = _WITH_ROOM + _PUT_LATER
"""(delayed queue, id, data, when its time comes). A full Redis refuses it."""

ENQUEUE_LATER_ALWAYS: Final = _ALWAYS + _PUT_LATER
"""The same for workers."""

_MOVE_UNDECODED: Final = """
local delayed, queue = KEYS[1] .. ':' .. ARGV[1], KEYS[1] .. ':' .. ARGV[2]
local head, new_head = '{"queue_name":"' .. ARGV[1] .. '",', '{"queue_name":"' .. ARGV[2] .. '",'
local moved = 0
local function move(id, data)
    if not data or string.sub(data, 1, #head) ~= head then
        return false
    end
    -- last of all it leaves its place: a key of the wrong type ends the script where it stands
    redis.call('hset', queue .. '.msgs', id, new_head .. string.sub(data, #head + 1))
    redis.call('rpush', queue, id)
    redis.call('hdel', delayed .. '.msgs', id)
    redis.call('zrem', delayed .. '.etas', id)
    moved = moved + 1
    return true
end
"""

DUE: Final = (
    _ALWAYS
    + _MOVE_UNDECODED
    + """
local count, lease_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
local max_bytes, room_bytes = tonumber(ARGV[5]), tonumber(ARGV[6])
local now = redis.call('time')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local found, bytes = {}, 0
local function names_later(data)
    local place = 1
    while true do
        local _, last = string.find(data, '"eta"', place, true)
        if not last then
            return false
        end
        local eta = string.match(data, '^%s*:%s*(%d+)', last + 1)
        if eta and tonumber(eta) > now_ms then
            return true
        end
        place = last + 1
    end
end
local function take(id)
    local size = redis.call('hstrlen', delayed .. '.msgs', id)
    bytes = bytes + size
    local data = size <= max_bytes and redis.call('hget', delayed .. '.msgs', id)
    if data and not names_later(data) and move(id, data) then
        return
    end
    if redis.call('hexists', delayed .. '.msgs', id) == 1 then
        redis.call('zadd', delayed .. '.etas', now_ms + lease_ms, id)
        found[#found + 1] = {id, data}
    else
        redis.call('zrem', delayed .. '.etas', id)
    end
end
local left = 10000
while #found + moved < count and bytes < room_bytes and left > 0 do
    left = left - 1
    local id = redis.call('lpop', delayed)
    if not id then
        break
    end
    take(id)
end
for _, id in ipairs(redis.call('zrangebyscore', delayed .. '.etas', '-inf', now_ms, 'limit', 0, count)) do
    if #found + moved >= count or bytes >= room_bytes then
        break
    end
    take(id)
end
return {now_ms, moved, found}
"""
)
"""(delayed queue, queue, how many, lease in milliseconds, bytes a message may have, bytes after which it gets no more).

Looks at each message whose time may have come: as Redis has noted, or of which it knows no time because another program
put it there. One that begins as ours and stock producers' do, and names no later time, moves to the queue undecoded:
its consumer leaves the time out. Returns the time, how many moved, and (id, data or nil where it is too large) of each
other one; nobody else gets those while the lease runs."""

SET_ETA: Final = (
    _ALWAYS
    + """
local queue = KEYS[1] .. ':' .. ARGV[1]
if redis.call('hexists', queue .. '.msgs', ARGV[2]) == 1 then
    redis.call('zadd', queue .. '.etas', ARGV[3], ARGV[2])
end
"""
)
"""(delayed queue, id, when its time comes)."""

HASTEN: Final = (
    _ALWAYS
    + _MOVE_UNDECODED
    + """
for place = 3, #ARGV do
    move(ARGV[place], redis.call('hget', delayed .. '.msgs', ARGV[place]))
end
"""
)
"""(delayed queue, queue, ids ...). Those that still wait for their time, and begin as ours do, go to the queue."""

MOVE: Final = (
    _ALWAYS
    + """
local delayed, queue = KEYS[1] .. ':' .. ARGV[1], KEYS[1] .. ':' .. ARGV[3]
if redis.call('hexists', delayed .. '.msgs', ARGV[2]) == 1 and ARGV[4] then
    redis.call('hset', queue .. '.msgs', ARGV[2], ARGV[4])
    redis.call('rpush', queue, ARGV[2])
end
redis.call('hdel', delayed .. '.msgs', ARGV[2])
redis.call('zrem', delayed .. '.etas', ARGV[2])
"""
)
"""(delayed queue, id, queue, data). The message waits there from now on; without data it is gone."""

HEAD: Final = (
    _ALWAYS
    + """
local data = redis.call('hget', KEYS[1] .. ':' .. ARGV[1] .. '.msgs', ARGV[2])
return data and string.sub(data, 1, tonumber(ARGV[3]))
"""
)
"""(queue, id, how many bytes): the first of a message that is too large to be read whole."""

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
local heartbeats = KEYS[1] .. ':__heartbeats__'
redis.call('zadd', heartbeats, now_ms, worker)
-- a sign of life from the future was given before the clock was set back
local silent = redis.call('zrangebyscore', heartbeats, '-inf', now_ms - silent_ms, 'limit', 0, 1000)
for _, dead in ipairs(redis.call('zrangebyscore', heartbeats, now_ms + silent_ms, '+inf', 'limit', 0, 1000)) do
    silent[#silent + 1] = dead
end
if #silent > 0 then
    -- whoever holds messages first: producers may forge any number of workers, but nothing that these hold
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
"""(queue, worker, how many, milliseconds of silence after which a worker is dead, bytes a message may have, bytes of
messages after which it gets no more).

The worker shows that it lives, takes over what dead workers held, forgets up to 1,000 of them at each end of time, and
looks at up to 10,000 ids: whoever may write to the queue can forge both. It gets (id, data or nil where too large,
deaths or nil where it is no suspect) of each message it holds from now on."""

SET_ASIDE: Final = (
    _ALWAYS
    + """
local queue = KEYS[1] .. ':' .. ARGV[1]
local kinds = {
    {queue, 'list'}, {queue .. '.msgs', 'hash'}, {queue .. '.suspects', 'hash'}, {queue .. '.etas', 'zset'},
    {queue .. '.XQ', 'zset'}, {queue .. '.XQ.msgs', 'hash'}, {KEYS[1] .. ':__heartbeats__', 'zset'},
    {KEYS[1] .. ':__acks__.' .. ARGV[2] .. '.' .. ARGV[1], 'set'},
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
"""(queue, worker). Keys of the queue that another program made with another type become `….wrong_type`, over what
had that name before; (key, type) of each."""

ACK: Final = (
    _ALWAYS
    + """
local queue = KEYS[1] .. ':' .. ARGV[1]
for place = 3, #ARGV do
    redis.call('srem', KEYS[1] .. ':__acks__.' .. ARGV[2] .. '.' .. ARGV[1], ARGV[place])
    redis.call('hdel', queue .. '.msgs', ARGV[place])
    redis.call('hdel', queue .. '.suspects', ARGV[place])
end
"""
)
"""(queue, worker, ids ...). The messages are done, whoever holds them by now: an id without one is passed over."""

NACK: Final = (
    _ALWAYS
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
"""(queue, worker, queue of the dead letter, id). For the message that Postgres would not keep."""

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
