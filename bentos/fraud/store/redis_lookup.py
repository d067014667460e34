"""The script that reads what transactions need and records them, in one step."""

from __future__ import annotations

from typing import Final

from bentos.fraud.store.redis_layout import COMMON

__all__ = ["LOOKUP"]

LOOKUP: Final = (
    COMMON
    + """
local now = tonumber(ARGV[1])
local PREFIX = ARGV[2]
local about = call('GET', PREFIX .. 'about')
if about ~= ARGV[3] then
  if about then return redis.error_reply('OTHER ' .. about) end
  call('SET', PREFIX .. 'about', ARGV[3])
end

local function find_anywhere(view, identity)
  local data, first = view.data, view.head + view.dead * 24
  if not data then data, first = slice(view, 0, view.count), 0 end
  local from = first + 1
  while true do
    local at = string.find(data, identity, from, true)
    if not at then return nil end
    if (at - first - 17) % 24 == 0 then return (at - first - 17) / 24 end
    from = at + 1
  end
end

-- What a customer's windows may need of a view: what is here goes as it is and is searched where it arrives, of what is
-- large the part between two times, and two before it, of which one is the previous event. Bytes that hold records,
-- where the first of these begins, how many there are, and how many of the view lie before them.
local function part(view, after, until_time)
  if view.data then return view.data, view.head + view.dead * view.width, view.count, 0 end
  local to = first_after(view, view.count, until_time)
  local from = math.max(first_after(view, to, after) - 2, 0)
  return slice(view, from, to), 0, to - from, from
end

local function counts(kind, key, events, buckets, own, identity, time)
  local last = time - kind.delay
  local labels = labels_beside(key, events)
  if labels == '' and buckets.count == 0 and (events.count == 0 or oldest(events) > last) then return kind.none end
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
  local answer = {}
  for i, span in ipairs(spans) do
    local start = first_after(events, event_end, last - span)
    local count = event_end - start + folded[i]
    if own and own >= start and own < event_end then count = count - 1 end
    answer[i] = pack('<dd', count, known[i])
  end
  return table.concat(answer)
end

for _, kind in ipairs(KINDS) do kind.none = string.rep(pack('<dd', 0, 0), #kind.spans) end

local function keep_labels(key, labels)
  keep(key .. 'f', labels)
  LABELS[key] = labels
end

local function fold_excess(key, events)
  local data, place = found(events, 0)
  local time, amount = unpack('<i8d', data, place)
  local labels = labels_beside(key, events)
  local at = labels ~= '' and find_label(labels, string.sub(data, place + 16, place + 23))
  if at then keep_labels(key, string.sub(labels, 1, at - 1) .. string.sub(labels, at + 24)) end
  fold(key, events, time, amount, at and 1 or 0)
end

local function drop_head(events, gone)
  local dead, count = events.dead + gone, events.count - gone
  if count == 0 then
    call('DEL', events.key)
    read(events)
  elseif dead >= DEAD or (dead >= 64 and dead >= count) then
    call('SET', events.key, pack('<i4i4', 0, events.has) .. slice(events, gone, events.count), 'PX', LIFE)
    read(events)
  else
    call('SETRANGE', events.key, 0, pack('<i4', dead))
    events.dead, events.count, events.oldest = dead, count, false
  end
end

local function expire(key, events, until_time)
  local buckets = buckets_beside(key, events)
  if buckets.count > 0 and oldest(buckets) <= until_time then
    keep(buckets.key, slice(buckets, first_after(buckets, buckets.count, until_time), buckets.count))
    read(buckets)
  end
  if events.count == 0 or oldest(events) > until_time then return end
  local labels = labels_beside(key, events)
  drop_head(events, first_after(events, events.count, until_time))
  if labels ~= '' then
    local kept = {}
    for at = 1, #labels, 24 do
      if unpack('<i8', labels, at + 8) > until_time then kept[#kept + 1] = string.sub(labels, at, at + 23) end
    end
    keep_labels(key, table.concat(kept))
  end
end

-- Which other strings are there stands at the head of the first event.
local function begin(key, events, buckets, record)
  local has = (buckets.count > 0 and HAS_BUCKETS or 0) + (labels_of(key) ~= '' and HAS_LABELS or 0)
  call('SET', events.key, pack('<i4i4', 0, has) .. record, 'PX', LIFE)
  read(events)
end

local function insert(events, place, record)
  call('SETRANGE', events.key, events.head + (events.dead + place) * 24, record .. slice(events, place, events.count))
  read(events)
end

local function append(events, record, time)
  call('APPEND', events.key, record)
  local place = events.dead + events.count
  events.count, events.newest = events.count + 1, time
  if events.data then
    events.stale = true
  else
    local number = floor(place / BLOCK)
    local block = events.blocks[number]
    if block then
      events.blocks[number] = #block == (place - number * BLOCK) * 24 and block .. record or nil
    end
  end
end

-- A key's state with an event more, at its own time, after those of equal time; the oldest ones beyond what is kept
-- exactly are folded, and what no window needs any more goes.
local function add(kind, key, events, buckets, time, amount, record)
  local count = events.count
  local last = count > 0 and newest(events)
  local until_time = math.min(math.max(last or time, time), now + DAY) - kind.horizon
  local place = (not last or last <= time) and count or first_after(events, count, time)
  -- Hours can outlive the events by a day; what is newer than they are is kept exactly again.
  if place == 0 and buckets.count > 0 and (last or time <= newest(buckets)) then
    fold(key, events, time, amount, 0)
    expire(key, events, until_time)
  elseif count == 0 then
    begin(key, events, buckets, record)
    expire(key, events, until_time)
  else
    local expires = oldest(events) <= until_time or buckets.count > 0
    if place == count then append(events, record, time) else insert(events, place, record) end
    -- Behind an event of the future no day begins any more.
    if last > now or floor(time / DAY) > floor(last / DAY) then call('PEXPIRE', events.key, LIFE) end
    if events.count > EXACT then
      fold_excess(key, events)
      drop_head(events, 1)
    end
    if expires or place == 0 then
      if events.stale then read(events) end
      expire(key, events, until_time)
    end
  end
end

local ROW = 73
local rows = ARGV[4]
local answers, latest = {}, 0
local CUSTOMER, names = KINDS[1], {PREFIX .. '0:', PREFIX .. '1:', PREFIX .. '2:'}
for at = 1, #rows, ROW do
  local customer, merchant, category, time, amount, identity, recorded = unpack('<c16c16c16i8dc8B', rows, at)
  customer = names[1] .. customer
  local events = events_of(customer, CUSTOMER.small)
  local buckets = buckets_beside(customer, events, CUSTOMER.small)
  local own, own_time = find_anywhere(events, identity), time
  if own then own_time = time_at(events, own) end
  local last = time - CUSTOMER.delay
  local first = last - CUSTOMER.spans[#CUSTOMER.spans]
  local exact, exact_at, exact_count, skipped = part(events, first, last)
  local folded, folded_at, folded_count = part(buckets, first, last)
  local size = #answers
  answers[size + 1] = pack(
    '<i4i4i4i4i4i4i4', #exact, exact_at, exact_count, #folded, folded_at, folded_count, own and own - skipped or -1
  )
  answers[size + 2], answers[size + 3] = exact, folded
  local record = recorded == 1 and string.sub(rows, at + 48, at + 71)
  local others, known = {merchant, category}, own
  for number = 2, 3 do
    local kind, key = KINDS[number], names[number] .. others[number - 1]
    local there = events_of(key, kind.small)
    local hours = buckets_beside(key, there, kind.small)
    local place = find_at(there, identity, time)
    if not place and own_time ~= time then place = find_at(there, identity, own_time) end
    answers[size + 2 + number] = counts(kind, key, there, hours, place, identity, time)
    known = known and place
    if record and not place then add(kind, key, there, hours, time, amount, record) end
  end
  if record and not own then add(CUSTOMER, customer, events, buckets, time, amount, record) end
  if record and not known then latest = math.max(latest, math.min(time, now + DAY)) end
end
if latest > tonumber(call('GET', PREFIX .. 'latest') or '0') then
  call('SET', PREFIX .. 'latest', string.format('%.0f', latest))
end
return table.concat(answers)
"""
)
