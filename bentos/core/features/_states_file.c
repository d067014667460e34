/* The file: header, lock, undo journal, growth. */
#define _GNU_SOURCE
#include "_states.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const uint64_t store_magic = UINT64_C(0x3173657461747362); /* "bstates1" */

enum { SPINS = 200 };
#define SMALLEST_GROWTH (UINT64_C(1) << 20)
#define LARGEST_GROWTH (UINT64_C(1) << 24) /* memory takes 1 ms for so much, which the lock's holder waits for */
#define IMPATIENCE INT64_C(1000000)

typedef struct {
    uint64_t offset, bytes;
} Record; /* followed by the old bytes, padded to 8 */

enum { MAXIMUM_RECORDS = JOURNAL_BYTES / (sizeof(Record) + 8) };

static uint8_t *journal_of(const Store *store) { return store->base + HEADER_BYTES; }

/* ---- mapping ------------------------------------------------------------------------------------ */

Outcome store_map(Store *store, uint64_t capacity)
{
    /* The whole capacity at once: addresses never move, and growing is a matter of the file alone. */
    void *base = mmap(NULL, capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, store->fd, 0);
    if (base == MAP_FAILED) return NO_SPACE;
    madvise(base, capacity, MADV_DONTDUMP);
    store->base = base;
    store->mapped = capacity;
    return DONE;
}

void store_unmap(Store *store)
{
    if (store->base != NULL) munmap(store->base, store->mapped);
    store->base = NULL;
    store->mapped = 0;
    changes_unmap(store);
}

static int make_lock(Header *header)
{
    pthread_mutexattr_t attributes;
    int wrong = pthread_mutexattr_init(&attributes);
    if (wrong == 0) wrong = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (wrong == 0) wrong = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    memset(&header->lock, 0, sizeof header->lock);
    if (wrong == 0) wrong = pthread_mutex_init(&header->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return wrong;
}

int store_allocate(int fd, uint64_t from, uint64_t to)
{
    int wrong;
    do {
        wrong = posix_fallocate(fd, (off_t)from, (off_t)(to - from));
    } while (wrong == EINTR);
    return wrong;
}

/* Make an empty file a store; nobody else may have it open. Sets errno when it fails. */
Outcome store_create(Store *store, uint64_t capacity, const uint8_t *schema, const uint8_t *fingerprint,
                     const uint8_t *boot)
{
    /* Memory beyond the disk's room kills who touches it: allocate first. */
    if (ftruncate(store->fd, 0) != 0 || (errno = store_allocate(store->fd, 0, SMALLEST_GROWTH)) != 0) return NO_SPACE;
    Outcome outcome = store_map(store, capacity);
    if (outcome != DONE) return outcome;
    Header *header = header_of(store);
    header->version = FORMAT_VERSION;
    header->header_bytes = sizeof *header;
    header->capacity = capacity;
    header->size = SMALLEST_GROWTH;
    header->top = HEAP_START;
    memcpy(header->schema, schema, sizeof header->schema);
    memcpy(header->fingerprint, fingerprint, sizeof header->fingerprint);
    memcpy(header->boot, boot, sizeof header->boot);
    if (getrandom(header->salt, sizeof header->salt, 0) != (ssize_t)sizeof header->salt) return NO_SPACE;
    if (getrandom(header->identity, IDENTITY_BYTES, 0) != IDENTITY_BYTES) return NO_SPACE;
    header->in_memory = store->changes_fd >= 0;
    if ((errno = make_lock(header)) != 0) return NO_SPACE;
    if (store->changes_fd >= 0) outcome = changes_open(store, 0);
    if (outcome == DONE) outcome = table_create(store);
    if (outcome == DONE) outcome = store_commit(store);
    if (outcome != DONE) return outcome;
    /* A power cut finds either no store or one whose fixed part is whole. */
    if (msync(store->base, HEADER_BYTES, MS_SYNC) != 0) return NO_SPACE;
    IN_ORDER();
    header->magic = store_magic;
    return msync(store->base, HEADER_BYTES, MS_SYNC) == 0 && fsync(store->fd) == 0 ? DONE : NO_SPACE;
}

/* Undo what was not committed; the lock is held, or nobody else has the file open. */
Outcome store_roll_back(Store *store)
{
    Header *header = header_of(store);
    const uint64_t used = header->journal_used;
    uint32_t starts[MAXIMUM_RECORDS]; /* the newest is undone first */
    int count = 0;
    if (used > JOURNAL_BYTES) return DAMAGED;
    for (uint64_t at = 0; at < used;) {
        Record record;
        if (count == MAXIMUM_RECORDS || used - at < sizeof record) return DAMAGED;
        memcpy(&record, journal_of(store) + at, sizeof record);
        if (record.bytes > used - at - sizeof record || record.offset > header->size ||
            record.bytes > header->size - record.offset)
            return DAMAGED;
        starts[count++] = (uint32_t)at;
        at += sizeof record + (record.bytes + 7) / 8 * 8;
    }
    while (count > 0) {
        Record record;
        const uint8_t *from = journal_of(store) + starts[--count];
        memcpy(&record, from, sizeof record);
        memcpy(store->base + record.offset, from + sizeof record, record.bytes);
    }
    IN_ORDER();
    header->journal_used = 0;
    if (used > 0) header->rolled_back++;
    return DONE;
}

static int bounded(const Header *header, uint64_t size)
{
    return header->size <= size && header->top >= HEAP_START && header->top <= header->size && !header->damaged;
}

/* Take over a file that nobody else has open: its last owner may have been killed. */
Outcome store_recover(Store *store, const uint8_t *boot)
{
    Header *header = header_of(store);
    struct stat about;
    if (fstat(store->fd, &about) != 0) return NO_SPACE;
    const uint64_t size = (uint64_t)about.st_size;
    if (size < HEAP_START || !bounded(header, size)) return DAMAGED;
    if (memcmp(header->boot, boot, sizeof header->boot) != 0) return DAMAGED; /* the machine may have failed */
    if ((errno = make_lock(header)) != 0) return NO_SPACE;
    header->capacity = store->mapped;
    if (store->changes_fd >= 0) {
        const Outcome opened = changes_open(store, 0);
        if (opened != DONE) return opened;
    } else if ((errno = store_allocate(store->fd, 0, header->size)) != 0) {
        return NO_SPACE; /* a copy has holes */
    } else if (header->in_memory) {
        /* From now on what lies in memory is the older one. */
        header->in_memory = 0;
        if (getrandom(header->identity, IDENTITY_BYTES, 0) != IDENTITY_BYTES) return NO_SPACE;
    }
    const Outcome outcome = store_roll_back(store);
    if (outcome == DONE && !bounded(header, size)) return DAMAGED;
    if (header->latest < 0 || header->latest >= LATEST_TIME) header->latest = 0;
    return outcome;
}

/* ---- lock --------------------------------------------------------------------------------------- */

static int64_t monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int timed_lock(pthread_mutex_t *lock, int64_t microseconds)
{
    struct timespec until;
#ifdef __GLIBC__
    clock_gettime(CLOCK_MONOTONIC, &until);
#else
    clock_gettime(CLOCK_REALTIME, &until);
#endif
    const int64_t nanoseconds = until.tv_nsec + microseconds % 1000000 * 1000;
    until.tv_sec += (time_t)(microseconds / 1000000 + nanoseconds / 1000000000);
    until.tv_nsec = (long)(nanoseconds % 1000000000);
#ifdef __GLIBC__
    return pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &until);
#else
    return pthread_mutex_timedlock(lock, &until);
#endif
}

/* Take the lock. Without `wait` only for as long as another's few rows take. One who waited in vain (its holder is
 * stopped) is not waited for again within a second, so that a queue of calls does not add up the waits. */
Outcome store_lock(Store *store, int wait)
{
    Header *header = header_of(store);
    int wrong = pthread_mutex_trylock(&header->lock);
    for (int spin = 0; wrong == EBUSY && spin < SPINS; spin++) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
        wrong = pthread_mutex_trylock(&header->lock);
    }
    if (wrong == EBUSY && wait && monotonic() >= store->impatient_until) {
        wrong = timed_lock(&header->lock, store->wait_microseconds);
        if (wrong == ETIMEDOUT) store->impatient_until = monotonic() + IMPATIENCE;
    }
    if (wrong != 0 && wrong != EOWNERDEAD) return BUSY;
    store->pending = 0;
    store->moved = 0;
    Outcome outcome = header->damaged ? DAMAGED : DONE;
    if (wrong == EOWNERDEAD) {
        /* Its owner was killed. */
        if (outcome == DONE) outcome = store_roll_back(store);
        if (outcome != DONE) header->damaged = 1;
        pthread_mutex_consistent(&header->lock);
    }
    if (outcome != DONE) pthread_mutex_unlock(&header->lock);
    return outcome;
}

void store_unlock(Store *store) { pthread_mutex_unlock(&header_of(store)->lock); }

/* ---- journal ------------------------------------------------------------------------------------ */

/* Keep the old bytes of committed memory that is to be changed, and note that it is. */
Outcome store_protect(Store *store, const void *memory, size_t bytes)
{
    Header *header = header_of(store);
    const uint64_t used = header->journal_used, padded = (bytes + 7) / 8 * 8;
    const Record record = {(uint64_t)((const uint8_t *)memory - store->base), bytes};
    if (used + sizeof record + padded > JOURNAL_BYTES) return FULL;
    store_touch(store, memory, bytes);
    memcpy(journal_of(store) + used, &record, sizeof record);
    memcpy(journal_of(store) + used + sizeof record, memory, bytes);
    IN_ORDER();
    header->journal_used = used + sizeof record + padded;
    IN_ORDER();
    return DONE;
}

/* Make the changes since the last commit stand, all at once. */
Outcome store_commit(Store *store)
{
    const int freed = store->pending;
    const Outcome outcome = heap_release(store);
    if (outcome != DONE) {
        store_abort(store);
        return outcome;
    }
    IN_ORDER();
    header_of(store)->journal_used = 0;
    IN_ORDER();
    heap_wipe(store, freed);
    return DONE;
}

/* Undo the changes since the last commit. */
void store_abort(Store *store)
{
    Header *header = header_of(store);
    const uint64_t before = header->rolled_back;
    if (store_roll_back(store) != DONE) header->damaged = 1;
    header->rolled_back = before; /* counts killed owners only */
    store->pending = 0;
}

/* ---- growth ------------------------------------------------------------------------------------- */

/* Make the file reach `end` at least. Not undone by an abort: a longer file is no change of content. */
Outcome store_grow(Store *store, uint64_t end)
{
    Header *header = header_of(store);
    if (end <= header->size) return DONE;
    const uint64_t limit = header->capacity < store->mapped ? header->capacity : store->mapped;
    if (end > limit) return FULL;
    uint64_t step = header->size / 8;
    if (step < SMALLEST_GROWTH) step = SMALLEST_GROWTH;
    if (step > LARGEST_GROWTH) step = LARGEST_GROWTH;
    uint64_t target = (header->size + step) / HEADER_BYTES * HEADER_BYTES;
    if (target < end) target = end;
    if (target > limit) target = limit;
    if (store_allocate(store->fd, header->size, target) != 0) {
        if (target == end || store_allocate(store->fd, header->size, end) != 0) return NO_SPACE;
        target = end;
    }
    if (changes_allocate(store, target) != DONE) return NO_SPACE;
    header->size = target;
    return DONE;
}
