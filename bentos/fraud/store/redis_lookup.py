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

-- Records of a view within a string, and where they begin and end in it: what is here is not copied for them.
local function within(answers, view, from, to)
  local data, first = view.data, view.head + view.dead * view.width
  if not data then
    data, first, to, from = slice(view, from, to), 0, to - from, 0
  end
  answers[#answers + 1] = pack('<i4i4i4', #data, first + from * view.width, first + math.max(from, to) * view.width)
  answers[#answers + 1] = data
end

local function counts(kind, key, events, buckets, own, identity, time, answer)
  local last = time - kind.delay
  local labels = labels_of(key)
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

local function keep_labels(key, labels)
  keep(key .. 'f', labels)
  LABELS[key] = labels
end

local function fold_excess(key, events)
  local data, place = found(events, 0)
  local time, amount = unpack('<i8d', data, place)
  local labels = labels_of(key)
  local at = find_label(labels, string.sub(data, place + 16, place + 23))
  if at then keep_labels(key, string.sub(labels, 1, at - 1) .. string.sub(labels, at + 24)) end
  fold(key, time, amount, at and 1 or 0)
end

local function drop_head(events, gone)
  local dead, count = events.dead + gone, events.count - gone
  if count == 0 then
    call('DEL', events.key)
    read(events)
  elseif dead >= DEAD or (dead >= 64 and dead >= count) then
    call('SET', events.key, pack('<i8', 0) .. slice(events, gone, events.count), 'PX', LIFE)
    read(events)
  else
    call('SETRANGE', events.key, 0, pack('<i8', dead))
    events.dead, events.count = dead, count
  end
end

local function expire(key, events, until_time)
  local buckets = buckets_of(key)
  if buckets.count > 0 and time_at(buckets, 0) <= until_time then
    keep(buckets.key, slice(buckets, first_after(buckets, buckets.count, until_time), buckets.count))
    read(buckets)
  end
  if events.count == 0 or time_at(events, 0) > until_time then return end
  drop_head(events, first_after(events, events.count, until_time))
  local labels = labels_of(key)
  if labels ~= '' then
    local kept = {}
    for at = 1, #labels, 24 do
      if unpack('<i8', labels, at + 8) > until_time then kept[#kept + 1] = string.sub(labels, at, at + 23) end
    end
    keep_labels(key, table.concat(kept))
  end
end

local function append(events, record)
  call('APPEND', events.key, record)
  events.count = events.count + 1
  if not events.data then
    forget(events, events.count - 1)
  elseif #events.data < events.small - 24 then
    events.data = events.data .. record
  else
    read(events)
  end
end

local function add(kind, key, events, buckets, time, amount, identity)
  local newest = events.count > 0 and time_at(events, events.count - 1)
  local place = first_after(events, events.count, time)
  if place == 0 and buckets.count > 0 then
    fold(key, time, amount, 0)
  else
    local record = pack('<i8d', time, amount) .. identity
    if events.count == 0 then
      call('SET', events.key, pack('<i8', 0) .. record, 'PX', LIFE)
      read(events)
    else
      if place == events.count then
        append(events, record)
      else
        local at = events.head + (events.dead + place) * 24
        call('SETRANGE', events.key, at, record .. slice(events, place, events.count))
        read(events)
      end
      if floor(time / DAY) > floor(newest / DAY) then call('PEXPIRE', events.key, LIFE) end
    end
    if events.count > EXACT then
      fold_excess(key, events)
      drop_head(events, 1)
    end
  end
  expire(key, events, math.min(math.max(newest or time, time), now + DAY) - kind.horizon)
end

local answers, latest = {}, 0
for row = 1, #KEYS / 3 do
  local packed = ARGV[row + 3]
  local time, amount = unpack('<i8d', packed)
  local identity, record = string.sub(packed, 17, 24), string.byte(packed, 25) == 1
  local states, answer, known = {}, {}, true
  local own_time = time
  for number, kind in ipairs(KINDS) do
    local key = KEYS[(row - 1) * 3 + number]
    local events, buckets = events_of(key, kind.whole), buckets_of(key, kind.whole)
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
    if kind.whole then
      local last, first = time - kind.delay, time - kind.delay - kind.spans[#kind.spans]
      local event_end, bucket_end = first_after(events, events.count, last), first_after(buckets, buckets.count, last)
      local start = first_after(events, event_end, first)
      within(answers, events, start, event_end)
      within(answers, buckets, first_after(buckets, bucket_end, first), bucket_end)
      answer[1] = pack('<d', own and own - start or -1)
    else
      counts(kind, key, events, buckets, own, identity, time, answer)
    end
  end
  answers[#answers + 1] = table.concat(answer)
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
return table.concat(answers)
"""
)
