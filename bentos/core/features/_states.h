/* The state of every key in one memory-mapped file that all processes of a machine share.
 *
 *   _states_file.c     header, lock, undo journal, growth        (what a kill -9 must not break)
 *   _states_changes.c  which pages have changed, for who copies the store to a disk
 *   _states_heap.c     blocks of fixed sizes, their free lists
 *   _states_table.c    extendible hash table from key to entry, reclaiming of expired keys
 *   _states_cells.c    a key's events and buckets: add, fold, expire, label
 *   _states_windows.c  window statistics of a key
 *   _states_rows.c     look up, record, label
 *   _states_bulk.c     whole states: fill from a snapshot, carry over from a damaged file, read
 *   _states_module.c   the Python type
 *
 * Rule of the journal: memory that a committed entry, table or list can reach is changed only after
 * store_protect() has copied its old bytes; memory beyond a committed count or in a block allocated by
 * the same transaction may be written freely. A block freed by a transaction is reused by later ones only.
 *
 * Rule of changes: before any byte of the heap is written, store_touch() has been told; store_protect() and
 * heap_allocate() do it for what they are given.
 *
 * Rule of trust: offsets, counts and sizes read from the file are checked before each use, so that no
 * content can lead outside the mapping.
 */
#ifndef BENTOS_STATES_H
#define BENTOS_STATES_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FORMAT_VERSION = 2,
    KEY_BYTES = 16,
    KINDS = 3,
    EXACT_EVENTS = 4096,      /* as history.py */
    MAXIMUM_BUCKETS = 1024,   /* more than the hours of the longest horizon, 889 */
    MAXIMUM_WINDOWS = 8,
    SHORT_TAIL = 1024,        /* a late event moves up to so many newer ones in place, which the journal has room for
                                 in the states of all its keys; else the block is rewritten */
    HEADER_BYTES = 4096,
    JOURNAL_BYTES = 256 * 1024,
    HEAP_START = HEADER_BYTES + JOURNAL_BYTES,
    SEGMENT_SLOTS = 63,
    MAXIMUM_DEPTH = 26,
    EXACT_CLASSES = 22,
    BUCKET_CLASSES = 8,
    SEGMENT_CLASS = EXACT_CLASSES + BUCKET_CLASSES,
    DIRECTORY_CLASS = SEGMENT_CLASS + 1, /* + depth */
    CLASSES = DIRECTORY_CLASS + MAXIMUM_DEPTH + 1,
    PENDING_FREES = 64,
    PAGE = 4096,
    IDENTITY_BYTES = 16,
};

#define HOUR INT64_C(3600000000)
#define DAY (24 * HOUR)
#define NO_LABEL INT64_MAX
#define LATEST_TIME (INT64_C(1) << 53) /* times are exact as float64 too */

typedef enum {
    DONE = 0,
    FULL,      /* the capacity is reached */
    NO_SPACE,  /* the disk is full, or may not be written */
    BUSY,      /* the lock was not free in time */
    DAMAGED,   /* the file's content makes no sense */
} Outcome;

typedef struct {
    uint64_t offset; /* 0: none */
    uint16_t class, head, count, spare;
} Extent;

/* One key. */
typedef struct {
    uint8_t key[KEY_BYTES];
    Extent exact, buckets;
    int64_t newest;   /* time of its newest event */
    uint8_t kind, labelled; /* labelled: some event may be a fraud */
    uint8_t spare[6];
} Entry;
_Static_assert(sizeof(Entry) == 64, "an entry is a cache line");

typedef struct {
    uint8_t tags[SEGMENT_SLOTS]; /* 0: free, else a part of the key's hash */
    uint8_t depth;
    Entry entries[SEGMENT_SLOTS];
} Segment;
_Static_assert(sizeof(Segment) == 4096, "a segment is a page");

/* Head of a block that holds cells; a free block holds its next in place of the owner. */
typedef struct {
    uint64_t owner, mark;
} BlockHead;

typedef struct {
    uint64_t magic; /* written last */
    uint32_t version, header_bytes;
    uint8_t schema[32], fingerprint[16], boot[16];
    uint64_t salt[2];
    uint64_t capacity;
    pthread_mutex_t lock __attribute__((aligned(64)));
    uint64_t journal_used __attribute__((aligned(64)));
    uint64_t size;      /* of the file; every byte below it is backed by the disk */
    uint64_t top;       /* heap above it was never used */
    uint64_t directory; /* segment offsets, by the hash's first `depth` bits */
    uint64_t depth;
    uint64_t hand;      /* directory slot that is swept next */
    int64_t latest;     /* newest event of the store, at most a day ahead of the clock */
    uint64_t keys, births;
    uint64_t filled, damaged;
    uint64_t rolled_back, reclaimed, dropped, unrecorded;
    uint64_t free[CLASSES];
    /* Format 1 ends here. */
    uint8_t identity[IDENTITY_BYTES]; /* random; a file in memory and its copy on a disk have the same */
    uint64_t in_memory;               /* this, or what this is the copy of, lies in memory */
    uint64_t round;                   /* that copied it last: an older copy that somebody has put back has another */
    uint8_t source[IDENTITY_BYTES];   /* who told the last label, */
    uint64_t serial;                  /* and its highest message */
} Header;
_Static_assert(sizeof(Header) <= HEADER_BYTES, "the header is a page");

enum { COUNT = 1, FRAUDS = 2, TOTAL = 4, SQUARES = 8 };

typedef struct {
    int64_t span;
    uint32_t asked; /* COUNT and so on; columns come in that order */
} Window;

typedef struct {
    int64_t delay, horizon;
    int last; /* whether the time of the previous event is asked; it comes first */
    int windows;
    Window window[MAXIMUM_WINDOWS];
} Kind;

/* Columns of a key's exact events and buckets, oldest first, checked to lie in the mapping. */
typedef struct {
    int64_t *time;
    double *amount;
    uint64_t *identity;
    int64_t *label;
    uint16_t *tag;
    int64_t count, room; /* room: cells that can be appended */
} Exact;

typedef struct {
    int64_t *time;
    double *amount, *squares;
    int32_t *events, *frauds;
    int64_t count, room;
} Buckets;

enum { RECORD = 1, FRESH = 2, SKIP = 4 };
typedef struct {
    uint8_t key[KINDS][KEY_BYTES];
    uint64_t identity;
    int64_t time;
    double amount;
    /* RECORD, or not. With FRESH no state has its identity, and none is searched for it. With SKIP << kind it is neither
     * looked up nor recorded there. */
    int64_t record;
} Row;

/* Changes since pages were copied last; followed by pages put aside and a mark for each page, see _states_changes.c. */
typedef struct {
    uint64_t magic;
    uint8_t identity[IDENTITY_BYTES]; /* of the store */
    uint64_t changed;                 /* marks set since a round began; 0: there is nothing to copy */
    uint64_t aside, room;             /* pages put aside, and how many can be */
    uint64_t torn;                    /* whether one could not be put aside in this round */
    uint64_t begun, completed, wanted; /* rounds */
    int64_t copied;                   /* the instant that the last complete round copied, microseconds since 1970 UTC */
} Changes;

enum { CHANGED = 1, PENDING = 2, TAKEN = 4 };

/* A process's view of the file. */
typedef struct {
    uint8_t *base;
    uint64_t mapped;
    int fd;
    Changes *changes; /* NULL: nobody copies it */
    uint8_t *marks;
    uint64_t changes_mapped;
    int changes_fd;
    uint64_t cursor, aside_cursor; /* of the round that this process copies */
    int moved; /* entries may have moved since it was reset */
    int pending;
    struct { uint64_t offset; uint32_t class; } pend[PENDING_FREES];
    int64_t wait_microseconds, impatient_until;
    Kind kinds[KINDS];
} Store;

static inline Header *header_of(const Store *store) { return (Header *)store->base; }

static inline int64_t floor_hour(int64_t time) { return time / HOUR; /* times are not negative */ }

static inline uint16_t tag_of(uint64_t identity) { return (uint16_t)(identity >> 48); }

/* Index of the first of `count` ascending times that is later than `value`. */
static inline int64_t first_after(const int64_t *times, int64_t count, int64_t value)
{
    if (count == 0 || times[count - 1] <= value) return count;
    const int64_t *from = times;
    for (int64_t left = count; left > 1;) {
        const int64_t half = left / 2;
        from += from[half - 1] <= value ? half : 0;
        left -= half;
    }
    return from - times + (*from <= value);
}

/* A killed process has done all stores before some instruction, so only the compiler must keep their order. */
#define IN_ORDER() __asm__ volatile("" ::: "memory")

/* _states_file.c */
extern const uint64_t store_magic;
int store_allocate(int fd, uint64_t from, uint64_t to);
Outcome store_roll_back(Store *store);
Outcome store_create(Store *store, uint64_t capacity, const uint8_t *schema, const uint8_t *fingerprint,
                     const uint8_t *boot);
Outcome store_map(Store *store, uint64_t capacity);
Outcome store_recover(Store *store, const uint8_t *boot);
void store_unmap(Store *store);
Outcome store_lock(Store *store, int wait);
void store_unlock(Store *store);
Outcome store_protect(Store *store, const void *memory, size_t bytes);
Outcome store_commit(Store *store);
void store_abort(Store *store);
Outcome store_grow(Store *store, uint64_t end);

/* _states_changes.c */
enum { CHUNK_PAGES = 256 };
typedef struct {
    uint64_t count, number[PAGE / sizeof(uint64_t) - 1];
    uint8_t page[CHUNK_PAGES][PAGE];
} Chunk;
Outcome changes_open(Store *store, int join);
void changes_unmap(Store *store);
Outcome changes_allocate(Store *store, uint64_t size);
void changes_note(Store *store, uint64_t page);
Outcome changes_begin(Store *store, Chunk *chunk);
Outcome changes_gather(Store *store, Chunk *chunk);
Outcome changes_end(Store *store, int64_t instant);
Outcome changes_want(Store *store, uint64_t *round);
int changes_apply(int fd, const Chunk *chunk);

/* Memory is going to be changed; the lock is held. */
static inline void store_touch(Store *store, const void *memory, size_t bytes)
{
    if (store->changes == NULL || bytes == 0) return;
    const uint64_t start = (uint64_t)((const uint8_t *)memory - store->base);
    for (uint64_t page = start / PAGE; page <= (start + bytes - 1) / PAGE; page++)
        if (store->marks[page] != CHANGED) changes_note(store, page);
}

/* _states_heap.c */
uint64_t class_bytes(uint32_t class);
int64_t exact_capacity(uint32_t class);
int64_t bucket_capacity(uint32_t class);
uint32_t exact_class(int64_t cells);
uint32_t bucket_class(int64_t cells);
Outcome heap_allocate(Store *store, uint32_t *class, uint64_t *offset);
Outcome heap_free(Store *store, uint64_t offset, uint32_t class);
Outcome heap_release(Store *store);
void heap_wipe(Store *store, int freed);
int heap_holds(const Store *store, uint64_t offset, uint64_t bytes);
int heap_usable(const Store *store, const Extent *extent, int buckets);
Exact exact_view(const Store *store, const Extent *extent);
Buckets bucket_view(const Store *store, const Extent *extent);

/* _states_table.c */
Outcome table_create(Store *store);
Entry *table_find(const Store *store, const uint8_t *key);
Outcome table_insert(Store *store, const uint8_t *key, uint8_t kind, Entry **entry);
Segment *table_segment(const Store *store, uint64_t slot);
uint64_t table_slots(const Store *store);
Outcome table_erase(Store *store, const uint8_t *key, int *found);
Outcome table_sweep(Store *store, uint64_t segments, int64_t patience, uint64_t *reclaimed);

/* _states_cells.c */
int64_t exact_find(const Exact *exact, uint64_t identity);
Outcome cells_open(const Store *store, const Entry *entry, Exact *exact, Buckets *buckets);
Outcome cells_add(Store *store, Entry *entry, const Kind *kind, const Row *row, int64_t now);
Outcome cells_label(Store *store, const uint8_t *key, uint64_t identity, int64_t event_time, int64_t label_time);
Outcome cells_replace_exact(Store *store, Entry *entry, const Exact *from, int64_t place, const Row *row);

/* _states_windows.c */
int64_t windows_width(const Kind *kind);
void windows_compute(const Kind *kind, const Exact *exact, const Buckets *buckets, int labelled, int64_t own,
                     int64_t time, double *out, int64_t stride);

/* _states_rows.c */
int rows_valid(const Row *row);
int rows_lookup(Store *store, const Row *rows, int64_t count, int64_t now, double *out, uint8_t *outcomes, int held);
typedef struct {
    const uint8_t *source; /* NULL: it cannot come twice */
    uint64_t serial;
} Delivery;
Outcome rows_label(Store *store, const uint8_t *keys, uint64_t identity, int64_t event_time, int64_t label_time,
                   const Delivery *delivery);

/* _states_bulk.c */
typedef struct { /* snapshot's CELL, see state.py */
    int64_t time;
    double amount, squares;
    int64_t label;
    uint64_t identity;
    int32_t count, frauds;
} Cell;
Outcome bulk_put(Store *store, int kind, const uint8_t *key, const Exact *exact, const Buckets *buckets);
Outcome bulk_fill(Store *store, int kind, int64_t keys, const uint8_t *hashes, const int64_t *offsets,
                  const int64_t *buckets, const Cell *cells, uint64_t *unsound);
Outcome bulk_carry(Store *store, int fd, int64_t now, uint64_t *kept, uint64_t *dropped);
int64_t bulk_read(const Store *store, const uint8_t *key, Cell *cells, int64_t room, int64_t *buckets);

#endif
