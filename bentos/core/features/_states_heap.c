/* Blocks: sizes come in classes, each with a list of free blocks; the rest is taken from the heap's end. */
#include "_states.h"

#include <string.h>

static const uint64_t free_mark = UINT64_C(0x6b636f6c62656572); /* in BlockHead.mark */

/* Steps of a third to a half: a block that just fits a growing key wastes a fifth of itself on average. */
static const uint16_t exact_sizes[EXACT_CLASSES] = {4,   6,   8,   12,  16,  24,   32,   48,   64,   96,   128,
                                                    192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 4608};
static const uint16_t bucket_sizes[BUCKET_CLASSES] = {8, 16, 32, 64, 128, 256, 512, 1152};

enum { EXACT_CELL = 34, BUCKET_CELL = 32, LINE = 64 };

int64_t exact_capacity(uint32_t class) { return exact_sizes[class]; }

int64_t bucket_capacity(uint32_t class) { return bucket_sizes[class - EXACT_CLASSES]; }

/* Smallest class for so many cells, with room for a quarter more where there is one. */
uint32_t exact_class(int64_t cells)
{
    uint32_t class = 0;
    while (class < EXACT_CLASSES - 1 && exact_sizes[class] < cells + cells / 4) class++;
    return class;
}

uint32_t bucket_class(int64_t cells)
{
    uint32_t class = 0;
    while (class < BUCKET_CLASSES - 1 && bucket_sizes[class] < cells + cells / 4) class++;
    return EXACT_CLASSES + class;
}

uint64_t class_bytes(uint32_t class)
{
    uint64_t bytes;
    if (class < EXACT_CLASSES) bytes = sizeof(BlockHead) + (uint64_t)exact_sizes[class] * EXACT_CELL;
    else if (class < SEGMENT_CLASS) bytes = sizeof(BlockHead) + (uint64_t)bucket_capacity(class) * BUCKET_CELL;
    else if (class == SEGMENT_CLASS) bytes = sizeof(Segment);
    else bytes = sizeof(uint64_t) << (class - DIRECTORY_CLASS);
    return (bytes + LINE - 1) / LINE * LINE;
}

/* Whether a range lies in the part of the heap that is in use. */
int heap_holds(const Store *store, uint64_t offset, uint64_t bytes)
{
    const Header *header = header_of(store);
    uint64_t end = header->top < header->size ? header->top : header->size;
    if (end > store->mapped) end = store->mapped;
    return offset >= HEAP_START && offset % LINE == 0 && offset <= end && bytes <= end - offset;
}

/* Take the first block of a free list; *offset is 0 when there is none. */
static Outcome pop(Store *store, uint32_t class, uint64_t *offset)
{
    Header *header = header_of(store);
    *offset = header->free[class];
    if (*offset == 0) return DONE;
    BlockHead *block = heap_holds(store, *offset, class_bytes(class)) ? (BlockHead *)(store->base + *offset) : NULL;
    const int sound = block != NULL && block->mark == (free_mark ^ class);
    Outcome outcome = store_protect(store, &header->free[class], sizeof header->free[class]);
    if (outcome == DONE && sound) outcome = store_protect(store, block, sizeof *block);
    if (outcome != DONE) return outcome;
    /* A list that leads nowhere is given up. */
    header->free[class] = sound ? block->owner : 0;
    if (!sound) *offset = 0;
    return DONE;
}

static Outcome find_block(Store *store, uint32_t *class, uint64_t *offset)
{
    Header *header = header_of(store);
    Outcome outcome = pop(store, *class, offset);
    if (outcome != DONE || *offset != 0) return outcome;
    const uint64_t at = header->top, end = at + class_bytes(*class);
    outcome = at < HEAP_START || at > header->size || at % LINE != 0 ? DAMAGED : store_grow(store, end);
    if (outcome == DONE) outcome = store_protect(store, &header->top, sizeof header->top);
    if (outcome == DONE) {
        header->top = end;
        *offset = at;
        return DONE;
    }
    const uint32_t last = *class < EXACT_CLASSES ? EXACT_CLASSES : *class < SEGMENT_CLASS ? SEGMENT_CLASS : 0;
    for (uint32_t larger = *class + 1; outcome != DAMAGED && larger < last; larger++) {
        const Outcome popped = pop(store, larger, offset);
        if (popped != DONE) return popped;
        if (*offset == 0) continue;
        *class = larger;
        return DONE;
    }
    return outcome;
}

/* Allocate a block of *class, to be written freely. When the heap is at its end, cells may get a larger free block,
 * whose class *class then is. */
Outcome heap_allocate(Store *store, uint32_t *class, uint64_t *offset)
{
    const Outcome outcome = find_block(store, class, offset);
    if (outcome == DONE) store_touch(store, store->base + *offset, class_bytes(*class));
    return outcome;
}

/* Free a block when the transaction commits: until then a rollback may need its content. */
Outcome heap_free(Store *store, uint64_t offset, uint32_t class)
{
    if (store->pending == PENDING_FREES) return FULL;
    store->pend[store->pending].offset = offset;
    store->pend[store->pending++].class = class;
    return DONE;
}

Outcome heap_release(Store *store)
{
    Header *header = header_of(store);
    for (; store->pending > 0; store->pending--) {
        const uint64_t offset = store->pend[store->pending - 1].offset;
        const uint32_t class = store->pend[store->pending - 1].class;
        BlockHead *block = (BlockHead *)(store->base + offset);
        Outcome outcome = store_protect(store, block, sizeof *block);
        if (outcome == DONE) outcome = store_protect(store, &header->free[class], sizeof header->free[class]);
        if (outcome != DONE) return outcome;
        *block = (BlockHead){header->free[class], free_mark ^ class};
        header->free[class] = offset;
    }
    return DONE;
}

/* Leave nothing of anybody in the first blocks of the list that was released: who is erased was in some of them. */
void heap_wipe(Store *store, int freed)
{
    for (int i = 0; i < freed; i++) {
        uint8_t *rest = store->base + store->pend[i].offset + sizeof(BlockHead);
        const size_t bytes = class_bytes(store->pend[i].class) - sizeof(BlockHead);
        store_touch(store, rest, bytes);
        memset(rest, 0, bytes);
    }
}

/* Whether an extent lies in the heap and its cells in the extent. */
int heap_usable(const Store *store, const Extent *extent, int buckets)
{
    if (extent->offset == 0) return extent->count == 0;
    const uint32_t first = buckets ? EXACT_CLASSES : 0, last = buckets ? SEGMENT_CLASS : EXACT_CLASSES;
    if (extent->class < first || extent->class >= last) return 0;
    const int64_t capacity = buckets ? bucket_capacity(extent->class) : exact_capacity(extent->class);
    return heap_holds(store, extent->offset, class_bytes(extent->class)) && extent->head + extent->count <= capacity &&
           extent->count <= (buckets ? MAXIMUM_BUCKETS : EXACT_EVENTS);
}

Exact exact_view(const Store *store, const Extent *extent)
{
    if (extent->offset == 0) return (Exact){0};
    const int64_t capacity = exact_capacity(extent->class), head = extent->head;
    uint8_t *cells = store->base + extent->offset + sizeof(BlockHead);
    Exact view;
    view.time = (int64_t *)cells + head;
    view.amount = (double *)(cells + 8 * capacity) + head;
    view.identity = (uint64_t *)(cells + 16 * capacity) + head;
    view.label = (int64_t *)(cells + 24 * capacity) + head;
    view.tag = (uint16_t *)(cells + 32 * capacity) + head;
    view.count = extent->count;
    view.room = capacity - head - extent->count;
    return view;
}

Buckets bucket_view(const Store *store, const Extent *extent)
{
    if (extent->offset == 0) return (Buckets){0};
    const int64_t capacity = bucket_capacity(extent->class), head = extent->head;
    uint8_t *cells = store->base + extent->offset + sizeof(BlockHead);
    Buckets view;
    view.time = (int64_t *)cells + head;
    view.amount = (double *)(cells + 8 * capacity) + head;
    view.squares = (double *)(cells + 16 * capacity) + head;
    view.events = (int32_t *)(cells + 24 * capacity) + head;
    view.frauds = (int32_t *)(cells + 28 * capacity) + head;
    view.count = extent->count;
    view.room = capacity - head - extent->count;
    return view;
}
