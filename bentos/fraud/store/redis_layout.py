"""How states lie in Redis, and what all scripts over them share.

A key has three strings, named by the prefix, the kind's number, the hash, and a letter:

- ``e``, exact events, oldest first: a head of 8 bytes, then records of 24 bytes: time, amount, identity. The head has
  the number of dead records and whether the key may have buckets (1) and labels (2), so that they are not asked for
  when it has none. Dead records are cut off when there are 1,024 of them, so that a busy key's 100 kB are moved once in
  a thousand transactions.
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

import struct
from typing import Final

from bentos.core.features import _states
from bentos.core.features.clock import DAY, HOUR
from bentos.core.features.history import CATEGORY, CUSTOMER, EXACT_EVENTS, KINDS, MERCHANT
from bentos.core.features.window_statistics import COUNT, SPECIFICATION

__all__ = ["COMMON", "HAS_BUCKETS", "HAS_LABELS", "HEAD", "LIFE_MILLISECONDS"]

#: Of a string of events: how many of its records are dead, and which other strings its key may have.
HEAD: Final = struct.Struct("<ii")
HAS_BUCKETS: Final = 1
HAS_LABELS: Final = 2
#: Bytes that are read at once: more where all are needed, few where most keys have too many anyway.
_SMALL: Final = {CUSTOMER: 8192, MERCHANT: 1536, CATEGORY: 64}
#: What windows need is this old at most; a key without an event for so long is of no use. It is told anew once a day of
#: events, and a clock may be a day ahead.
LIFE_MILLISECONDS: Final = (max(kind.horizon for kind in KINDS) + 4 * DAY) // 1000


def _lua_kinds() -> str:
    parts = []
    for kind, (delay, horizon, _, windows) in zip(KINDS, SPECIFICATION, strict=True):
        spans = ", ".join(f"{span:.0f}" for span, asked in windows if asked & COUNT)
        small = _SMALL.get(kind, _SMALL[MERCHANT])
        parts.append(f"{{delay = {delay}, horizon = {horizon}, small = {small}, spans = {{{spans}}}}}")
    return ", ".join(parts)


COMMON: Final = (
    f"""
local call, pack, unpack, floor = redis.call, struct.pack, struct.unpack, math.floor
local EXACT, BUCKETS, HOUR, DAY = {EXACT_EVENTS}, {_states.MAXIMUM_BUCKETS}, {HOUR}, {DAY}
local LIFE, BLOCK, DEAD = '{LIFE_MILLISECONDS}', 32, 1024
local HAS_BUCKETS, HAS_LABELS = {HAS_BUCKETS}, {HAS_LABELS}
local SMALL = {_SMALL[MERCHANT]}
local KINDS = {{ {_lua_kinds()} }}
"""
    + """
-- A string of records. What is small is read at once; of what is large single records are, with their neighbours: a
-- command costs more than they do, and Redis' Lua hashes every byte of every string that it makes. What was read is
-- kept for the other rows of the call; what has changed since is stale.
local VIEWS = {}

local function read(view)
  local small, head = view.small, view.head
  local data = call('GETRANGE', view.key, '0', small - 1)
  local size = #data
  view.data, view.dead, view.stale, view.oldest, view.newest = data, 0, false, false, false
  if size == small then
    size = call('STRLEN', view.key)
    if size > small then view.data, view.blocks = false, {} end
  end
  if head > 0 then
    if size > 0 then view.dead, view.has = unpack('<i4i4', data) else view.has = 0 end
  end
  view.count = floor(math.max(size - head, 0) / view.width) - view.dead
  return view
end

local function open(key, head, width, small)
  local view = VIEWS[key]
  if not view then
    -- With room for all that will stand in it.
    view = {
      key = key, head = head, width = width, small = small, data = false, blocks = false, count = 0, dead = 0, has = 0,
      stale = false, oldest = false, newest = false
    }
    VIEWS[key] = read(view)
  elseif view.stale then
    read(view)
  end
  return view
end

local function events_of(key, small) return open(key .. 'e', 8, 24, small or SMALL) end

local function buckets_of(key, small) return open(key .. 'b', 0, 48, small or SMALL) end

local NONE = {data = '', head = 0, dead = 0, width = 48, count = 0}

-- The same, unless the events say that there are none.
local function buckets_beside(key, events, small)
  if events.count > 0 and events.has % 2 == 0 then return NONE end
  return buckets_of(key, small)
end

local LABELS = {}

local function labels_of(key)
  local labels = LABELS[key]
  if not labels then
    labels = call('GET', key .. 'f') or ''
    LABELS[key] = labels
  end
  return labels
end

local function labels_beside(key, events)
  if events.count > 0 and events.has < HAS_LABELS then return '' end
  return labels_of(key)
end

-- The events say from now on that their key may have what they did not.
local function note(events, what)
  if events.count == 0 or floor(events.has / what) % 2 == 1 then return end
  events.has = events.has + what
  call('SETRANGE', events.key, 4, pack('<i4', events.has))
end

local function slice(view, from, to)
  if to <= from then return '' end
  local first = view.head + (view.dead + from) * view.width
  local last = view.head + (view.dead + to) * view.width
  if view.data then return string.sub(view.data, first + 1, last) end
  return call('GETRANGE', view.key, first, last - 1)
end

-- A string that holds record i, and the place of its first byte in it.
local function found(view, i)
  local place = view.dead + i
  if view.data then return view.data, view.head + place * view.width + 1 end
  local number = floor(place / BLOCK)
  local block = view.blocks[number]
  if not block then
    local first = view.head + number * BLOCK * view.width
    block = call('GETRANGE', view.key, first, first + BLOCK * view.width - 1)
    view.blocks[number] = block
  end
  return block, (place - number * BLOCK) * view.width + 1
end

-- Record i has changed.
local function forget(view, i)
  view.oldest, view.newest = false, false
  if view.data then view.stale = true else view.blocks[floor((view.dead + i) / BLOCK)] = nil end
end

local function time_at(view, i) return (unpack('<i8', found(view, i))) end

-- Of a view that has records, kept because they are asked for again and again.
local function oldest(view)
  local time = view.oldest
  if not time then
    time = time_at(view, 0)
    view.oldest = time
  end
  return time
end

local function newest(view)
  local time = view.newest
  if not time then
    time = time_at(view, view.count - 1)
    view.newest = time
  end
  return time
end

-- Index of the first of the first `count` records that is later. Of what is large, the place is guessed from the times
-- at both ends, in turn with a half of the rest, should these mislead; a block that was read is searched to its edges.
local function first_after(view, count, time)
  if count == 0 then return 0 end
  local after = count == view.count and newest(view) or time_at(view, count - 1)
  if after <= time then return count end
  local before = oldest(view)
  if before > time then return 0 end
  local low, high, guess = 1, count - 1, true
  while low < high do
    local middle = floor((low + high) / 2)
    if view.data or high - low < BLOCK then
      if time_at(view, middle) <= time then low = middle + 1 else high = middle end
    else
      if guess then middle = low + floor((high - low) * (time - before) / (after - before)) end
      guess = not guess
      local start = floor((view.dead + middle) / BLOCK) * BLOCK - view.dead
      local first, last = math.max(start, low), math.min(start + BLOCK, high) - 1
      local least, most = time_at(view, first), time_at(view, last)
      if least > time then high, after = first, least
      elseif most <= time then low, before = last + 1, most
      else
        low, high = first + 1, last
        before, after = least, most
      end
    end
  end
  return low
end

-- Index of an event among those of its time, nil when it is not there.
local function find_at(view, identity, time)
  local i = first_after(view, view.count, time) - 1
  while i >= 0 and time_at(view, i) == time do
    local data, at = found(view, i)
    if string.sub(data, at + 16, at + 23) == identity then return i end
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
    local data, at = found(buckets, i)
    local events, frauds, all, bad = unpack('<i4i4dd', data, at + 24)
    return all - events, bad - frauds
  end
  if i == 0 then return 0, 0 end
  local data, at = found(buckets, i - 1)
  return unpack('<dd', data, at + 32)
end

-- Welford, "Note on a method for calculating corrected sums of squares and products" (1962).
local function fold(key, events, time, amount, fraud)
  local buckets = buckets_of(key)
  note(events, HAS_BUCKETS)
  local hour = floor(time / HOUR)
  local place = bucket_place(buckets, hour)
  if place < buckets.count and floor(time_at(buckets, place) / HOUR) == hour then
    local newest, total, squares, events, frauds, all, bad = unpack('<i8ddi4i4dd', found(buckets, place))
    local before = total / events
    events, total = events + 1, total + amount
    squares = squares + (amount - before) * (amount - total / events)
    newest, frauds = math.max(newest, time), frauds + fraud
    local record = pack('<i8ddi4i4dd', newest, total, squares, events, frauds, all + 1, bad + fraud)
    local rest = place + 1 < buckets.count and raised(slice(buckets, place + 1, buckets.count), 1, fraud) or ''
    call('SETRANGE', buckets.key, place * 48, record .. rest)
    if rest == '' then forget(buckets, place) else buckets.stale = true end
    return
  end
  local count = buckets.count
  if count == BUCKETS then
    if place == count then return end
    count = count - 1
  end
  local all, bad = totals_before(buckets, place)
  local record = pack('<i8ddi4i4dd', time, amount, 0, 1, fraud, all + 1, bad + fraud)
  if place == count and count == buckets.count and count > 0 then
    call('APPEND', buckets.key, record)
    call('PEXPIRE', buckets.key, LIFE)
    buckets.count = count + 1
    forget(buckets, count)
    return
  end
  keep(buckets.key, slice(buckets, 0, place) .. record .. raised(slice(buckets, place, count), 1, fraud))
  buckets.stale = true
end
"""
)
