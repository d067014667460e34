"""How states lie in Redis, and what all scripts over them share.

A key has three strings, named by the prefix, the kind's number, the hash, and a letter:

- ``e``, exact events, oldest first: 8 bytes with the number of dead records at its head, then records of 24 bytes:
  time, amount, identity. Dead records are cut off when there are 1,024 of them, so that a busy key's 100 kB are moved
  once in a thousand transactions.
- ``b``, hourly buckets, oldest first: records of 48 bytes: time, amount, squares, events, frauds, and the running
  totals of events and frauds up to and with it, from any base: whole numbers, so that a window's counts are exact
  differences, and cost a busy key two reads instead of seven hundred.
- ``f``, labels of exact events: records of 24 bytes: identity, time of the event, time of the label.

Beside them, under the prefix: ``about``, what the states were made with; ``filled``, that the first snapshot was taken
over; ``latest``, time of the newest event; ``told``, of the last delivery of a label the source's 16 bytes and the
serial in decimal.

Numbers are little-endian, times microseconds below 2⁵³, which Lua's numbers hold exactly. The rules are those of the
compiled store, ``core/features/_states_cells.c``; the contract suite and a replay over both prove them the same.
"""

from __future__ import annotations

from typing import Final

from bentos.core.features import _states
from bentos.core.features.clock import DAY, HOUR
from bentos.core.features.history import CUSTOMER, EXACT_EVENTS, KINDS
from bentos.core.features.window_statistics import COUNT, SPECIFICATION

__all__ = ["COMMON", "HEAD_BYTES", "LIFE_MILLISECONDS"]

#: Of a string of events, before its records.
HEAD_BYTES: Final = 8
#: What windows need is this old at most; a key without an event for so long is of no use.
LIFE_MILLISECONDS: Final = (max(kind.horizon for kind in KINDS) + 2 * DAY) // 1000


def _lua_kinds() -> str:
    parts = []
    for kind, (delay, horizon, _, windows) in zip(KINDS, SPECIFICATION, strict=True):
        spans = ", ".join(f"{span:.0f}" for span, asked in windows if asked & COUNT)
        whole = str(kind is CUSTOMER).lower()
        parts.append(f"{{delay = {delay}, horizon = {horizon}, whole = {whole}, spans = {{{spans}}}}}")
    return ", ".join(parts)


COMMON: Final = (
    f"""
local call, pack, unpack, floor = redis.call, struct.pack, struct.unpack, math.floor
local EXACT, BUCKETS, HOUR, DAY = {EXACT_EVENTS}, {_states.MAXIMUM_BUCKETS}, {HOUR}, {DAY}
local LIFE, SMALL, DEAD = {LIFE_MILLISECONDS}, 4096, 1024
local KINDS = {{ {_lua_kinds()} }}
"""
    + """
-- A string of records; what is small is read at once, of what is large single numbers are.
local function open(key, head, width)
  local size = call('STRLEN', key)
  local data = size == 0 and '' or size <= SMALL and call('GET', key) or nil
  return {key = key, data = data, base = head, width = width, count = floor(math.max(size - head, 0) / width)}
end

local function bytes(view, from, to)
  if view.data then return string.sub(view.data, from + 1, to) end
  if to <= from then return '' end
  return call('GETRANGE', view.key, from, to - 1)
end

local function slice(view, from, to) return bytes(view, view.base + from * view.width, view.base + to * view.width) end

local function time_at(view, i)
  local at = view.base + i * view.width
  if view.data then return (unpack('<i8', view.data, at + 1)) end
  return (unpack('<i8', call('GETRANGE', view.key, at, at + 7)))
end

-- Index of the first of the first `count` records that is later.
local function first_after(view, count, time)
  if count == 0 or time_at(view, count - 1) <= time then return count end
  if time_at(view, 0) > time then return 0 end
  local low, high = 1, count - 1
  while low < high do
    local middle = floor((low + high) / 2)
    if time_at(view, middle) <= time then low = middle + 1 else high = middle end
  end
  return low
end

local function events_of(key)
  local view = open(key .. 'e', 8, 24)
  if view.count > 0 then
    view.dead = (unpack('<i8', bytes(view, 0, 8)))
    view.base, view.count = 8 + view.dead * 24, view.count - view.dead
  else
    view.dead = 0
  end
  return view
end

local function buckets_of(key) return open(key .. 'b', 0, 48) end

-- Index of an event among those of its time, nil when it is not there.
local function find_at(view, identity, time)
  local i = first_after(view, view.count, time) - 1
  while i >= 0 and time_at(view, i) == time do
    local at = view.base + i * 24 + 16
    if bytes(view, at, at + 8) == identity then return i end
    i = i - 1
  end
  return nil
end

local function find_label(labels, identity)
  for at = 1, #labels, 24 do
    if string.sub(labels, at, at + 7) == identity then return at end
  end
  return nil
end

local function bucket_place(buckets, hour) return first_after(buckets, buckets.count, hour * HOUR - 1) end

local function keep(key, data)
  if data == '' then call('DEL', key) else call('SET', key, data, 'PX', LIFE) end
end

-- Records of buckets with their running totals raised.
local function raised(data, events, frauds)
  local parts = {}
  for at = 1, #data, 48 do
    local all, bad = unpack('<dd', data, at + 32)
    parts[#parts + 1] = string.sub(data, at, at + 31) .. pack('<dd', all + events, bad + frauds)
  end
  return table.concat(parts)
end

-- Running totals before a bucket.
local function totals_before(buckets, i)
  if i < buckets.count then
    local events, frauds, all, bad = unpack('<i4i4dd', slice(buckets, i, i + 1), 25)
    return all - events, bad - frauds
  end
  if i == 0 then return 0, 0 end
  return unpack('<dd', slice(buckets, i - 1, i), 33)
end

-- Welford, "Note on a method for calculating corrected sums of squares and products" (1962).
local function fold(key, time, amount, fraud)
  local buckets = buckets_of(key)
  local hour = floor(time / HOUR)
  local place = bucket_place(buckets, hour)
  if place < buckets.count and floor(time_at(buckets, place) / HOUR) == hour then
    local newest, total, squares, events, frauds, all, bad = unpack('<i8ddi4i4dd', slice(buckets, place, place + 1))
    local before = total / events
    events, total = events + 1, total + amount
    squares = squares + (amount - before) * (amount - total / events)
    newest, frauds = math.max(newest, time), frauds + fraud
    local record = pack('<i8ddi4i4dd', newest, total, squares, events, frauds, all + 1, bad + fraud)
    local rest = place + 1 < buckets.count and raised(slice(buckets, place + 1, buckets.count), 1, fraud) or ''
    call('SETRANGE', buckets.key, place * 48, record .. rest)
    call('PEXPIRE', buckets.key, LIFE)
    return
  end
  local count = buckets.count
  if count == BUCKETS then
    if place == count then return end
    count = count - 1
  end
  local all, bad = totals_before(buckets, place)
  local record = pack('<i8ddi4i4dd', time, amount, 0, 1, fraud, all + 1, bad + fraud)
  keep(buckets.key, slice(buckets, 0, place) .. record .. raised(slice(buckets, place, count), 1, fraud))
end
"""
)
