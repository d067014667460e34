/* Which pages of a store in memory have changed, for the copy of it that a disk keeps.
 *
 * The copy is made in rounds; each copies the store as it was at one instant, between two transactions, while rows go
 * on. A round begins by making every CHANGED page PENDING, under the lock. Its pages are taken a few at a time, under
 * the lock too; who changes one before that puts its old content aside first. A page is TAKEN until the round ends, so
 * that those of a copier that was killed are copied again.
 *
 * Marks are set before their pages are written, and undoing what a killed process had begun writes only pages that it
 * has marked: no change escapes.
 */
#define _GNU_SOURCE
#include "_states.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FIRST_PAGE = HEAP_START / PAGE, /* before it the header, which every round copies, and the journal, which none does */
    ASIDE_PAGES = 16384,            /* what is changed while a round is taken, some 0.1 s */
    ASIDE_STEP = 256,
    TURN_PAGES = 16,                /* some 10 us under the lock */
    PAUSES = 200,                   /* some 10 us, too */
    NUMBERS_START = PAGE,
    ASIDE_START = NUMBERS_START + ASIDE_PAGES * sizeof(uint64_t),
    MARKS_START = ASIDE_START + ASIDE_PAGES * PAGE,
};

static const uint64_t changes_magic = UINT64_C(0x317365676e616863); /* "changes1" */

static uint64_t *numbers_of(const Store *store) { return (uint64_t *)((uint8_t *)store->changes + NUMBERS_START); }

static uint8_t *aside_of(const Store *store) { return (uint8_t *)store->changes + ASIDE_START; }

static uint64_t pages_of(const Store *store) { return header_of(store)->size / PAGE; }

/* ---- the file ----------------------------------------------------------------------------------- */

/* Back the marks of a store of this size by memory. */
Outcome changes_allocate(Store *store, uint64_t size)
{
    if (store->changes == NULL) return DONE;
    errno = store_allocate(store->changes_fd, MARKS_START, MARKS_START + size / PAGE + 1);
    return errno == 0 ? DONE : NO_SPACE;
}

static int is_valid(const Store *store, uint64_t length)
{
    const Changes *changes = store->changes;
    return length > MARKS_START && changes->magic == changes_magic && changes->room <= ASIDE_PAGES &&
           changes->aside <= changes->room &&
           memcmp(changes->identity, header_of(store)->identity, IDENTITY_BYTES) == 0;
}

/* Take every page for changed: nobody knows better. */
static Outcome renew(Store *store)
{
    Changes *changes = store->changes;
    if (ftruncate(store->changes_fd, 0) != 0) return NO_SPACE;
    if ((errno = store_allocate(store->changes_fd, 0, ASIDE_START)) != 0) return NO_SPACE;
    const Outcome outcome = changes_allocate(store, header_of(store)->size);
    if (outcome != DONE) return outcome;
    memset(store->marks, CHANGED, pages_of(store));
    memcpy(changes->identity, header_of(store)->identity, IDENTITY_BYTES);
    changes->begun = changes->completed = header_of(store)->round;
    changes->changed = 1;
    IN_ORDER();
    changes->magic = changes_magic;
    return DONE;
}

/* Map the file of a mapped store's changes. Who joins finds it made; others are alone with it. Sets errno when it
 * fails. */
Outcome changes_open(Store *store, int join)
{
    struct stat about;
    if (fstat(store->changes_fd, &about) != 0) return NO_SPACE;
    const uint64_t length = (uint64_t)about.st_size, mapped = MARKS_START + store->mapped / PAGE + 1;
    if (join && length <= MARKS_START) return DAMAGED;
    uint8_t *base = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, store->changes_fd, 0);
    if (base == MAP_FAILED) return NO_SPACE;
    madvise(base, mapped, MADV_DONTDUMP);
    store->changes = (Changes *)base;
    store->marks = base + MARKS_START;
    store->changes_mapped = mapped;
    const int valid = length >= PAGE && is_valid(store, length);
    if (join) return valid ? DONE : DAMAGED;
    return valid ? changes_allocate(store, header_of(store)->size) : renew(store);
}

void changes_unmap(Store *store)
{
    if (store->changes != NULL) munmap(store->changes, store->changes_mapped);
    store->changes = NULL;
}

/* ---- who changes pages -------------------------------------------------------------------------- */

static int put_aside(Store *store, uint64_t page)
{
    Changes *changes = store->changes;
    if (changes->aside == changes->room) {
        const uint64_t end = changes->room + ASIDE_STEP;
        if (end > ASIDE_PAGES || store_allocate(store->changes_fd, ASIDE_START + changes->room * PAGE,
                                                ASIDE_START + end * PAGE) != 0)
            return 0;
        changes->room = end;
    }
    memcpy(aside_of(store) + changes->aside * PAGE, store->base + page * PAGE, PAGE);
    numbers_of(store)[changes->aside] = page;
    IN_ORDER();
    changes->aside++;
    return 1;
}

/* Mark a page that is not marked as changed. */
void changes_note(Store *store, uint64_t page)
{
    /* Without room the copy will be of more than one instant, as any file that a power cut leaves. */
    if (store->marks[page] == PENDING && !put_aside(store, page)) store->changes->torn = 1;
    IN_ORDER();
    store->marks[page] = CHANGED;
    store->changes->changed++;
    IN_ORDER();
}

/* ---- who copies them ---------------------------------------------------------------------------- */

/* Begin a round and take the header; takes nothing when nothing has changed. */
Outcome changes_begin(Store *store, Chunk *chunk)
{
    Changes *changes = store->changes;
    chunk->count = 0;
    const Outcome outcome = store_lock(store, 1);
    if (outcome != DONE) return outcome;
    if (changes->changed != 0 || changes->begun != changes->completed) {
        const uint64_t pages = pages_of(store);
        header_of(store)->round = ++changes->begun;
        changes->aside = changes->torn = 0;
        for (uint64_t page = 0; page < pages; page++) store->marks[page] = store->marks[page] ? PENDING : 0;
        memset(store->marks, 0, FIRST_PAGE);
        changes->changed = 0;
        memcpy(chunk->page[0], store->base, PAGE);
        chunk->number[0] = 0;
        chunk->count = 1;
    }
    store_unlock(store);
    Header *header = (Header *)chunk->page[0];
    memset(&header->lock, 0, sizeof header->lock);
    header->journal_used = 0;
    store->cursor = FIRST_PAGE;
    store->aside_cursor = 0;
    return DONE;
}

/* Take the next few pending pages; the lock is held. Returns whether there may be more. */
static int take(Store *store, Chunk *chunk)
{
    const uint64_t pages = pages_of(store);
    for (int turn = 0; turn < TURN_PAGES && chunk->count < CHUNK_PAGES; turn++) {
        const uint8_t *mark =
            store->cursor < pages ? memchr(store->marks + store->cursor, PENDING, pages - store->cursor) : NULL;
        if (mark == NULL) {
            store->cursor = pages;
            return 0;
        }
        const uint64_t page = (uint64_t)(mark - store->marks);
        memcpy(chunk->page[chunk->count], store->base + page * PAGE, PAGE);
        chunk->number[chunk->count++] = page;
        store->marks[page] = TAKEN;
        store->cursor = page + 1;
    }
    return 1;
}

/* Leave the lock to who waits for it, for as long as a turn takes; not the processor, which may be back much later. */
static void let_others(void)
{
#if defined(__x86_64__)
    for (int pause = 0; pause < PAUSES; pause++) __builtin_ia32_pause();
#else
    sched_yield();
#endif
}

/* Take the next pages of the round; none when all are taken. */
Outcome changes_gather(Store *store, Chunk *chunk)
{
    chunk->count = 0;
    for (int more = 1; more && chunk->count < CHUNK_PAGES;) {
        const Outcome outcome = store_lock(store, 1);
        if (outcome != DONE) return outcome;
        more = take(store, chunk);
        store_unlock(store);
        let_others();
    }
    if (chunk->count > 0) return DONE;
    /* Nothing is pending any more, so nothing more is put aside. */
    for (; chunk->count < CHUNK_PAGES && store->aside_cursor < store->changes->aside; store->aside_cursor++) {
        memcpy(chunk->page[chunk->count], aside_of(store) + store->aside_cursor * PAGE, PAGE);
        chunk->number[chunk->count++] = numbers_of(store)[store->aside_cursor];
    }
    return DONE;
}

/* End a round whose pages are safe, or in which there was nothing to do. `instant`: when it began. */
Outcome changes_end(Store *store, int64_t instant)
{
    Changes *changes = store->changes;
    const Outcome outcome = store_lock(store, 1);
    if (outcome != DONE) return outcome;
    const uint64_t pages = changes->completed == changes->begun ? 0 : pages_of(store);
    for (uint64_t page = FIRST_PAGE; page < pages; page++)
        store->marks[page] = store->marks[page] == TAKEN ? 0 : store->marks[page];
    changes->completed = changes->begun;
    changes->copied = instant;
    store_unlock(store);
    return DONE;
}

/* Ask for a copy of all that has been changed; it is made when so many rounds are completed. */
Outcome changes_want(Store *store, uint64_t *round)
{
    Changes *changes = store->changes;
    const Outcome outcome = store_lock(store, 1);
    if (outcome != DONE) return outcome;
    *round = changes->begun + (changes->changed != 0);
    if (*round > changes->wanted) changes->wanted = *round;
    store_unlock(store);
    return DONE;
}

/* Write taken pages where they belong in a file, which becomes as long as its header says; sets errno when it fails. */
int changes_apply(int fd, const Chunk *chunk)
{
    struct stat about;
    if (chunk->count == 0 || chunk->count > CHUNK_PAGES) {
        errno = EINVAL;
        return -1;
    }
    if (chunk->number[0] == 0) {
        const off_t size = (off_t)((const Header *)chunk->page[0])->size;
        if (fstat(fd, &about) != 0 || (about.st_size < size && ftruncate(fd, size) != 0)) return -1;
    }
    for (uint64_t i = 0, next; i < chunk->count; i = next) {
        for (next = i + 1; next < chunk->count && chunk->number[next] == chunk->number[next - 1] + 1;) next++;
        const uint8_t *from = chunk->page[i];
        off_t at = (off_t)(chunk->number[i] * PAGE);
        for (size_t left = (next - i) * PAGE; left > 0;) {
            const ssize_t written = pwrite(fd, from, left, at);
            if (written < 0 && errno == EINTR) continue;
            if (written < 0) return -1;
            from += written;
            at += written;
            left -= (size_t)written;
        }
    }
    return 0;
}
