"""The broker's Lua scripts for delayed messages, each with its arguments. Each is atomic, and uses the server's time.

The delay queue is Dramatiq's, `NS:QUEUE.DQ` with the hash `NS:QUEUE.DQ.msgs`, plus a sorted set of due times in
milliseconds of the server's clock, `NS:QUEUE.DQ.etas`. Dramatiq's producers, and earlier versions of Spendgate, do not
write to that set: their messages have a due time by the sender's clock in the option `eta`.
"""

from typing import Final

from delivery.redis.scripts import ALWAYS, WITH_ROOM

_PUT_LATER: Final = """
local now = redis.call('time')
local due_ms = now[1] * 1000 + math.floor(now[2] / 1000) + tonumber(ARGV[4])
redis.call('zadd', KEYS[1] .. ':' .. ARGV[1] .. '.etas', due_ms, ARGV[2])
redis.call('hset', KEYS[1] .. ':' .. ARGV[1] .. '.msgs', ARGV[2], ARGV[3])
"""

ENQUEUE_LATER: Final = WITH_ROOM + _PUT_LATER
"""(delay queue, id, data, delay in ms): enqueues a delayed message. A full Redis refuses it."""

ENQUEUE_LATER_ALWAYS: Final = ALWAYS + _PUT_LATER
"""(delay queue, id, data, delay in ms): enqueues a worker's delayed message, also in a full Redis."""

_MOVE_UNDECODED: Final = """
local delayed, queue = KEYS[1] .. ':' .. ARGV[1], KEYS[1] .. ':' .. ARGV[2]
local head, new_head = '{"queue_name":"' .. ARGV[1] .. '",', '{"queue_name":"' .. ARGV[2] .. '",'
local moved = 0
local function move(id, data)
    if not data or string.sub(data, 1, #head) ~= head then
        return false
    end
    -- removed last, because a key of a wrong type ends the script at once
    redis.call('hset', queue .. '.msgs', id, new_head .. string.sub(data, #head + 1))
    redis.call('rpush', queue, id)
    redis.call('hdel', delayed .. '.msgs', id)
    redis.call('zrem', delayed .. '.etas', id)
    moved = moved + 1
    return true
end
"""

DUE: Final = (
    ALWAYS
    + _MOVE_UNDECODED
    + """
local count, lease_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
local max_bytes, room_bytes, longest_ms = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
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
-- a due time beyond twice the longest delay was set by a wrong clock, or before the server's was set back
local beyond = '(' .. string.format('%.0f', now_ms + 2 * longest_ms)
for _, id in ipairs(redis.call('zrangebyscore', delayed .. '.etas', beyond, '+inf', 'limit', 0, 1000)) do
    redis.call('zadd', delayed .. '.etas', now_ms + longest_ms, id)
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
"""(delay queue, queue, largest count, lease in ms, largest bytes of a message, bytes after which it stops, longest
delay in ms): moves due messages to the queue.

Reads the messages whose due time has passed or, if another program enqueued them, is unknown. A message that begins
with its queue name, as our and Dramatiq's encoders write it, and has no later `eta` moves without decoding; its
consumer ignores `eta`. Returns the time in ms, the number moved, and (id, data or nil if too large) of each other
message, which no other worker gets during the lease. Cuts due times that are too far ahead."""

SET_ETA: Final = (
    ALWAYS
    + """
local queue = KEYS[1] .. ':' .. ARGV[1]
if redis.call('hexists', queue .. '.msgs', ARGV[2]) == 1 then
    redis.call('zadd', queue .. '.etas', ARGV[3], ARGV[2])
    redis.call('hset', queue .. '.msgs', ARGV[2], ARGV[4])
end
"""
)
"""(delay queue, id, due time in ms, data): sets the due time and the data of a delayed message."""

HASTEN: Final = (
    ALWAYS
    + _MOVE_UNDECODED
    + """
for place = 3, #ARGV do
    move(ARGV[place], redis.call('hget', delayed .. '.msgs', ARGV[place]))
end
"""
)
"""(delay queue, queue, ids ...): moves to the queue those messages that are still delayed and begin with the name of
their delay queue."""

MOVE: Final = (
    ALWAYS
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
"""(delay queue, id, queue, data): moves a delayed message to the queue with new data; without data removes it."""

POSTPONE: Final = (
    ALWAYS
    + """
local queue = KEYS[1] .. ':' .. ARGV[1]
local now = redis.call('time')
if redis.call('srem', KEYS[1] .. ':__acks__.' .. ARGV[2] .. '.' .. ARGV[1], ARGV[6]) == 1
        and redis.call('hexists', queue .. '.msgs', ARGV[6]) == 1 then
    local delayed = KEYS[1] .. ':' .. ARGV[3]
    redis.call('zadd', delayed .. '.etas', now[1] * 1000 + math.floor(now[2] / 1000) + tonumber(ARGV[5]), ARGV[6])
    redis.call('hset', delayed .. '.msgs', ARGV[6], ARGV[4])
    redis.call('hdel', queue .. '.msgs', ARGV[6])
end
"""
)
"""(queue, worker, delay queue, data, delay in ms, id): delays a message that the worker has fetched; if it is suspect,
it stays suspect. Ignores a message that the worker has not fetched."""
