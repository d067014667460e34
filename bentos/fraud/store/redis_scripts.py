"""What Redis does with the states by itself: the scripts of the Redis store. Each runs alone and as a whole.

A key has three strings, named by the prefix, the kind's number, the hash, and a letter:

- ``e``, exact events, oldest first: 8 bytes with the number of dead records at its head, then records of 24 bytes:
  time, amount, identity. Dead records are cut off when there are 1,024 of them, so that a busy key's 100 kB are moved
  once in a thousand transactions.
- ``b``, hourly buckets, oldest first: records of 48 bytes: time, amount, squares, events, frauds, and the running
  totals of events and frauds up to and with it, from any base: whole numbers, so that a window's counts are exact
  differences, and cost a busy key two reads instead of seven hundred.
- ``f``, labels of exact events: records of 24 bytes: identity, time of the event, time of the label.

Numbers are little-endian, times microseconds below 2⁵³, which Lua's numbers hold exactly. The rules are those of the
compiled store, ``core/features/_states_cells.c``; the contract suite and a replay over both prove them the same.
"""

from __future__ import annotations

from typing import Final

from bentos.core.features import _states
from bentos.core.features.clock import DAY, HOUR
from bentos.core.features.history import CUSTOMER, EXACT_EVENTS, KINDS
from bentos.core.features.window_statistics import COUNT, SPECIFICATION

__all__ = ["BUCKET_BYTES", "ERASE", "EVENT_BYTES", "HEAD_BYTES", "LABEL", "LABEL_BYTES", "LOOKUP", "PUT"]

HEAD_BYTES: Final = 8
EVENT_BYTES: Final = 24
BUCKET_BYTES: Final = 48
LABEL_BYTES: Final = 24
#: What windows need is this old at most; a key without an event for so long is of no use.
_LIFE_MILLISECONDS: Final = (max(kind.horizon for kind in KINDS) + 2 * DAY) // 1000


def _lua_kinds() -> str:
    parts = []
    for kind, (delay, horizon, _, windows) in zip(KINDS, SPECIFICATION, strict=True):
        spans = ", ".join(f"{span:.0f}" for span, asked in windows if asked & COUNT)
        whole = str(kind is CUSTOMER).lower()
        parts.append(f"{{delay = {delay}, horizon = {horizon}, whole = {whole}, spans = {{{spans}}}}}")
    return ", ".join(parts)


_COMMON: Final = (
    f"""
local call, pack, unpack, floor = redis.call, struct.pack, struct.unpack, math.floor
local EXACT, BUCKETS, HOUR, DAY = {EXACT_EVENTS}, {_states.MAXIMUM_BUCKETS}, {HOUR}, {DAY}
local LIFE, SMALL, DEAD = {_LIFE_MILLISECONDS}, 4096, 1024
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

LOOKUP: Final = (
    _COMMON
    + """
local now = tonumber(ARGV[1])
local PREFIX, SILENT = ARGV[2], ARGV[4] == '1'
local about = call('GET', PREFIX .. 'about')
if about ~= ARGV[3] then
  if about then return redis.error_reply('OTHER ' .. about) end
  call('SET', PREFIX .. 'about', ARGV[3])
end

local function find_anywhere(view, identity)
  local data = slice(view, 0, view.count)
  local from = 1
  while true do
    local at = string.find(data, identity, from, true)
    if not at then return nil end
    if (at - 17) % 24 == 0 then return (at - 17) / 24 end
    from = at + 1
  end
end

local function counts(kind, key, events, buckets, own, identity, time, answer)
  local last = time - kind.delay
  local labels = call('GET', key .. 'f') or ''
  local spans = kind.spans
  local widest = last - spans[#spans]
  local event_end = first_after(events, events.count, last)
  local known, folded = {}, {}
  for i = 1, #spans do known[i], folded[i] = 0, 0 end
  for at = 1, #labels, 24 do
    local event, label = unpack('<i8i8', labels, at + 8)
    if label <= time and event <= last and event > widest and string.sub(labels, at, at + 7) ~= identity then
      for i = 1, #spans do if event > last - spans[i] then known[i] = known[i] + 1 end end
    end
  end
  if buckets.count > 0 then
    local bucket_end = first_after(buckets, buckets.count, last)
    local all, bad = totals_before(buckets, bucket_end)
    for i, span in ipairs(spans) do
      local before, bad_before = totals_before(buckets, first_after(buckets, bucket_end, last - span))
      folded[i], known[i] = all - before, known[i] + bad - bad_before
    end
  end
  for i, span in ipairs(spans) do
    local start = first_after(events, event_end, last - span)
    local count = event_end - start + folded[i]
    if own and own >= start and own < event_end then count = count - 1 end
    answer[#answer + 1] = pack('<dd', count, known[i])
  end
end

local function fold_excess(key, events)
  local first = slice(events, 0, 1)
  local time, amount = unpack('<i8d', first)
  local labels = call('GET', key .. 'f')
  local at = labels and find_label(labels, string.sub(first, 17, 24))
  if at then keep(key .. 'f', string.sub(labels, 1, at - 1) .. string.sub(labels, at + 24)) end
  fold(key, time, amount, at and 1 or 0)
end

local function drop_head(events, gone)
  local dead, count = events.dead + gone, events.count - gone
  if count == 0 then
    call('DEL', events.key)
  elseif dead >= DEAD or (dead >= 64 and dead >= count) then
    call('SET', events.key, pack('<i8', 0) .. slice(events, gone, events.count), 'PX', LIFE)
    dead = 0
  else
    call('SETRANGE', events.key, 0, pack('<i8', dead))
  end
  events.data, events.dead, events.count, events.base = nil, dead, count, 8 + dead * 24
end

local function expire(key, events, until_time)
  local buckets = buckets_of(key)
  if buckets.count > 0 and time_at(buckets, 0) <= until_time then
    keep(buckets.key, slice(buckets, first_after(buckets, buckets.count, until_time), buckets.count))
  end
  if events.count == 0 or time_at(events, 0) > until_time then return end
  drop_head(events, first_after(events, events.count, until_time))
  local labels = call('GET', key .. 'f')
  if labels then
    local kept = {}
    for at = 1, #labels, 24 do
      if unpack('<i8', labels, at + 8) > until_time then kept[#kept + 1] = string.sub(labels, at, at + 23) end
    end
    keep(key .. 'f', table.concat(kept))
  end
end

local function add(kind, key, events, buckets, time, amount, identity)
  local newest = time
  if events.count > 0 then newest = math.max(newest, time_at(events, events.count - 1)) end
  local place = first_after(events, events.count, time)
  if place == 0 and buckets.count > 0 then
    fold(key, time, amount, 0)
  else
    local record = pack('<i8d', time, amount) .. identity
    if events.count == 0 then
      call('SET', events.key, pack('<i8', 0) .. record)
      events.dead, events.base = 0, 8
    elseif place == events.count then
      call('APPEND', events.key, record)
    else
      call('SETRANGE', events.key, events.base + place * 24, record .. slice(events, place, events.count))
    end
    events.count, events.data = events.count + 1, nil
    if events.count > EXACT then
      fold_excess(key, events)
      drop_head(events, 1)
    end
  end
  expire(key, events, math.min(newest, now + DAY) - kind.horizon)
  call('PEXPIRE', events.key, LIFE)
end

local answers, latest = {}, 0
for row = 1, #KEYS / 3 do
  local packed = ARGV[row + 4]
  local time, amount = unpack('<i8d', packed)
  local identity, record = string.sub(packed, 17, 24), string.byte(packed, 25) == 1
  local states, answer, known = {}, {}, true
  local own_time = time
  for number, kind in ipairs(KINDS) do
    local key = KEYS[(row - 1) * 3 + number]
    local events, buckets = events_of(key), buckets_of(key)
    local own
    if kind.whole then
      own = find_anywhere(events, identity)
      if own then own_time = time_at(events, own) end
    else
      own = find_at(events, identity, time)
      if not own and own_time ~= time then own = find_at(events, identity, own_time) end
    end
    known = known and own ~= nil
    states[number] = {key, events, buckets, own}
    if SILENT then
      -- Only recorded.
    elseif kind.whole then
      local last, first = time - kind.delay, time - kind.delay - kind.spans[#kind.spans]
      local event_end, bucket_end = first_after(events, events.count, last), first_after(buckets, buckets.count, last)
      local start = first_after(events, event_end, first)
      answers[#answers + 1] = slice(events, start, event_end)
      answers[#answers + 1] = slice(buckets, first_after(buckets, bucket_end, first), bucket_end)
      answer[1] = pack('<d', own and own - start or -1)
    else
      counts(kind, key, events, buckets, own, identity, time, answer)
    end
  end
  if not SILENT then answers[#answers + 1] = table.concat(answer) end
  if record and not known then
    for number, kind in ipairs(KINDS) do
      local key, events, buckets, own = states[number][1], states[number][2], states[number][3], states[number][4]
      if not own then add(kind, key, events, buckets, time, amount, identity) end
    end
    latest = math.max(latest, math.min(time, now + DAY))
  end
end
if latest > tonumber(call('GET', PREFIX .. 'latest') or '0') then
  call('SET', PREFIX .. 'latest', string.format('%.0f', latest))
end
return answers
"""
)

#: KEYS: of the three kinds. ARGV: identity, its event's time, the label's time, "" to take it back.
LABEL: Final = (
    _COMMON
    + """
local identity, event_time, label_time = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
for _, key in ipairs(KEYS) do
  local events = events_of(key)
  if find_at(events, identity, event_time) then
    local labels = call('GET', key .. 'f') or ''
    local at = find_label(labels, identity)
    local before = at and unpack('<i8', labels, at + 16)
    if at then labels = string.sub(labels, 1, at - 1) .. string.sub(labels, at + 24) end
    if label_time then
      labels = labels .. identity .. pack('<i8i8', event_time, math.min(label_time, before or label_time))
    end
    keep(key .. 'f', labels)
  else
    local buckets = buckets_of(key)
    local hour = floor(event_time / HOUR)
    local place = bucket_place(buckets, hour)
    if place < buckets.count and floor(time_at(buckets, place) / HOUR) == hour then
      local record = slice(buckets, place, place + 1)
      local frauds, _, bad = unpack('<i4dd', record, 29)
      local change = label_time and 1 or (frauds > 0 and -1 or 0)
      local first = string.sub(record, 1, 28) .. pack('<i4', frauds + change) .. string.sub(record, 33, 40)
      call('SETRANGE', buckets.key, place * 48,
        first .. pack('<d', bad + change) .. raised(slice(buckets, place + 1, buckets.count), 0, change))
    end
  end
end
return 1
"""
)

#: KEYS: states, each put unless it is there. ARGV: of each, its three strings.
PUT: Final = f"""
local kept = 0
for number, key in ipairs(KEYS) do
  if redis.call('EXISTS', key .. 'e', key .. 'b') == 0 then
    for place, letter in ipairs({{'e', 'b', 'f'}}) do
      local data = ARGV[(number - 1) * 3 + place]
      if data ~= '' then redis.call('SET', key .. letter, data, 'PX', {_LIFE_MILLISECONDS}) end
    end
    kept = kept + 1
  end
end
return kept
"""

#: KEYS: states to forget; returns of how many strings there was anything.
ERASE: Final = """
local gone = 0
for _, key in ipairs(KEYS) do gone = gone + redis.call('DEL', key .. 'e', key .. 'b', key .. 'f') end
return gone
"""
