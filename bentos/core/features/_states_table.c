/* The table from key to entry: extendible hashing (Fagin, Nievergelt, Pippenger, Strong, "Extendible hashing - a fast
 * access method for dynamic files", 1979). The directory maps a hash's first bits to a segment of 63 entries; a full
 * segment is split into two, so that no growth moves more than a page, but for the directory's own doubling.
 */
#include "_states.h"

#include <string.h>


/* Salted, so that nobody can choose keys that meet in one segment; Wang Yi's wyhash multiplication. */
static uint64_t hash_of(const Store *store, const uint8_t *key)
{
    uint64_t half[2];
    memcpy(half, key, sizeof half);
    const Header *header = header_of(store);
    const unsigned __int128 product =
        (unsigned __int128)(half[0] ^ header->salt[0]) * ((half[1] ^ header->salt[1]) | 1);
    uint64_t hash = (uint64_t)product ^ (uint64_t)(product >> 64) ^ half[0];
    hash = (hash ^ (hash >> 30)) * UINT64_C(0xbf58476d1ce4e5b9); /* splitmix64's finish */
    hash = (hash ^ (hash >> 27)) * UINT64_C(0x94d049bb133111eb);
    return hash ^ (hash >> 31);
}

static uint8_t tag_byte(uint64_t hash) { return (uint8_t)((hash & 0xff) | ((hash & 0xff) == 0)); }

static uint64_t slot_of(uint64_t hash, uint64_t depth) { return depth == 0 ? 0 : hash >> (64 - depth); }

/* The directory's length; 0 when it cannot be used. */
uint64_t table_slots(const Store *store)
{
    const Header *header = header_of(store);
    if (header->depth > MAXIMUM_DEPTH) return 0;
    const uint64_t slots = UINT64_C(1) << header->depth;
    return heap_holds(store, header->directory, slots * sizeof(uint64_t)) ? slots : 0;
}

static uint64_t *directory_of(const Store *store) { return (uint64_t *)(store->base + header_of(store)->directory); }

/* Segment of a slot below table_slots(); NULL when the file is damaged there. */
Segment *table_segment(const Store *store, uint64_t slot)
{
    const uint64_t offset = directory_of(store)[slot];
    if (!heap_holds(store, offset, sizeof(Segment))) return NULL;
    Segment *segment = (Segment *)(store->base + offset);
    return segment->depth <= header_of(store)->depth ? segment : NULL;
}

static Segment *segment_for(const Store *store, uint64_t hash)
{
    return table_slots(store) == 0 ? NULL : table_segment(store, slot_of(hash, header_of(store)->depth));
}

Outcome table_create(Store *store)
{
    Header *header = header_of(store);
    uint32_t class = SEGMENT_CLASS;
    uint64_t segment, directory;
    Outcome outcome = heap_allocate(store, &class, &segment);
    class = DIRECTORY_CLASS;
    if (outcome == DONE) outcome = heap_allocate(store, &class, &directory);
    if (outcome != DONE) return outcome;
    memset(store->base + segment, 0, sizeof(Segment));
    *(uint64_t *)(store->base + directory) = segment;
    header->directory = directory;
    header->depth = 0;
    return DONE;
}

static Entry *find_in(Segment *segment, const uint8_t *key, uint8_t tag)
{
    const uint8_t *at = segment->tags, *end = at + SEGMENT_SLOTS;
    while ((at = memchr(at, tag, (size_t)(end - at))) != NULL) {
        Entry *entry = segment->entries + (at - segment->tags);
        if (memcmp(entry->key, key, KEY_BYTES) == 0) return entry;
        if (++at == end) break;
    }
    return NULL;
}

/* Entry of a key; NULL when there is none. */
Entry *table_find(const Store *store, const uint8_t *key)
{
    const uint64_t hash = hash_of(store, key);
    Segment *segment = segment_for(store, hash);
    return segment == NULL ? NULL : find_in(segment, key, tag_byte(hash));
}

static Outcome double_directory(Store *store)
{
    Header *header = header_of(store);
    if (header->depth == MAXIMUM_DEPTH) return FULL;
    const uint64_t old = header->directory, slots = UINT64_C(1) << header->depth;
    uint32_t class = (uint32_t)(DIRECTORY_CLASS + header->depth + 1);
    uint64_t fresh;
    Outcome outcome = heap_allocate(store, &class, &fresh);
    if (outcome == DONE) outcome = store_protect(store, &header->directory, 2 * sizeof header->directory);
    if (outcome == DONE) outcome = heap_free(store, old, (uint32_t)(DIRECTORY_CLASS + header->depth));
    if (outcome != DONE) return outcome;
    const uint64_t *from = (const uint64_t *)(store->base + old);
    uint64_t *to = (uint64_t *)(store->base + fresh);
    for (uint64_t slot = 0; slot < slots; slot++) to[2 * slot] = to[2 * slot + 1] = from[slot];
    header->directory = fresh;
    header->depth++;
    return DONE;
}

static Outcome split(Store *store, Segment *segment, uint64_t hash)
{
    Header *header = header_of(store);
    Outcome outcome = segment->depth == header->depth ? double_directory(store) : DONE;
    uint32_t class = SEGMENT_CLASS;
    uint64_t offset[2];
    for (int half = 0; half < 2 && outcome == DONE; half++) outcome = heap_allocate(store, &class, &offset[half]);
    if (outcome == DONE) outcome = heap_free(store, (uint64_t)((uint8_t *)segment - store->base), SEGMENT_CLASS);
    if (outcome != DONE) return outcome;
    const uint8_t depth = (uint8_t)(segment->depth + 1);
    int used[2] = {0, 0};
    for (int half = 0; half < 2; half++) {
        Segment *fresh = (Segment *)(store->base + offset[half]);
        memset(fresh->tags, 0, sizeof fresh->tags);
        fresh->depth = depth;
    }
    for (int i = 0; i < SEGMENT_SLOTS; i++) {
        if (segment->tags[i] == 0) continue;
        const int half = hash_of(store, segment->entries[i].key) >> (64 - depth) & 1;
        Segment *fresh = (Segment *)(store->base + offset[half]);
        fresh->tags[used[half]] = segment->tags[i];
        fresh->entries[used[half]++] = segment->entries[i];
    }
    /* The slots of the old segment lie beside each other, first those of the hashes with a 0. */
    const uint64_t run = UINT64_C(1) << (header->depth - depth);
    uint64_t *slots = directory_of(store) + (slot_of(hash, depth - 1u) << 1) * run;
    outcome = store_protect(store, slots, 2 * run * sizeof *slots);
    if (outcome != DONE) return outcome;
    for (uint64_t i = 0; i < 2 * run; i++) slots[i] = offset[i >= run];
    store->moved = 1;
    return DONE;
}

/* Add a key that is not in the table. Sets store->moved when other entries have moved. */
Outcome table_insert(Store *store, const uint8_t *key, uint8_t kind, Entry **entry)
{
    Header *header = header_of(store);
    const uint64_t hash = hash_of(store, key);
    for (;;) {
        Segment *segment = segment_for(store, hash);
        if (segment == NULL) return DAMAGED;
        uint8_t *tag = memchr(segment->tags, 0, SEGMENT_SLOTS);
        Outcome outcome;
        if (tag == NULL) {
            outcome = split(store, segment, hash);
            if (outcome != DONE) return outcome;
            continue;
        }
        outcome = store_protect(store, tag, 1);
        if (outcome == DONE) outcome = store_protect(store, &header->keys, 2 * sizeof header->keys);
        if (outcome != DONE) return outcome;
        Entry *fresh = segment->entries + (tag - segment->tags);
        store_touch(store, fresh, sizeof *fresh);
        memset(fresh, 0, sizeof *fresh);
        memcpy(fresh->key, key, KEY_BYTES);
        fresh->kind = kind;
        *tag = tag_byte(hash);
        header->keys++;
        header->births++;
        *entry = fresh;
        return DONE;
    }
}

static Outcome reclaim(Store *store, Segment *segment, int i)
{
    Header *header = header_of(store);
    Entry *entry = segment->entries + i;
    Outcome outcome = store_protect(store, segment->tags + i, 1);
    if (outcome == DONE) outcome = store_protect(store, entry, sizeof *entry);
    if (outcome == DONE) outcome = store_protect(store, &header->keys, sizeof header->keys);
    /* What is not usable is left behind. */
    if (outcome == DONE && entry->exact.offset != 0 && heap_usable(store, &entry->exact, 0))
        outcome = heap_free(store, entry->exact.offset, entry->exact.class);
    if (outcome == DONE && entry->buckets.offset != 0 && heap_usable(store, &entry->buckets, 1))
        outcome = heap_free(store, entry->buckets.offset, entry->buckets.class);
    if (outcome != DONE) {
        store_abort(store);
        return outcome;
    }
    segment->tags[i] = 0;
    memset(entry, 0, sizeof *entry);
    header->keys--;
    outcome = store_commit(store);
    if (outcome == DONE) header->reclaimed++;
    return outcome;
}

/* Forget a key, in a transaction of its own. The lock is held. */
Outcome table_erase(Store *store, const uint8_t *key, int *found)
{
    const uint64_t hash = hash_of(store, key);
    Segment *segment = segment_for(store, hash);
    const Entry *entry = segment == NULL ? NULL : find_in(segment, key, tag_byte(hash));
    *found = entry != NULL;
    return entry == NULL ? DONE : reclaim(store, segment, (int)(entry - segment->entries));
}

/* Take the keys out of the next few segments whose newest event left every window of the store's newest event
 * `patience` horizons ago; each in a transaction of its own. */
Outcome table_sweep(Store *store, uint64_t segments, int64_t patience, uint64_t *reclaimed)
{
    Header *header = header_of(store);
    const uint64_t slots = table_slots(store);
    if (slots == 0) return DAMAGED;
    while (segments-- > 0) {
        const uint64_t slot = header->hand < slots ? header->hand : 0;
        Segment *segment = table_segment(store, slot);
        if (segment == NULL) return DAMAGED;
        header->hand = slot + (UINT64_C(1) << (header->depth - segment->depth));
        for (int i = 0; i < SEGMENT_SLOTS; i++) {
            const Entry *entry = segment->entries + i;
            if (segment->tags[i] == 0 || entry->kind >= KINDS) continue;
            if (entry->newest > header->latest - patience * store->kinds[entry->kind].horizon) continue;
            const Outcome outcome = reclaim(store, segment, i);
            if (outcome != DONE) return outcome;
            ++*reclaimed;
        }
    }
    return DONE;
}
