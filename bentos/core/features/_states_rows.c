/* Rows: look up, record, label; each row is a transaction of its own. */
#include "_states.h"

#include <math.h>
#include <string.h>

enum {
    SEGMENTS_WHEN_FULL = 8, /* searched for expired keys by a row that found no room */
    SWEEP_BIRTHS = 16,      /* new keys between two looks at a segment for expired ones */
};

static Outcome record_row(Store *store, const Row *row, Entry **entries, const int64_t *own, int64_t now)
{
    Outcome outcome = DONE;
    for (int kind = 0; kind < KINDS && outcome == DONE; kind++) {
        if (own[kind] >= 0) continue;
        Entry *entry = store->moved ? table_find(store, row->key[kind]) : entries[kind];
        if (entry == NULL) outcome = table_insert(store, row->key[kind], (uint8_t)kind, &entry);
        if (outcome == DONE) outcome = cells_add(store, entry, store->kinds + kind, row, now);
    }
    if (outcome == DONE) return store_commit(store);
    store_abort(store);
    return outcome;
}

static Outcome record(Store *store, const Row *row, Entry **entries, const int64_t *own, int64_t now)
{
    Header *header = header_of(store);
    const uint64_t births = header->births;
    uint64_t reclaimed = 0;
    Outcome outcome = record_row(store, row, entries, own, now);
    if (outcome == FULL || outcome == NO_SPACE) {
        /* What has expired makes room, at least for states of its own size. */
        if (table_sweep(store, SEGMENTS_WHEN_FULL, 1, &reclaimed) == DONE && reclaimed > 0) {
            store->moved = 1;
            outcome = record_row(store, row, entries, own, now);
        }
        if (outcome != DONE) header->unrecorded++;
    }
    if (outcome == DAMAGED) header->damaged = 1;
    if (outcome != DONE) return outcome;
    const int64_t latest = row->time < now + DAY ? row->time : now + DAY;
    if (latest > header->latest) header->latest = latest;
    if (births / SWEEP_BIRTHS != header->births / SWEEP_BIRTHS) table_sweep(store, 1, 2, &reclaimed);
    return DONE;
}

/* One row; the lock is held. */
static Outcome lookup_row(Store *store, const Row *row, int64_t now, double *out, int64_t stride)
{
    Entry *entries[KINDS];
    int64_t own[KINDS];
    int known = 1;
    for (int kind = 0; kind < KINDS; kind++) {
        double *statistics = out;
        out += windows_width(store->kinds + kind) * stride;
        own[kind] = 0;
        if (row->record & SKIP << kind) continue;
        Exact exact = {0};
        Buckets buckets = {0};
        Entry *entry = entries[kind] = table_find(store, row->key[kind]);
        if (entry != NULL && cells_open(store, entry, &exact, &buckets) != DONE) exact = (Exact){0}, buckets = (Buckets){0};
        own[kind] = row->record & FRESH ? -1 : exact_find(&exact, row->identity);
        known &= own[kind] >= 0;
        windows_compute(store->kinds + kind, &exact, &buckets, entry != NULL && entry->labelled, own[kind], row->time,
                        statistics, stride);
    }
    if (!(row->record & RECORD) || known) return DONE;
    store->moved = 0;
    return record(store, row, entries, own, now);
}

/* Whether a row's numbers are in range. */
int rows_valid(const Row *row)
{
    return row->time >= 0 && row->time < LATEST_TIME && isfinite(row->amount) && row->identity != 0;
}

/* Rows one by one, each under the lock, which is held for the first when `held`. */
int rows_lookup(Store *store, const Row *rows, int64_t count, int64_t now, double *out, uint8_t *outcomes, int held)
{
    int worst = DONE;
    for (int64_t i = 0; i < count; i++) {
        Outcome outcome = held ? DONE : store_lock(store, 1);
        held = 0;
        if (outcome == DONE) {
            outcome = lookup_row(store, rows + i, now, out + i, count);
            store_unlock(store);
        }
        outcomes[i] = (uint8_t)outcome;
        if ((int)outcome > worst) worst = (int)outcome;
    }
    return worst;
}

/* Whether a message has been applied before. */
static int is_known(const Header *header, const Delivery *delivery)
{
    return delivery->source != NULL && memcmp(header->source, delivery->source, IDENTITY_BYTES) == 0 &&
           delivery->serial <= header->serial;
}

static Outcome remember(Store *store, const Delivery *delivery)
{
    Header *header = header_of(store);
    if (delivery->source == NULL) return DONE;
    const Outcome outcome = store_protect(store, header->source, sizeof header->source + sizeof header->serial);
    if (outcome != DONE) return outcome;
    memcpy(header->source, delivery->source, IDENTITY_BYTES);
    header->serial = delivery->serial;
    return DONE;
}

/* Note a fraud in the states of its keys, unless the same message has done it. Takes the lock. */
Outcome rows_label(Store *store, const uint8_t *keys, uint64_t identity, int64_t event_time, int64_t label_time,
                   const Delivery *delivery)
{
    Outcome outcome = store_lock(store, 1);
    if (outcome != DONE) return outcome;
    if (!is_known(header_of(store), delivery)) {
        outcome = remember(store, delivery);
        for (int kind = 0; kind < KINDS && outcome == DONE; kind++)
            outcome = cells_label(store, keys + kind * KEY_BYTES, identity, event_time, label_time);
        if (outcome == DONE) outcome = store_commit(store);
        else store_abort(store);
    }
    store_unlock(store);
    return outcome;
}
