/* Sends prepared requests over HTTP/1.1 or gRPC and notes when each was meant to be sent, was sent and was answered.
 *
 * Open loop: requests are due at given times whatever became of the earlier ones. One that finds every connection busy
 * waits, and its waiting counts; after a while it is given up unsent, as a client's own timeout would.
 * Closed loop: every connection sends its next request when it has the answer to its last.
 *
 * One thread, so that the server keeps the other cores. Arguments are read by generator.py only, which knows the formats.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Statuses beside HTTP's; a gRPC call that was answered counts as 200. */
enum { PENDING = 0, NOT_SENT = -1, NO_ANSWER = -2, CONNECTION_LOST = -3, REFUSED = -4 };
enum { DATA = 0, HEADERS = 1, RST_STREAM = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW_UPDATE = 8 };
enum { INPUT = 64 * 1024, MOST_STREAMS = 64, EVENTS = 256, BUDGET_DIGITS = 6, FRAME_HEAD = 9 };
enum { CLOCK_SIZE = 19, YEAR = 365 * 86400, FILE_HEAD = 8, REQUEST_HEAD = 12 };
enum { DEAD, CONNECTING, READY };

static const int64_t MILLISECOND = 1000000, RETRY = 10000000, HALF_WINDOW = 1 << 30;

struct record { int64_t due, sent, done; int32_t status; uint32_t request; };
/* budget: where the six digits are that say how many milliseconds are left, clock: where a transaction's day and time
 * begin; 0 when nowhere. See generator.py. */
struct request { uint8_t *bytes; uint32_t size, budget, clock; };
struct slot { int64_t record; uint32_t stream; int answered; };
struct connection {
  int fd, state, dirty, watching, status, ending, leaving;
  int64_t retry, body; /* body: bytes of an HTTP body still to come, -1 while a head is expected */
  uint32_t next_stream;
  int64_t window, consumed;
  uint64_t parked; /* slots that wait for the server to take more */
  size_t in_size, out_start, out_size, out_room;
  uint8_t *in, *out;
  struct slot slots[MOST_STREAMS];
};

static int grpc, connections, streams = 1;
static struct sockaddr_in server = {.sin_family = AF_INET};
static volatile sig_atomic_t stopped;
static int64_t deadline, patience, grace, closed_for;
static uint32_t clock_start, clock_speed;
static struct request *requests;
static uint32_t request_count;
static struct record *records;
static int64_t record_count, record_room;
static struct connection *all;
static uint32_t *ring; /* free slots, first in first out, so that no connection idles until the server drops it */
static size_t ring_head, ring_size, ring_room;
static int poller, dead_count, connected;
static int64_t flying, reconnected;
static struct connection **dirty;
static int dirty_count;

static void die(const char *what) {
  fprintf(stderr, "generator: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
  exit(1);
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void *some(size_t count, size_t size) {
  void *memory = calloc(count ? count : 1, size);
  if (!memory) die("no memory");
  return memory;
}

static uint32_t big24(const uint8_t *p) { return p[0] << 16 | p[1] << 8 | p[2]; }
static uint32_t big32(const uint8_t *p) { return (uint32_t)p[0] << 24 | big24(p + 1); }
static void put32(uint8_t *p, uint32_t v) { p[0] = v >> 24; p[1] = v >> 16; p[2] = v >> 8; p[3] = v; }

/* ---- slots ---- */

static void release(struct connection *c, int slot) {
  ring[(ring_head + ring_size++) % ring_room] = (uint32_t)(c - all) * streams + slot;
}

static void finish(struct connection *c, int slot, int status, int64_t when) {
  struct record *r = &records[c->slots[slot].record];
  r->status = status;
  r->done = when;
  c->slots[slot].record = -1;
  c->slots[slot].stream = 0;
  flying--;
  if (c->state == READY && !c->leaving) release(c, slot);
}

/* The connection's free slots take no more requests. */
static void withdraw(struct connection *c) {
  size_t kept = 0;
  for (size_t i = 0; i < ring_size; i++) {
    uint32_t entry = ring[(ring_head + i) % ring_room];
    if (&all[entry / streams] != c) ring[(ring_head + kept++) % ring_room] = entry;
  }
  ring_size = kept;
  c->parked = 0;
}

static int is_busy(const struct connection *c) {
  for (int slot = 0; slot < streams; slot++)
    if (c->slots[slot].record >= 0) return 1;
  return 0;
}

/* ---- connections ---- */

static uint8_t *room(struct connection *c, size_t size) {
  if (c->out_start == c->out_size) c->out_start = c->out_size = 0;
  if (c->out_size + size > c->out_room) {
    c->out_room = 2 * (c->out_size + size);
    if (!(c->out = realloc(c->out, c->out_room))) die("no memory");
  }
  if (!c->dirty) { c->dirty = 1; dirty[dirty_count++] = c; }
  c->out_size += size;
  return c->out + c->out_size - size;
}

static void watch(struct connection *c, int events) {
  struct epoll_event event = {.events = events, .data.ptr = c};
  if (c->watching == events) return;
  if (epoll_ctl(poller, c->watching ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event)) die("epoll_ctl");
  c->watching = events;
}

static void frame(struct connection *c, int type, int flags, const void *payload, uint32_t size) {
  uint8_t *p = room(c, FRAME_HEAD + size);
  p[0] = 0; p[1] = size >> 8; p[2] = size; p[3] = type; p[4] = flags;
  put32(p + 5, 0);
  memcpy(p + FRAME_HEAD, payload, size);
}

static void widen(struct connection *c, uint32_t more) {
  uint8_t increment[4];
  put32(increment, more);
  frame(c, WINDOW_UPDATE, 0, increment, 4);
}

static void begin(struct connection *c) {
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) die("socket");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  c->in_size = c->out_start = c->out_size = 0;
  c->watching = c->ending = c->leaving = 0;
  c->body = -1;
  c->state = CONNECTING;
  dead_count--;
  if (connect(c->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) die("connect");
  watch(c, EPOLLIN | EPOLLOUT);
}

static void lose(struct connection *c) {
  int64_t when = now_ns();
  close(c->fd);
  if (c->state == READY) withdraw(c);
  c->state = DEAD;
  dead_count++;
  c->retry = when + RETRY;
  for (int slot = 0; slot < streams; slot++)
    if (c->slots[slot].record >= 0) finish(c, slot, CONNECTION_LOST, when);
}

static void opened(struct connection *c) {
  static const uint8_t settings[] = {0, 2, 0, 0, 0, 0, /* no pushes */ 0, 4, 0x7f, 0xff, 0xff, 0xff /* wide streams */};
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) {
    if (!connected) { errno = error; die("the server does not take the connections"); }
    lose(c);
    return;
  }
  c->state = READY;
  watch(c, EPOLLIN);
  if (grpc) {
    memcpy(room(c, 24), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    frame(c, SETTINGS, 0, settings, sizeof settings);
    widen(c, HALF_WINDOW);
    c->next_stream = 1;
    c->window = 65535;
    c->consumed = 0;
  }
  for (int slot = 0; slot < streams; slot++) release(c, slot);
}

static void flush(struct connection *c) {
  while (c->state == READY && c->out_start < c->out_size) {
    ssize_t size = write(c->fd, c->out + c->out_start, c->out_size - c->out_start);
    if (size < 0 && errno == EAGAIN) { watch(c, EPOLLIN | EPOLLOUT); return; }
    if (size < 0) { lose(c); return; }
    c->out_start += size;
  }
  if (c->state == READY) watch(c, EPOLLIN);
}

/* ---- sending ---- */

/* A slot that can send the request; 0 when there is none. */
static int take(const struct request *r, struct connection **c, int *slot) {
  while (ring_size) {
    uint32_t entry = ring[ring_head];
    ring_head = (ring_head + 1) % ring_room;
    ring_size--;
    *c = &all[entry / streams];
    *slot = entry % streams;
    if (!grpc || (*c)->window >= r->size) return 1;
    (*c)->parked |= 1ULL << *slot;
  }
  return 0;
}

/* Day and time of a clock that began a year before it was started, and goes faster than it should. */
static void write_clock(uint8_t *place) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  double seconds = (now.tv_sec - (double)clock_start + now.tv_nsec / 1e9) * clock_speed;
  time_t shown = clock_start - YEAR + (time_t)seconds;
  struct tm parts;
  char text[CLOCK_SIZE + 1];
  if (!gmtime_r(&shown, &parts) || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts) != CLOCK_SIZE) die("the clock");
  memcpy(place, text, CLOCK_SIZE);
}

static int send_request(int64_t index) {
  struct record *record = &records[index];
  const struct request *r = &requests[record->request];
  struct connection *c;
  int slot;
  if (!take(r, &c, &slot)) return 0;
  uint8_t *p = room(c, r->size);
  memcpy(p, r->bytes, r->size);
  record->sent = now_ns();
  if (!record->due) record->due = record->sent;
  if (r->budget) {
    int64_t left = (record->due + deadline - record->sent) / MILLISECOND;
    char digits[BUDGET_DIGITS + 1];
    snprintf(digits, sizeof digits, "%06d", left < 1 ? 1 : left > 600000 ? 600000 : (int)left);
    memcpy(p + r->budget, digits, BUDGET_DIGITS);
  }
  if (r->clock) write_clock(p + r->clock);
  c->slots[slot] = (struct slot){.record = index};
  if (grpc) { /* a HEADERS frame and a DATA frame */
    uint32_t headers = FRAME_HEAD + big24(p);
    put32(p + 5, c->next_stream);
    put32(p + headers + 5, c->next_stream);
    c->slots[slot].stream = c->next_stream;
    c->next_stream += 2;
    c->window -= big24(p + headers);
  }
  flying++;
  return 1;
}

static int64_t add_record(void) {
  if (record_count == record_room) {
    record_room = record_room ? 2 * record_room : 1 << 16;
    if (!(records = realloc(records, record_room * sizeof *records))) die("no memory");
  }
  records[record_count] = (struct record){.request = record_count % request_count};
  return record_count++;
}

/* ---- answers ---- */

/* Reads a head; -1 while it is incomplete, else its size. */
static ssize_t read_head(struct connection *c, const uint8_t *p, size_t size) {
  const char *end = memmem(p, size, "\r\n\r\n", 4), *line = (const char *)p;
  if (!end) return -1;
  c->status = size > 12 ? atoi(line + 9) : 0;
  c->body = -1;
  while ((line = memchr(line, '\n', end - line))) {
    line++;
    if (!strncasecmp(line, "content-length:", 15)) c->body = atoll(line + 15);
    if (!strncasecmp(line, "connection: close", 17)) c->ending = 1;
  }
  if (c->body < 0) die("an answer without content-length is not understood");
  return end + 4 - (const char *)p;
}

static size_t read_http(struct connection *c, int64_t when) {
  size_t used = 0;
  while (used < c->in_size) {
    if (c->body < 0) {
      ssize_t head = read_head(c, c->in + used, c->in_size - used);
      if (head < 0) break;
      used += head;
    }
    size_t part = c->in_size - used < (size_t)c->body ? c->in_size - used : (size_t)c->body;
    used += part;
    c->body -= part;
    if (c->body > 0) break;
    c->body = -1;
    if (c->slots[0].record < 0) { c->ending = 1; break; } /* nobody asked: the server says goodbye */
    finish(c, 0, c->status, when);
  }
  return used;
}

static int slot_of(struct connection *c, uint32_t stream) {
  for (int slot = 0; slot < streams; slot++)
    if (stream && c->slots[slot].stream == stream) return slot;
  return -1;
}

static void read_settings(struct connection *c, const uint8_t *p, uint32_t size) {
  for (uint32_t i = 0; i + 6 <= size; i += 6) {
    uint32_t id = p[i] << 8 | p[i + 1], value = big32(p + i + 2);
    if (id == 3 && value < (uint32_t)streams) die("the server allows fewer streams on a connection");
    if (id == 4 && value < 65535) die("the server's windows are smaller than HTTP/2's default");
  }
  frame(c, SETTINGS, 1, "", 0);
}

/* The server serves what it has got, up to a stream; all else is for another connection. */
static void leave(struct connection *c, uint32_t last, int64_t when) {
  c->leaving = 1;
  withdraw(c);
  for (int slot = 0; slot < streams; slot++)
    if (c->slots[slot].record >= 0 && c->slots[slot].stream > last) finish(c, slot, REFUSED, when);
}

static void read_frame(struct connection *c, const uint8_t *p, int64_t when) {
  uint32_t size = big24(p), stream = big32(p + 5) & 0x7fffffff;
  int type = p[3], flags = p[4], slot = slot_of(c, stream);
  const uint8_t *payload = p + FRAME_HEAD;
  if (type == DATA) {
    c->consumed += size;
    if (c->consumed >= HALF_WINDOW / 2) { widen(c, c->consumed); c->consumed = 0; }
    if (slot >= 0 && size) c->slots[slot].answered = 1;
    if (slot >= 0 && flags & 1) finish(c, slot, REFUSED, when); /* no trailers, so no status */
  } else if (type == HEADERS && flags & 1 && slot >= 0) {
    finish(c, slot, c->slots[slot].answered ? 200 : REFUSED, when);
  } else if (type == RST_STREAM && slot >= 0) {
    finish(c, slot, REFUSED, when);
  } else if (type == SETTINGS && !(flags & 1)) {
    read_settings(c, payload, size);
  } else if (type == PING && !(flags & 1) && size == 8) {
    frame(c, PING, 1, payload, 8);
  } else if (type == GOAWAY && size >= 8) {
    leave(c, big32(payload) & 0x7fffffff, when);
  } else if (type == WINDOW_UPDATE && !stream && size == 4) {
    c->window += big32(payload);
    for (slot = 0; slot < streams; slot++)
      if (c->parked & 1ULL << slot) release(c, slot);
    c->parked = 0;
  }
}

static size_t read_grpc(struct connection *c, int64_t when) {
  size_t used = 0;
  while (c->in_size - used >= FRAME_HEAD) {
    size_t size = FRAME_HEAD + big24(c->in + used);
    if (size > INPUT) { c->ending = 1; break; }
    if (c->in_size - used < size) break;
    read_frame(c, c->in + used, when);
    used += size;
  }
  return used;
}

static void receive(struct connection *c) {
  ssize_t size = read(c->fd, c->in + c->in_size, INPUT - c->in_size);
  int64_t when = now_ns();
  if (size < 0 && errno == EAGAIN) return;
  if (size <= 0) { lose(c); return; }
  c->in_size += size;
  size_t used = grpc ? read_grpc(c, when) : read_http(c, when);
  memmove(c->in, c->in + used, c->in_size - used);
  c->in_size -= used;
  if (c->ending || c->in_size == INPUT || (c->leaving && !is_busy(c))) lose(c);
}

/* ---- the run ---- */

static void wait_until(int64_t when) {
  struct epoll_event events[EVENTS];
  int64_t left = when - now_ns();
  if (left < 0) left = 0;
  struct timespec span = {left / 1000000000, left % 1000000000};
  errno = 0;
  int count = epoll_pwait2(poller, events, EVENTS, &span, NULL);
  if (count < 0 && errno != EINTR) die("epoll_pwait2");
  for (int i = 0; i < count; i++) {
    struct connection *c = events[i].data.ptr;
    if (c->state == CONNECTING) opened(c);
    else if (c->state == READY && events[i].events & EPOLLOUT) flush(c);
    if (c->state == READY && events[i].events & ~EPOLLOUT) receive(c);
  }
}

static void upkeep(void) {
  for (int i = 0; dead_count && i < connections; i++)
    if (all[i].state == DEAD && all[i].retry <= now_ns()) { begin(&all[i]); reconnected++; }
  for (int i = 0; i < dirty_count; i++) {
    dirty[i]->dirty = 0;
    flush(dirty[i]);
  }
  dirty_count = 0;
}

static void connect_all(void) {
  int64_t limit = now_ns() + 10000 * MILLISECOND;
  while (ring_size < (size_t)connections * streams) {
    if (now_ns() > limit) { errno = 0; die("the server does not take the connections"); }
    upkeep();
    wait_until(now_ns() + RETRY);
  }
  upkeep();
  reconnected = 0;
  connected = 1;
}

static int64_t soonest(int64_t a, int64_t b) { return a < b ? a : b; }

static void stop(int number) {
  (void)number;
  stopped = 1;
}

static void run_open(int64_t start, int64_t total) {
  int64_t head = 0, ripe = 0; /* from head on unsent, below ripe due */
  for (int64_t i = 0; i < total; i++) records[i].due += start;
  int64_t end = records[total - 1].due + patience + grace;
  while (head < total || flying) {
    int64_t now = now_ns();
    while (ripe < total && records[ripe].due <= now) ripe++;
    if (stopped && ripe < total) { /* what was not due yet never will be */
      total = record_count = ripe;
      end = now + patience + grace;
      continue;
    }
    while (head < ripe) {
      if (now - records[head].due > patience) records[head++].status = NOT_SENT;
      else if (send_request(head)) head++;
      else break;
    }
    upkeep();
    if (head == total && now > end) break;
    /* With every connection busy there is only giving up to do, which need not be done one by one. */
    int64_t next = head == total ? end + 1 : ring_size ? records[ripe].due : records[head].due + patience + MILLISECOND;
    wait_until(dead_count ? soonest(next, now + RETRY) : next);
  }
}

static void run_closed(int64_t start) {
  int64_t end = start + closed_for, now;
  while ((now = now_ns()) < end || (flying && now < end + grace)) {
    while (now < end && ring_size) {
      int64_t index = add_record();
      if (!send_request(index)) { record_count--; break; }
    }
    upkeep();
    wait_until(dead_count ? now + RETRY : now < end ? end : end + grace);
  }
}

static void *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END)) die(path);
  *size = ftell(file);
  rewind(file);
  void *content = some(*size, 1);
  if (fread(content, 1, *size, file) != *size) die(path);
  fclose(file);
  return content;
}

static void read_requests(const char *path) {
  size_t size, at = FILE_HEAD;
  uint8_t *content = read_file(path, &size);
  if (size < FILE_HEAD) die("the file of requests has no head");
  memcpy(&clock_start, content, 4);
  memcpy(&clock_speed, content + 4, 4);
  requests = some(size / REQUEST_HEAD + 1, sizeof *requests);
  while (at + REQUEST_HEAD <= size) {
    struct request *r = &requests[request_count++];
    memcpy(&r->size, content + at, 4);
    memcpy(&r->budget, content + at + 4, 4);
    memcpy(&r->clock, content + at + 8, 4);
    r->bytes = content + at + REQUEST_HEAD;
    at += REQUEST_HEAD + r->size;
  }
  if (!request_count) die("there are no requests");
}

/* generator http|grpc address port connections streams requests arrivals|- seconds deadline_ms patience_ms grace_ms output */
int main(int count, char **given) {
  if (count != 13) die("started by hand; use generator.py");
  grpc = !strcmp(given[1], "grpc");
  if (inet_pton(AF_INET, given[2], &server.sin_addr) != 1) die("the address is not one of IPv4");
  server.sin_port = htons(atoi(given[3]));
  connections = atoi(given[4]);
  streams = atoi(given[5]);
  read_requests(given[6]);
  closed_for = atof(given[8]) * 1000 * MILLISECOND;
  deadline = atoll(given[9]) * MILLISECOND;
  patience = atoll(given[10]) * MILLISECOND;
  grace = atoll(given[11]) * MILLISECOND;
  if (streams < 1 || streams > (grpc ? MOST_STREAMS : 1)) die("this number of streams does not go");
  prctl(PR_SET_TIMERSLACK, 1);
  signal(SIGTERM, stop);
  poller = epoll_create1(0);
  ring_room = (size_t)connections * streams;
  ring = some(ring_room, sizeof *ring);
  dirty = some(connections, sizeof *dirty);
  all = some(connections, sizeof *all);
  dead_count = connections;
  for (int i = 0; i < connections; i++) {
    all[i].in = some(INPUT, 1);
    for (int slot = 0; slot < streams; slot++) all[i].slots[slot].record = -1;
  }
  connect_all();
  int64_t start = now_ns() + MILLISECOND;
  if (strcmp(given[7], "-")) {
    size_t size;
    int64_t *due = read_file(given[7], &size);
    for (size_t i = 0; i < size / 8; i++) {
      int64_t index = add_record();
      records[index].due = due[i];
    }
    if (record_count) run_open(start, record_count);
  } else run_closed(start);
  int64_t end = now_ns();
  for (int64_t i = 0; i < record_count; i++)
    if (records[i].status == PENDING) records[i].status = records[i].sent ? NO_ANSWER : NOT_SENT;
  FILE *output = fopen(given[12], "wb");
  if (!output || fwrite(records, sizeof *records, record_count, output) != (size_t)record_count || fclose(output)) die(given[12]);
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  printf("{\"start\": %lld, \"end\": %lld, \"cpu_seconds\": %.3f, \"reconnected\": %lld}\n", (long long)start, (long long)end,
         used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6, (long long)reconnected);
  return 0;
}
