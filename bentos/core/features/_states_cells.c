/* The state of a key: its newest events exactly, older ones folded into hourly buckets.
 *
 * Expiry: a cell leaves when it lies a horizon or more before the key's newest event. An event dated ahead of the
 * clock may not push out what is still in use, so that newest event counts as at most a day ahead of the clock. What
 * is dated further ahead can fill the buckets; then the newest of them, which is such an event, goes.
 */
#include "_states.h"

#include <string.h>

/* Index of the event with an identity, -1 when there is none. */
int64_t exact_find(const Exact *exact, uint64_t identity)
{
    enum { RUN = 32 };
    const uint16_t tag = tag_of(identity);
    int64_t end = exact->count;
    while (end > 0) { /* repeated calls come soon after the first */
        const int64_t start = end >= RUN ? end - RUN : 0;
        uint16_t any = 0;
        if (end - start == RUN) {
            const uint16_t *tags = exact->tag + start;
            for (int i = 0; i < RUN; i++) any |= (uint16_t)(tags[i] == tag);
        } else {
            any = 1;
        }
        for (int64_t i = end - 1; any && i >= start; i--)
            if (exact->identity[i] == identity) return i;
        end = start;
    }
    return -1;
}

/* Views of a key's cells. */
Outcome cells_open(const Store *store, const Entry *entry, Exact *exact, Buckets *buckets)
{
    if (!heap_usable(store, &entry->exact, 0) || !heap_usable(store, &entry->buckets, 1)) return DAMAGED;
    *exact = exact_view(store, &entry->exact);
    *buckets = bucket_view(store, &entry->buckets);
    return DONE;
}

static Outcome fresh_block(Store *store, const Entry *entry, uint32_t class, Extent *extent)
{
    uint64_t offset;
    const Outcome outcome = heap_allocate(store, &class, &offset);
    if (outcome != DONE) return outcome;
    BlockHead *block = (BlockHead *)(store->base + offset);
    memcpy(&block->owner, entry->key, sizeof block->owner);
    block->mark = class;
    *extent = (Extent){offset, (uint16_t)class, 0, 0, 0};
    return DONE;
}

static Outcome free_extent(Store *store, const Extent *extent)
{
    return extent->offset == 0 ? DONE : heap_free(store, extent->offset, extent->class);
}

static void copy_exact(const Exact *to, int64_t at, const Exact *from, int64_t start, int64_t count)
{
    if (count == 0) return;
    const size_t n = (size_t)count;
    memmove(to->time + at, from->time + start, n * sizeof *to->time);
    memmove(to->amount + at, from->amount + start, n * sizeof *to->amount);
    memmove(to->identity + at, from->identity + start, n * sizeof *to->identity);
    memmove(to->label + at, from->label + start, n * sizeof *to->label);
    memmove(to->tag + at, from->tag + start, n * sizeof *to->tag);
}

static void copy_buckets(const Buckets *to, int64_t at, const Buckets *from, int64_t start, int64_t count)
{
    if (count == 0) return;
    const size_t n = (size_t)count;
    memmove(to->time + at, from->time + start, n * sizeof *to->time);
    memmove(to->amount + at, from->amount + start, n * sizeof *to->amount);
    memmove(to->squares + at, from->squares + start, n * sizeof *to->squares);
    memmove(to->events + at, from->events + start, n * sizeof *to->events);
    memmove(to->frauds + at, from->frauds + start, n * sizeof *to->frauds);
}

static void put_event(const Exact *to, int64_t at, const Row *row)
{
    to->time[at] = row->time;
    to->amount[at] = row->amount;
    to->identity[at] = row->identity;
    to->label[at] = NO_LABEL;
    to->tag[at] = tag_of(row->identity);
}

/* Write the events to a block of their own, the row's before the one at `place`; without a row as they are. The entry
 * is protected. */
Outcome cells_replace_exact(Store *store, Entry *entry, const Exact *from, int64_t place, const Row *row)
{
    Extent extent;
    Outcome outcome = fresh_block(store, entry, exact_class(from->count + (row != NULL)), &extent);
    if (outcome == DONE) outcome = free_extent(store, &entry->exact);
    if (outcome != DONE) return outcome;
    const Exact to = exact_view(store, &extent);
    copy_exact(&to, 0, from, 0, place);
    if (row != NULL) put_event(&to, place, row);
    copy_exact(&to, place + (row != NULL), from, place, from->count - place);
    extent.count = (uint16_t)(from->count + (row != NULL));
    entry->exact = extent;
    return DONE;
}

static void touch_exact(Store *store, const Exact *exact, int64_t start, int64_t count)
{
    const size_t n = (size_t)count;
    store_touch(store, exact->time + start, n * sizeof *exact->time);
    store_touch(store, exact->amount + start, n * sizeof *exact->amount);
    store_touch(store, exact->identity + start, n * sizeof *exact->identity);
    store_touch(store, exact->label + start, n * sizeof *exact->label);
    store_touch(store, exact->tag + start, n * sizeof *exact->tag);
}

static void touch_bucket(Store *store, const Buckets *buckets, int64_t i)
{
    store_touch(store, buckets->time + i, sizeof *buckets->time);
    store_touch(store, buckets->amount + i, sizeof *buckets->amount);
    store_touch(store, buckets->squares + i, sizeof *buckets->squares);
    store_touch(store, buckets->events + i, sizeof *buckets->events);
    store_touch(store, buckets->frauds + i, sizeof *buckets->frauds);
}

static Outcome insert_event(Store *store, Entry *entry, const Exact *exact, int64_t place, const Row *row)
{
    const int64_t tail = exact->count - place;
    if (exact->room == 0 || tail > SHORT_TAIL) return cells_replace_exact(store, entry, exact, place, row);
    Outcome outcome = DONE;
    touch_exact(store, exact, place, tail + 1);
    if (tail > 0) {
        const size_t n = (size_t)tail;
        outcome = store_protect(store, exact->time + place, n * sizeof *exact->time);
        if (outcome == DONE) outcome = store_protect(store, exact->amount + place, n * sizeof *exact->amount);
        if (outcome == DONE) outcome = store_protect(store, exact->identity + place, n * sizeof *exact->identity);
        if (outcome == DONE) outcome = store_protect(store, exact->label + place, n * sizeof *exact->label);
        if (outcome == DONE) outcome = store_protect(store, exact->tag + place, n * sizeof *exact->tag);
        if (outcome != DONE) return outcome;
        copy_exact(exact, place + 1, exact, place, tail);
    }
    put_event(exact, place, row);
    entry->exact.count++;
    return DONE;
}

/* ---- buckets ------------------------------------------------------------------------------------ */

/* Write the buckets to a block of their own, with room for one more before the one at `place`. */
static Outcome replace_buckets(Store *store, Entry *entry, const Buckets *from, int64_t place, Buckets *to)
{
    Extent extent;
    Outcome outcome = fresh_block(store, entry, bucket_class(from->count + 1), &extent);
    if (outcome == DONE) outcome = free_extent(store, &entry->buckets);
    if (outcome != DONE) return outcome;
    *to = bucket_view(store, &extent);
    copy_buckets(to, 0, from, 0, place);
    copy_buckets(to, place + 1, from, place, from->count - place);
    extent.count = (uint16_t)(from->count + 1);
    entry->buckets = extent;
    return DONE;
}

static Outcome protect_bucket(Store *store, const Buckets *buckets, int64_t i)
{
    Outcome outcome = store_protect(store, buckets->time + i, sizeof *buckets->time);
    if (outcome == DONE) outcome = store_protect(store, buckets->amount + i, sizeof *buckets->amount);
    if (outcome == DONE) outcome = store_protect(store, buckets->squares + i, sizeof *buckets->squares);
    if (outcome == DONE) outcome = store_protect(store, buckets->events + i, sizeof *buckets->events);
    if (outcome == DONE) outcome = store_protect(store, buckets->frauds + i, sizeof *buckets->frauds);
    return outcome;
}

/* Index of the first bucket of an hour or later. */
static int64_t bucket_place(const Buckets *buckets, int64_t hour) { return first_after(buckets->time, buckets->count, hour * HOUR - 1); }

static Outcome fold(Store *store, Entry *entry, int64_t time, double amount, int32_t fraud)
{
    Buckets buckets = bucket_view(store, &entry->buckets);
    const int64_t hour = floor_hour(time);
    const int64_t place = bucket_place(&buckets, hour);
    Outcome outcome;
    if (place < buckets.count && floor_hour(buckets.time[place]) == hour) {
        outcome = protect_bucket(store, &buckets, place);
        if (outcome != DONE) return outcome;
        /* Welford, "Note on a method for calculating corrected sums of squares and products" (1962). */
        const double before = buckets.amount[place] / buckets.events[place];
        buckets.events[place] += 1;
        buckets.amount[place] += amount;
        buckets.squares[place] += (amount - before) * (amount - buckets.amount[place] / buckets.events[place]);
        buckets.frauds[place] += fraud;
        if (time > buckets.time[place]) buckets.time[place] = time;
        return DONE;
    }
    if (buckets.count == MAXIMUM_BUCKETS) {
        if (place == buckets.count) return DONE;
        entry->buckets.count--;
        buckets.count--;
        buckets.room++;
        /* The freed cell is committed: not to be written over unprotected. */
        outcome = protect_bucket(store, &buckets, buckets.count);
        if (outcome != DONE) return outcome;
    }
    if (place == buckets.count && buckets.room > 0) {
        touch_bucket(store, &buckets, place);
        entry->buckets.count++;
    } else {
        const Buckets old = buckets;
        outcome = replace_buckets(store, entry, &old, place, &buckets);
        if (outcome != DONE) return outcome;
    }
    buckets.time[place] = time;
    buckets.amount[place] = amount;
    buckets.squares[place] = 0.0;
    buckets.events[place] = 1;
    buckets.frauds[place] = fraud;
    return DONE;
}

/* ---- adding ------------------------------------------------------------------------------------- */

static Outcome fold_excess(Store *store, Entry *entry)
{
    while (entry->exact.count > EXACT_EVENTS) {
        const Exact exact = exact_view(store, &entry->exact);
        const Outcome outcome = fold(store, entry, exact.time[0], exact.amount[0], exact.label[0] != NO_LABEL);
        if (outcome != DONE) return outcome;
        entry->exact.head++;
        entry->exact.count--;
    }
    return DONE;
}

static Outcome expire(Store *store, Entry *entry, int64_t until)
{
    const Buckets buckets = bucket_view(store, &entry->buckets);
    const int64_t old = first_after(buckets.time, buckets.count, until);
    entry->buckets.head = (uint16_t)(entry->buckets.head + old);
    entry->buckets.count = (uint16_t)(entry->buckets.count - old);
    Outcome outcome = DONE;
    if (entry->buckets.count == 0) {
        outcome = free_extent(store, &entry->buckets);
        entry->buckets = (Extent){0};
    }
    const Exact exact = exact_view(store, &entry->exact);
    const int64_t gone = first_after(exact.time, exact.count, until);
    entry->exact.head = (uint16_t)(entry->exact.head + gone);
    entry->exact.count = (uint16_t)(entry->exact.count - gone);
    return outcome;
}

/* Add an event that the key does not hold, at its own time, after those of equal time; fold the oldest events beyond
 * the exact ones; expire. `now` is the clock. */
Outcome cells_add(Store *store, Entry *entry, const Kind *kind, const Row *row, int64_t now)
{
    Exact exact;
    Buckets buckets;
    Outcome outcome = store_protect(store, entry, sizeof *entry);
    if (outcome != DONE) return outcome;
    if (cells_open(store, entry, &exact, &buckets) != DONE) {
        /* Begin anew rather than fail for good; the blocks are lost. */
        entry->exact = entry->buckets = (Extent){0};
        exact = (Exact){0};
        buckets = (Buckets){0};
        header_of(store)->dropped++;
    }
    int64_t newest = row->time;
    if (exact.count > 0 && exact.time[exact.count - 1] > newest) newest = exact.time[exact.count - 1];
    const int64_t place = first_after(exact.time, exact.count, row->time);
    if (place == 0 && buckets.count > 0) {
        /* Older than all exact events of a key that folds: its hour's bucket is where it belongs. */
        outcome = fold(store, entry, row->time, row->amount, 0);
    } else {
        outcome = insert_event(store, entry, &exact, place, row);
        if (outcome == DONE) outcome = fold_excess(store, entry);
    }
    if (outcome != DONE) return outcome;
    entry->newest = newest;
    if (newest > now + DAY) newest = now + DAY;
    return expire(store, entry, newest - kind->horizon);
}

/* ---- labels ------------------------------------------------------------------------------------- */

/* Note in a key's state that an event is fraud, known since label_time, or with NO_LABEL that it is none. An exact
 * event keeps the earliest label; one that has folded counts in its hour's bucket at once; one that has left changes
 * nothing. */
Outcome cells_label(Store *store, const uint8_t *key, uint64_t identity, int64_t event_time, int64_t label_time)
{
    Entry *entry = table_find(store, key);
    Exact exact;
    Buckets buckets;
    if (entry == NULL || cells_open(store, entry, &exact, &buckets) != DONE) return DONE;
    Outcome outcome = store_protect(store, entry, sizeof *entry);
    if (outcome != DONE) return outcome;
    const int taken_back = label_time == NO_LABEL;
    if (!taken_back) entry->labelled = 1;
    const int64_t found = exact_find(&exact, identity);
    if (found >= 0) {
        outcome = store_protect(store, exact.label + found, sizeof *exact.label);
        if (outcome == DONE && (taken_back || label_time < exact.label[found])) exact.label[found] = label_time;
        return outcome;
    }
    const int64_t hour = floor_hour(event_time), place = bucket_place(&buckets, hour);
    if (place == buckets.count || floor_hour(buckets.time[place]) != hour) return DONE;
    outcome = store_protect(store, buckets.frauds + place, sizeof *buckets.frauds);
    if (outcome == DONE && !taken_back) buckets.frauds[place]++;
    if (outcome == DONE && taken_back && buckets.frauds[place] > 0) buckets.frauds[place]--;
    return outcome;
}
