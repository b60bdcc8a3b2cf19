"""The broker's Lua scripts, each with its arguments, for messages that are kept for a replay after a failover.

`NS:QUEUE.kept` is a stream of acknowledged messages in the order of acknowledgement. `NS:QUEUE.kept.state` is a hash:
`bytes` of all kept messages; `counting_ms`, a clock that stands still while nothing is acknowledged; `last_ms`, the
time of the last acknowledgement; `oldest_ms`, the counting time of the oldest message; `since_ms`, the time from which
on every acknowledged message is kept. Redis deletes both keys KEPT_IDLE_SECONDS after the last acknowledgement.
"""

from typing import Final

from delivery.redis.scripts import ALWAYS, REMOVE

LONGEST_GAP_MS: Final = 10_000
"""Longest time between two acknowledgements that is added to `counting_ms`, in milliseconds.

A longer one is an outage, during which messages must not age: otherwise none would be left for the replay after it.
"""

KEPT_IDLE_SECONDS: Final = 7 * 24 * 3600
"""Seconds after the last acknowledgement until Redis forgets all kept messages, such as after keeping was ended."""

DROPPED_AT_ONCE: Final = 200
"""Messages that one call drops at most: more than a bundle adds, few enough not to stop Redis."""

_KEPT: Final = f"""
local queue = KEYS[1] .. ':' .. ARGV[1]
local kept, state = queue .. '.kept', queue .. '.kept.state'

local function load_state()
    local found = redis.call('hmget', state, 'bytes', 'counting_ms', 'last_ms', 'oldest_ms', 'since_ms')
    local now = redis.call('time')
    local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
    local known = {{
        now_ms = now_ms, bytes = tonumber(found[1] or 0), counting_ms = tonumber(found[2] or 0),
        last_ms = tonumber(found[3] or now_ms), oldest_ms = tonumber(found[4] or -1),
        since_ms = tonumber(found[5] or now_ms),
    }}
    return known
end

local function store_state(known)
    redis.call('hset', state, 'bytes', known.bytes, 'counting_ms', known.counting_ms, 'last_ms', known.last_ms,
        'oldest_ms', known.oldest_ms, 'since_ms', known.since_ms)
    redis.call('expire', state, {KEPT_IDLE_SECONDS})
    redis.call('expire', kept, {KEPT_IDLE_SECONDS})
end

local function read_oldest(known)
    local oldest = redis.call('xrange', kept, '-', '+', 'count', 1)[1]
    known.oldest_ms = oldest and tonumber(oldest[2][2]) or -1
    return oldest
end

-- drops the oldest messages beyond `max_bytes`, and those that were acknowledged before `first_ms` of the counting time
local function drop_oldest(known, max_bytes, first_ms)
    local dropped, oldest = 0, nil
    while known.oldest_ms >= 0 and dropped < {DROPPED_AT_ONCE}
            and (known.bytes > max_bytes or known.oldest_ms < first_ms) do
        oldest = oldest or read_oldest(known)
        if oldest then
            redis.call('xdel', kept, oldest[1])
            known.bytes = known.bytes - #oldest[2][4]
            known.since_ms = tonumber(string.match(oldest[1], '^%d+')) + 1
            dropped = dropped + 1
            oldest = read_oldest(known)
        end
    end
    return dropped
end

local function keep(messages, window_ms, max_bytes)
    local known = load_state()
    local gap_ms = known.now_ms - known.last_ms
    known.counting_ms = known.counting_ms + math.max(0, math.min(gap_ms, {LONGEST_GAP_MS}))
    known.last_ms = known.now_ms
    for _, data in ipairs(messages) do
        redis.call('xadd', kept, '*', 'ms', known.counting_ms, 'data', data)
        known.bytes = known.bytes + #data
        if known.oldest_ms < 0 then
            known.oldest_ms = known.counting_ms
        end
    end
    drop_oldest(known, max_bytes, known.counting_ms - window_ms)
    store_state(known)
end
"""

ACK_AND_KEEP: Final = (
    ALWAYS
    + REMOVE
    + _KEPT
    + """
local messages = {}
for place = 5, #ARGV do
    local data = redis.call('hget', queue .. '.msgs', ARGV[place])
    if data then
        messages[#messages + 1] = data
    end
    remove(KEYS[1], ARGV[2], ARGV[1], ARGV[place])
end
keep(messages, tonumber(ARGV[3]), tonumber(ARGV[4]))
"""
)
"""(queue, worker, milliseconds and bytes to keep, ids ...): removes finished messages from the queue, adds them to the
kept ones and drops those that are older or too many. The milliseconds do not count outages."""

REMOVE_DEAD: Final = (
    ALWAYS
    + _KEPT
    + """
local dead = queue .. '.XQ'
local data = redis.call('hget', dead .. '.msgs', ARGV[2])
redis.call('hdel', dead .. '.msgs', ARGV[2])
redis.call('zrem', dead, ARGV[2])
if data and ARGV[3] then
    keep({data}, tonumber(ARGV[3]), tonumber(ARGV[4]))
end
"""
)
"""(queue, id, and, if messages are kept: milliseconds and bytes to keep): removes a dead letter that Postgres has
stored, and adds it to the kept messages if the last two are given. The milliseconds do not count outages."""

MAKE_ROOM: Final = (
    ALWAYS
    + _KEPT
    + """
local known = load_state()
local dropped = drop_oldest(known, known.bytes - tonumber(ARGV[2]), 0)
if dropped > 0 then
    store_state(known)
end
return dropped
"""
)
"""(queue, bytes): drops the oldest kept messages until it has dropped so many bytes, or DROPPED_AT_ONCE messages;
returns how many messages it dropped."""

KEPT_STATE: Final = (
    ALWAYS
    + _KEPT
    + """
local known = load_state()
return {redis.call('xlen', kept), known.bytes, known.since_ms, known.counting_ms - math.max(known.oldest_ms, 0)}
"""
)
"""(queue): returns the number of kept messages, their bytes, the time in ms from which on all are kept, and how many
milliseconds they reach back, not counting outages."""

COUNT_KEPT: Final = (
    ALWAYS
    + _KEPT
    + """
local bytes, last = 0, false
local entries = redis.call('xrange', kept, ARGV[2], ARGV[3], 'count', ARGV[4])
for _, entry in ipairs(entries) do
    bytes, last = bytes + #entry[2][4], entry[1]
end
return {#entries, bytes, last}
"""
)
"""(queue, first id, last id, largest count): returns the number of kept messages, their bytes and the last id."""

REPLAY: Final = (
    ALWAYS
    + _KEPT
    + """
local known, last, moved = load_state(), false, 0
for _, entry in ipairs(redis.call('xrange', kept, ARGV[2], ARGV[3], 'count', ARGV[4])) do
    last, moved = entry[1], moved + 1
    redis.call('hset', queue .. '.msgs', 'kept-' .. last, entry[2][4])
    redis.call('rpush', queue, 'kept-' .. last)
    redis.call('xdel', kept, last)
    known.bytes = known.bytes - #entry[2][4]
end
if moved > 0 then
    read_oldest(known)
    store_state(known)
end
return {moved, last}
"""
)
"""(queue, first id, last id, largest count): moves kept messages to the end of the queue under new ids; returns their
number and the last id. They are kept again when they are acknowledged again."""
