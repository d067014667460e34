-- Sends prepared requests in turn, from a file as generator.py writes it: size, budget (not used here), bytes.
local requests = {}
local at = 0

local function number(text, place)
  local a, b, c, d = text:byte(place, place + 3)
  return a + 256 * (b + 256 * (c + 256 * d))
end

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  local content = file:read("*a")
  file:close()
  local place = 1
  while place < #content do
    local size = number(content, place)
    requests[#requests + 1] = content:sub(place + 8, place + 7 + size)
    place = place + 8 + size
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
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
