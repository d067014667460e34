"""What Redis does with states by itself, beside lookups. Each script runs alone and as a whole."""

from __future__ import annotations

from typing import Final

from bentos.fraud.store.redis_layout import COMMON, LIFE_MILLISECONDS

__all__ = ["ERASE", "LABEL", "PUT"]

#: KEYS: of the three kinds, and what was told last. ARGV: identity, its event's time, the label's time, "" to take it
#: back; of a delivery also its source and serial. That it was told stands there before anything is changed: should the
#: rest fail, as on a key that somebody else wrote, it is not told again and again, counting in some keys each time.
LABEL: Final = (
    COMMON
    + """
local identity, event_time, label_time = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local source, serial = ARGV[4], ARGV[5]
if source then
  local told = call('GET', KEYS[4]) or ''
  local last = string.sub(told, 1, #source) == source and tonumber(string.sub(told, #source + 1))
  if last and last >= tonumber(serial) then return 0 end
  call('SET', KEYS[4], source .. serial)
end
for number = 1, #KINDS do
  local key = KEYS[number]
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
    if labels ~= '' then note(events, HAS_LABELS) end
  else
    local buckets = buckets_beside(key, events)
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
      if data ~= '' then redis.call('SET', key .. letter, data, 'PX', {LIFE_MILLISECONDS}) end
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
