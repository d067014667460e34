/* Whole states: from a snapshot, from a file whose machine failed, and back. */
#include "_states.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int valid_time(int64_t time) { return time >= 0 && time < LATEST_TIME; }

static int sound_exact(const Exact *exact)
{
    int64_t before = 0;
    for (int64_t i = 0; i < exact->count; i++) {
        if (!valid_time(exact->time[i]) || exact->time[i] < before || !isfinite(exact->amount[i]) ||
            exact->identity[i] == 0 || exact->label[i] < 0)
            return 0;
        before = exact->time[i];
    }
    return 1;
}

static int sound_buckets(const Buckets *buckets)
{
    int64_t hour = -1;
    for (int64_t i = 0; i < buckets->count; i++) {
        if (!valid_time(buckets->time[i]) || floor_hour(buckets->time[i]) <= hour || !isfinite(buckets->amount[i]) ||
            !isfinite(buckets->squares[i]) || buckets->events[i] < 1 || buckets->frauds[i] < 0)
            return 0;
        hour = floor_hour(buckets->time[i]);
    }
    return 1;
}

static int sound(const Exact *exact, const Buckets *buckets)
{
    if (exact->count > EXACT_EVENTS || buckets->count > MAXIMUM_BUCKETS || exact->count + buckets->count == 0) return 0;
    if (!sound_exact(exact) || !sound_buckets(buckets)) return 0;
    return exact->count == 0 || buckets->count == 0 || buckets->time[buckets->count - 1] <= exact->time[0];
}

static Outcome put_buckets(Store *store, Entry *entry, const Buckets *from)
{
    uint32_t class = bucket_class(from->count);
    uint64_t offset;
    const Outcome outcome = heap_allocate(store, &class, &offset);
    if (outcome != DONE) return outcome;
    BlockHead *block = (BlockHead *)(store->base + offset);
    memcpy(&block->owner, entry->key, sizeof block->owner);
    block->mark = class;
    entry->buckets = (Extent){offset, (uint16_t)class, 0, (uint16_t)from->count, 0};
    const Buckets to = bucket_view(store, &entry->buckets);
    const size_t n = (size_t)from->count;
    memcpy(to.time, from->time, n * sizeof *to.time);
    memcpy(to.amount, from->amount, n * sizeof *to.amount);
    memcpy(to.squares, from->squares, n * sizeof *to.squares);
    memcpy(to.events, from->events, n * sizeof *to.events);
    memcpy(to.frauds, from->frauds, n * sizeof *to.frauds);
    return DONE;
}

/* Add a sound state, unless its key is there. The lock is held. */
Outcome bulk_put(Store *store, int kind, const uint8_t *key, const Exact *exact, const Buckets *buckets)
{
    if (table_find(store, key) != NULL) return DONE;
    Entry *entry;
    Outcome outcome = table_insert(store, key, (uint8_t)kind, &entry);
    if (outcome == DONE && exact->count > 0) outcome = cells_replace_exact(store, entry, exact, exact->count, NULL);
    if (outcome == DONE && buckets->count > 0) outcome = put_buckets(store, entry, buckets);
    if (outcome != DONE) {
        store_abort(store);
        return outcome;
    }
    entry->newest = exact->count > 0 ? exact->time[exact->count - 1] : buckets->time[buckets->count - 1];
    for (int64_t i = 0; i < exact->count && !entry->labelled; i++) entry->labelled = exact->label[i] != NO_LABEL;
    for (int64_t i = 0; i < buckets->count && !entry->labelled; i++) entry->labelled = buckets->frauds[i] != 0;
    return store_commit(store);
}

/* Room for one state in columns. */
typedef struct {
    int64_t time[EXACT_EVENTS], label[EXACT_EVENTS];
    double amount[EXACT_EVENTS];
    uint64_t identity[EXACT_EVENTS];
    uint16_t tag[EXACT_EVENTS];
    int64_t bucket_time[MAXIMUM_BUCKETS];
    double bucket_amount[MAXIMUM_BUCKETS], squares[MAXIMUM_BUCKETS];
    int32_t events[MAXIMUM_BUCKETS], frauds[MAXIMUM_BUCKETS];
} Columns;

static int spread(const Cell *cells, int64_t count, int64_t buckets, Columns *to)
{
    for (int64_t i = 0; i < buckets; i++) {
        to->bucket_time[i] = cells[i].time;
        to->bucket_amount[i] = cells[i].amount;
        to->squares[i] = cells[i].squares;
        to->events[i] = cells[i].count;
        to->frauds[i] = cells[i].frauds;
    }
    cells += buckets;
    for (int64_t i = 0; i < count - buckets; i++) {
        to->time[i] = cells[i].time;
        to->amount[i] = cells[i].amount;
        to->identity[i] = cells[i].identity;
        to->label[i] = cells[i].label;
        to->tag[i] = tag_of(cells[i].identity);
        if (cells[i].count != 1 || (cells[i].frauds != 0) != (cells[i].label != NO_LABEL)) return 0;
    }
    return 1;
}

/* Add the states of one kind; the offsets have been checked against the cells. Takes the lock for each key. */
Outcome bulk_fill(Store *store, int kind, int64_t keys, const uint8_t *hashes, const int64_t *offsets,
                  const int64_t *buckets, const Cell *cells, uint64_t *unsound)
{
    Columns *columns = malloc(sizeof *columns);
    if (columns == NULL) return NO_SPACE;
    Outcome outcome = DONE;
    for (int64_t key = 0; key < keys && outcome == DONE; key++) {
        const int64_t count = offsets[key + 1] - offsets[key], folded = buckets[key], exactly = count - folded;
        const Exact exact = {columns->time, columns->amount, columns->identity, columns->label, columns->tag, exactly, 0};
        const Buckets hours = {columns->bucket_time, columns->bucket_amount, columns->squares,
                               columns->events,      columns->frauds,        folded,           0};
        if (exactly > EXACT_EVENTS || folded > MAXIMUM_BUCKETS || !spread(cells + offsets[key], count, folded, columns) ||
            !sound(&exact, &hours)) {
            ++*unsound;
            continue;
        }
        outcome = store_lock(store, 1);
        if (outcome != DONE) break;
        outcome = bulk_put(store, kind, hashes + key * KEY_BYTES, &exact, &hours);
        store_unlock(store);
    }
    free(columns);
    return outcome;
}

static int own_block(const Store *from, const Entry *entry, const Extent *extent)
{
    if (extent->offset == 0) return 1;
    const BlockHead *block = (const BlockHead *)(from->base + extent->offset);
    return memcmp(&block->owner, entry->key, sizeof block->owner) == 0 && block->mark == extent->class;
}

static int sound_entry(const Store *from, const Entry *entry, Exact *exact, Buckets *buckets)
{
    if (entry->kind >= KINDS || cells_open(from, entry, exact, buckets) != DONE) return 0;
    if (!own_block(from, entry, &entry->exact) || !own_block(from, entry, &entry->buckets)) return 0;
    /* Tags lie on another page than identities: both were written, or neither. */
    for (int64_t i = 0; i < exact->count; i++)
        if (exact->tag[i] != tag_of(exact->identity[i])) return 0;
    return sound(exact, buckets);
}

/* Copy every sound state of a mapping whose content may be torn. */
static Outcome carry_all(Store *store, const Store *from, uint64_t *kept, uint64_t *dropped)
{
    const uint64_t slots = table_slots(from);
    if (slots == 0) return DAMAGED;
    const Segment *before = NULL;
    for (uint64_t slot = 0; slot < slots; slot++) {
        const Segment *segment = table_segment(from, slot);
        if (segment == NULL) {
            ++*dropped; /* as many keys as it held, which nobody knows */
            continue;
        }
        if (segment == before) continue;
        before = segment;
        for (int i = 0; i < SEGMENT_SLOTS; i++) {
            const Entry *entry = segment->entries + i;
            Exact exact;
            Buckets buckets;
            if (segment->tags[i] == 0) continue;
            if (!sound_entry(from, entry, &exact, &buckets)) {
                ++*dropped;
                continue;
            }
            const Outcome outcome = bulk_put(store, entry->kind, entry->key, &exact, &buckets);
            if (outcome != DONE) return outcome;
            ++*kept;
        }
    }
    Header *header = header_of(store);
    header->filled = header_of(from)->filled != 0;
    header->latest = header_of(from)->latest;
    memcpy(header->source, header_of(from)->source, IDENTITY_BYTES);
    header->serial = header_of(from)->serial;
    return DONE;
}

/* Carry over what is sound in the file of another descriptor. */
Outcome bulk_carry(Store *store, int fd, int64_t now, uint64_t *kept, uint64_t *dropped)
{
    struct stat about;
    Store from = {.fd = fd, .changes_fd = -1};
    if (fstat(fd, &about) != 0) return NO_SPACE;
    if (about.st_size < HEAP_START) return DAMAGED;
    memcpy(from.kinds, store->kinds, sizeof from.kinds);
    from.mapped = (uint64_t)about.st_size;
    void *base = mmap(NULL, from.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (base == MAP_FAILED) return NO_SPACE;
    from.base = base;
    Header *header = header_of(&from);
    header->size = from.mapped;
    /* A process that mapped it may have been killed; after a power cut nobody knows what of the journal is old. */
    if (memcmp(header->boot, header_of(store)->boot, sizeof header->boot) == 0) store_roll_back(&from);
    header->top = header->size = from.mapped; /* may be older than what they bound */
    if (header->latest < 0) header->latest = 0;
    if (header->latest > now + DAY) header->latest = now + DAY;
    Outcome outcome = store_lock(store, 1);
    if (outcome == DONE) {
        outcome = carry_all(store, &from, kept, dropped);
        header_of(store)->dropped = *dropped;
        store_unlock(store);
    }
    store_unmap(&from);
    return outcome;
}

/* A key's state as cells, buckets first; returns their number, of which at most `room` are written. */
int64_t bulk_read(const Store *store, const uint8_t *key, Cell *cells, int64_t room, int64_t *folded)
{
    const Entry *entry = table_find(store, key);
    Exact exact;
    Buckets buckets;
    *folded = 0;
    if (entry == NULL || cells_open(store, entry, &exact, &buckets) != DONE) return 0;
    *folded = buckets.count;
    if (room < buckets.count + exact.count) return buckets.count + exact.count;
    for (int64_t i = 0; i < buckets.count; i++)
        *cells++ = (Cell){buckets.time[i], buckets.amount[i], buckets.squares[i], INT64_MIN, 0, buckets.events[i],
                          buckets.frauds[i]};
    for (int64_t i = 0; i < exact.count; i++)
        *cells++ = (Cell){exact.time[i],     exact.amount[i], 0.0, exact.label[i],
                          exact.identity[i], 1,               exact.label[i] != NO_LABEL};
    return buckets.count + exact.count;
}
