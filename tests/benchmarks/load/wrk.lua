-- Sends prepared requests in turn, from a file as generator.py writes it: start and speed of the clock, then for each
-- its size, budget (not used here), clock, bytes.
local ffi = require("ffi")
ffi.cdef("typedef struct { long seconds, nanoseconds; } moment; int clock_gettime(int, moment *);")
local now = ffi.new("moment")
local year, clock_size = 365 * 86400, 19
local start, speed = 0, 0
local requests, tails = {}, {}
local at = 0

local function number(text, place)
  local a, b, c, d = text:byte(place, place + 3)
  return a + 256 * (b + 256 * (c + 256 * d))
end

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  local content = file:read("*a")
  file:close()
  start, speed = number(content, 1), number(content, 5)
  local place = 9
  while place < #content do
    local size, clock = number(content, place), number(content, place + 8)
    local bytes = content:sub(place + 12, place + 11 + size)
    requests[#requests + 1] = clock == 0 and bytes or bytes:sub(1, clock)
    tails[#requests] = clock ~= 0 and bytes:sub(clock + clock_size + 1)
    place = place + 12 + size
  end
end

function request()
  at = at % #requests + 1
  local tail = tails[at]
  if not tail then
    return requests[at]
  end
  ffi.C.clock_gettime(0, now)
  local seconds = (tonumber(now.seconds) - start + tonumber(now.nanoseconds) / 1e9) * speed
  return requests[at] .. os.date("!%Y-%m-%dT%H:%M:%S", start - year + math.floor(seconds)) .. tail
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50": %.3f, "p95": %.3f, "p99": %.3f, "p999": %.3f, ' ..
    '"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
