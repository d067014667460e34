/* The Python type States: a process's view of the file. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "_states.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { ROWS_WORTH_THE_GIL = 64 };
#define LARGEST_CAPACITY (UINT64_C(1) << 46)

typedef struct {
    PyObject_HEAD
    Store store;
    int open, users, closing; /* users: calls that run without the GIL; the last one closes */
    int64_t width;
    int lock_fd; /* of the file on a disk whose copy in memory this is; holding it open holds its lock */
} States;

static int acquire(PyObject *object, const char *name, Py_ssize_t itemsize, int flags, Py_buffer *view)
{
    if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | flags) < 0) return -1;
    if (view->itemsize != itemsize) {
        PyErr_Format(PyExc_TypeError, "%s has items of %zd bytes, needed are %zd", name, view->itemsize, itemsize);
        PyBuffer_Release(view);
        return -1;
    }
    return 0;
}

static int check_open(const States *self)
{
    if (self->open && !self->closing) return 0;
    PyErr_SetString(PyExc_ValueError, "the feature store is closed");
    return -1;
}

static void close_store(States *self)
{
    if (!self->open) return;
    self->open = 0;
    store_unmap(&self->store);
    close(self->store.fd);
    if (self->store.changes_fd >= 0) close(self->store.changes_fd);
    if (self->lock_fd >= 0) close(self->lock_fd);
}

static void leave(States *self)
{
    if (--self->users == 0 && self->closing) close_store(self);
}

static PyObject *outcome_object(Outcome outcome) { return PyLong_FromLong((long)outcome); }

/* ---- opening ------------------------------------------------------------------------------------ */

static int read_window(PyObject *item, Window *window)
{
    long long span, asked;
    if (!PyTuple_Check(item) || !PyArg_ParseTuple(item, "LL:window", &span, &asked)) return -1;
    if (span <= 0 || span >= LATEST_TIME || asked < 1 || asked > (COUNT | FRAUDS | TOTAL | SQUARES)) {
        PyErr_SetString(PyExc_ValueError, "a window has a positive span and asks for some statistics");
        return -1;
    }
    *window = (Window){span, (uint32_t)asked};
    return 0;
}

static int read_kind(PyObject *item, Kind *kind)
{
    long long delay, horizon;
    int last;
    PyObject *windows;
    if (!PyTuple_Check(item) || !PyArg_ParseTuple(item, "LLpO!:kind", &delay, &horizon, &last, &PyTuple_Type, &windows))
        return -1;
    const Py_ssize_t count = PyTuple_Size(windows);
    if (delay < 0 || horizon <= delay || horizon > MAXIMUM_BUCKETS * HOUR || count < 0 || count > MAXIMUM_WINDOWS) {
        PyErr_SetString(PyExc_ValueError, "a kind has 0 <= delay < horizon, in hours no more than buckets, and few windows");
        return -1;
    }
    *kind = (Kind){.delay = delay, .horizon = horizon, .last = last, .windows = (int)count};
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *window = PyTuple_GetItem(windows, i);
        if (window == NULL || read_window(window, kind->window + i) < 0) return -1;
    }
    return 0;
}

static int read_kinds(States *self, PyObject *kinds)
{
    if (PyTuple_Size(kinds) != KINDS) {
        PyErr_Format(PyExc_ValueError, "needed are %d kinds", KINDS);
        return -1;
    }
    for (int i = 0; i < KINDS; i++) {
        PyObject *item = PyTuple_GetItem(kinds, i);
        if (item == NULL || read_kind(item, self->store.kinds + i) < 0) return -1;
        self->width += windows_width(self->store.kinds + i);
    }
    return 0;
}

static int open_store(States *self, const char *how, uint64_t capacity, const uint8_t *schema,
                      const uint8_t *fingerprint, const uint8_t *boot)
{
    Outcome outcome;
    errno = 0;
    if (strcmp(how, "create") == 0) {
        outcome = store_create(&self->store, capacity, schema, fingerprint, boot);
    } else {
        outcome = store_map(&self->store, capacity);
        if (outcome == DONE && strcmp(how, "recover") == 0) outcome = store_recover(&self->store, boot);
        else if (outcome == DONE && self->store.changes_fd >= 0) outcome = changes_open(&self->store, 1);
    }
    if (outcome == DONE) return 0;
    if (outcome == DAMAGED) PyErr_SetString(PyExc_ValueError, "its content is damaged");
    else PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

/* Keep a descriptor for as long as the store is open; -1 is none. */
static int keep(int fd, int *kept)
{
    *kept = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0 || *kept >= 0) return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static PyObject *states_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    int fd, wait_milliseconds, changes = -1, lock = -1;
    const char *how, *schema, *fingerprint, *boot;
    Py_ssize_t lengths[3];
    unsigned long long capacity;
    PyObject *kinds;
    if (kwargs != NULL && PyDict_Size(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "States takes positional arguments only");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "isKy#y#y#O!i|ii:States", &fd, &how, &capacity, &schema, lengths, &fingerprint,
                          lengths + 1, &boot, lengths + 2, &PyTuple_Type, &kinds, &wait_milliseconds, &changes, &lock))
        return NULL;
    if (lengths[0] != 32 || lengths[1] != 16 || lengths[2] != 16) {
        PyErr_SetString(PyExc_ValueError, "the schema has 32 bytes, fingerprint and boot 16");
        return NULL;
    }
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (capacity < 2 << 20 || capacity > LARGEST_CAPACITY || wait_milliseconds < 0) {
        PyErr_SetString(PyExc_ValueError, "the capacity is 2 MiB to 64 TiB, the wait not negative");
        return NULL;
    }
    States *self = (States *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL) return NULL;
    self->store.fd = self->store.changes_fd = self->lock_fd = -1;
    self->store.wait_microseconds = (int64_t)wait_milliseconds * 1000;
    if (read_kinds(self, kinds) < 0) goto fail;
    if (keep(fd, &self->store.fd) < 0) goto fail;
    self->open = 1;
    if (keep(changes, &self->store.changes_fd) < 0 || keep(lock, &self->lock_fd) < 0) goto fail;
    if (open_store(self, how, capacity / page * page, (const uint8_t *)schema, (const uint8_t *)fingerprint,
                   (const uint8_t *)boot) == 0)
        return (PyObject *)self;
fail:
    Py_DECREF((PyObject *)self);
    return NULL;
}

static void states_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    close_store((States *)object);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF((PyObject *)type);
}

static PyObject *states_close(PyObject *object, PyObject *unused)
{
    (void)unused;
    States *self = (States *)object;
    self->closing = 1;
    if (self->users == 0) close_store(self);
    Py_RETURN_NONE;
}

/* ---- looking up --------------------------------------------------------------------------------- */

static PyObject *states_lookup(PyObject *object, PyObject *args)
{
    States *self = (States *)object;
    PyObject *objects[3], *result = NULL;
    long long now;
    if (!PyArg_ParseTuple(args, "OOOL:lookup", objects, objects + 1, objects + 2, &now)) return NULL;
    if (check_open(self) < 0) return NULL;
    Py_buffer rows, out, outcomes;
    if (acquire(objects[0], "rows", 1, 0, &rows) < 0) return NULL;
    if (acquire(objects[1], "out", 8, PyBUF_WRITABLE, &out) < 0) goto no_out;
    if (acquire(objects[2], "outcomes", 1, PyBUF_WRITABLE, &outcomes) < 0) goto no_outcomes;
    const int64_t count = rows.len / (Py_ssize_t)sizeof(Row);
    const Row *row = rows.buf;
    int sound = rows.len == count * (int64_t)sizeof(Row) && out.len / 8 == count * self->width && outcomes.len == count &&
                (uintptr_t)rows.buf % _Alignof(Row) == 0 && now >= 0 && now < LATEST_TIME;
    for (int64_t i = 0; sound && i < count; i++) sound = rows_valid(row + i);
    if (!sound) {
        PyErr_SetString(PyExc_ValueError, "rows, out and outcomes do not fit together, or a row is out of range");
        goto done;
    }
    int worst;
    const int held = count > 0 && count < ROWS_WORTH_THE_GIL && store_lock(&self->store, 0) == DONE;
    if (held) {
        worst = rows_lookup(&self->store, row, count, now, out.buf, outcomes.buf, 1);
    } else {
        self->users++;
        Py_BEGIN_ALLOW_THREADS
        worst = rows_lookup(&self->store, row, count, now, out.buf, outcomes.buf, 0);
        Py_END_ALLOW_THREADS
        leave(self);
    }
    result = PyLong_FromLong(worst);
done:
    PyBuffer_Release(&outcomes);
no_outcomes:
    PyBuffer_Release(&out);
no_out:
    PyBuffer_Release(&rows);
    return result;
}

static PyObject *states_label(PyObject *object, PyObject *args)
{
    States *self = (States *)object;
    const char *keys, *source = "";
    Py_ssize_t length, source_length = 0;
    unsigned long long identity, serial = 0;
    long long event_time, label_time;
    if (!PyArg_ParseTuple(args, "y#KLL|y#K:label", &keys, &length, &identity, &event_time, &label_time, &source,
                          &source_length, &serial))
        return NULL;
    if (check_open(self) < 0) return NULL;
    const int delivered = source_length != 0;
    if (delivered && (source_length != IDENTITY_BYTES || serial < 1 || serial >= (unsigned long long)LATEST_TIME)) {
        PyErr_Format(PyExc_ValueError, "a delivery has a source of %d bytes and a serial from 1 to 2**53 - 1",
                     IDENTITY_BYTES);
        return NULL;
    }
    const Delivery delivery = {delivered ? (const uint8_t *)source : NULL, serial};
    if (length != KINDS * KEY_BYTES || event_time < 0 || event_time >= LATEST_TIME || label_time < 0 ||
        (label_time >= LATEST_TIME && label_time != NO_LABEL)) {
        PyErr_SetString(PyExc_ValueError, "a label has the keys of every kind, and times in range");
        return NULL;
    }
    Outcome outcome;
    self->users++;
    Py_BEGIN_ALLOW_THREADS
    outcome = rows_label(&self->store, (const uint8_t *)keys, identity, event_time, label_time, &delivery);
    Py_END_ALLOW_THREADS
    leave(self);
    return outcome_object(outcome);
}

/* ---- whole states ------------------------------------------------------------------------------- */

static int check_offsets(const int64_t *offsets, const int64_t *buckets, int64_t keys, int64_t cells)
{
    int good = offsets[0] == 0 && offsets[keys] == cells;
    for (int64_t key = 0; good && key < keys; key++)
        good = offsets[key] <= offsets[key + 1] && offsets[key + 1] <= cells && buckets[key] >= 0 &&
               buckets[key] <= offsets[key + 1] - offsets[key];
    return good;
}

static PyObject *states_fill(PyObject *object, PyObject *args)
{
    States *self = (States *)object;
    static const struct { const char *name; Py_ssize_t itemsize; } parts[4] = {
        {"hashes", 1}, {"offsets", 8}, {"buckets", 8}, {"cells", sizeof(Cell)}};
    PyObject *objects[4], *result = NULL;
    Py_buffer views[4];
    int kind, held = 0;
    if (!PyArg_ParseTuple(args, "iOOOO:fill", &kind, objects, objects + 1, objects + 2, objects + 3)) return NULL;
    if (check_open(self) < 0) return NULL;
    for (; held < 4; held++)
        if (acquire(objects[held], parts[held].name, parts[held].itemsize, 0, views + held) < 0) goto done;
    const int64_t keys = views[2].len / 8;
    if (kind < 0 || kind >= KINDS || views[1].len / 8 != keys + 1 || views[0].len != keys * KEY_BYTES ||
        !check_offsets(views[1].buf, views[2].buf, keys, views[3].len / (Py_ssize_t)sizeof(Cell))) {
        PyErr_SetString(PyExc_ValueError, "hashes, offsets, buckets and cells do not fit together");
        goto done;
    }
    Outcome outcome;
    uint64_t unsound = 0;
    self->users++;
    Py_BEGIN_ALLOW_THREADS
    outcome = bulk_fill(&self->store, kind, keys, views[0].buf, views[1].buf, views[2].buf, views[3].buf, &unsound);
    Py_END_ALLOW_THREADS
    leave(self);
    result = Py_BuildValue("iK", (int)outcome, (unsigned long long)unsound);
done:
    while (held > 0) PyBuffer_Release(views + --held);
    return result;
}

static PyObject *states_set_filled(PyObject *object, PyObject *unused)
{
    (void)unused;
    States *self = (States *)object;
    if (check_open(self) < 0) return NULL;
    const Outcome outcome = store_lock(&self->store, 1);
    if (outcome != DONE) return outcome_object(outcome);
    Header *header = header_of(&self->store);
    store_touch(&self->store, &header->filled, sizeof header->filled);
    header->filled = 1;
    store_unlock(&self->store);
    return outcome_object(DONE);
}

static PyObject *states_carry(PyObject *object, PyObject *args)
{
    States *self = (States *)object;
    int fd;
    long long now;
    uint64_t kept = 0, dropped = 0;
    if (!PyArg_ParseTuple(args, "iL:carry", &fd, &now)) return NULL;
    if (check_open(self) < 0) return NULL;
    Outcome outcome;
    self->users++;
    Py_BEGIN_ALLOW_THREADS
    outcome = bulk_carry(&self->store, fd, now, &kept, &dropped);
    Py_END_ALLOW_THREADS
    leave(self);
    return Py_BuildValue("iKK", (int)outcome, (unsigned long long)kept, (unsigned long long)dropped);
}

static PyObject *states_read(PyObject *object, PyObject *args)
{
    States *self = (States *)object;
    const char *key;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "y#:read", &key, &length)) return NULL;
    if (check_open(self) < 0) return NULL;
    if (length != KEY_BYTES) {
        PyErr_Format(PyExc_ValueError, "a key has %d bytes", KEY_BYTES);
        return NULL;
    }
    const Py_ssize_t room = EXACT_EVENTS + MAXIMUM_BUCKETS;
    Cell *cells = PyMem_Malloc((size_t)room * sizeof *cells);
    if (cells == NULL) return PyErr_NoMemory();
    int64_t buckets = 0, count = 0;
    const Outcome outcome = store_lock(&self->store, 1);
    if (outcome == DONE) {
        count = bulk_read(&self->store, (const uint8_t *)key, cells, room, &buckets);
        store_unlock(&self->store);
    }
    if (outcome != DONE) {
        PyMem_Free(cells);
        PyErr_SetString(PyExc_TimeoutError, "its lock was not free in time");
        return NULL;
    }
    PyObject *result = Py_BuildValue("y#L", (const char *)cells, (Py_ssize_t)(count * (int64_t)sizeof *cells),
                                     (long long)buckets);
    PyMem_Free(cells);
    return result;
}

static PyObject *states_erase(PyObject *object, PyObject *args)
{
    States *self = (States *)object;
    const char *key;
    Py_ssize_t length;
    int found = 0;
    if (!PyArg_ParseTuple(args, "y#:erase", &key, &length)) return NULL;
    if (check_open(self) < 0) return NULL;
    if (length != KEY_BYTES) {
        PyErr_Format(PyExc_ValueError, "a key has %d bytes", KEY_BYTES);
        return NULL;
    }
    Outcome outcome = store_lock(&self->store, 1);
    if (outcome == DONE) {
        outcome = table_erase(&self->store, (const uint8_t *)key, &found);
        store_unlock(&self->store);
    }
    return Py_BuildValue("iN", (int)outcome, PyBool_FromLong(found));
}

static PyObject *states_note_latest(PyObject *object, PyObject *args)
{
    States *self = (States *)object;
    long long time;
    if (!PyArg_ParseTuple(args, "L:note_latest", &time)) return NULL;
    if (check_open(self) < 0) return NULL;
    const Outcome outcome = store_lock(&self->store, 1);
    if (outcome != DONE) return outcome_object(outcome);
    Header *header = header_of(&self->store);
    store_touch(&self->store, &header->latest, sizeof header->latest);
    if (time > header->latest && time < LATEST_TIME) header->latest = time;
    store_unlock(&self->store);
    return outcome_object(DONE);
}

static PyObject *states_latest(PyObject *object, void *closure)
{
    (void)closure;
    States *self = (States *)object;
    if (check_open(self) < 0) return NULL;
    return PyLong_FromLongLong(header_of(&self->store)->latest);
}

/* ---- copying ------------------------------------------------------------------------------------ */

static int check_copied(const States *self)
{
    if (check_open(self) < 0) return -1;
    if (self->store.changes != NULL) return 0;
    PyErr_SetString(PyExc_ValueError, "the feature store does not lie in memory: there is nothing to copy");
    return -1;
}

static int acquire_chunk(PyObject *object, int flags, Py_buffer *view)
{
    if (acquire(object, "chunk", 1, flags, view) < 0) return -1;
    if (view->len == (Py_ssize_t)sizeof(Chunk) && (uintptr_t)view->buf % _Alignof(Chunk) == 0) return 0;
    PyErr_Format(PyExc_ValueError, "a chunk has %zd bytes", (Py_ssize_t)sizeof(Chunk));
    PyBuffer_Release(view);
    return -1;
}

static PyObject *taken_object(Outcome outcome, uint64_t count)
{
    if (outcome == DONE) return PyLong_FromUnsignedLongLong(count);
    if (outcome == BUSY) PyErr_SetString(PyExc_TimeoutError, "its lock was not free in time");
    else PyErr_SetString(PyExc_ValueError, "its content is damaged");
    return NULL;
}

static PyObject *taken(PyObject *object, PyObject *target, Outcome (*take)(Store *, Chunk *))
{
    States *self = (States *)object;
    Py_buffer view;
    if (check_copied(self) < 0 || acquire_chunk(target, PyBUF_WRITABLE, &view) < 0) return NULL;
    Chunk *chunk = view.buf;
    Outcome outcome;
    self->users++;
    Py_BEGIN_ALLOW_THREADS
    outcome = take(&self->store, chunk);
    Py_END_ALLOW_THREADS
    leave(self);
    const uint64_t count = chunk->count;
    PyBuffer_Release(&view);
    return taken_object(outcome, count);
}

static PyObject *states_begin_copy(PyObject *object, PyObject *chunk) { return taken(object, chunk, changes_begin); }

static PyObject *states_take_pages(PyObject *object, PyObject *chunk) { return taken(object, chunk, changes_gather); }

static PyObject *states_end_copy(PyObject *object, PyObject *args)
{
    States *self = (States *)object;
    long long instant;
    if (!PyArg_ParseTuple(args, "L:end_copy", &instant) || check_copied(self) < 0) return NULL;
    return taken_object(changes_end(&self->store, instant), 0);
}

static PyObject *states_want_copy(PyObject *object, PyObject *unused)
{
    (void)unused;
    States *self = (States *)object;
    uint64_t round = 0;
    if (check_copied(self) < 0) return NULL;
    const Outcome outcome = changes_want(&self->store, &round);
    return taken_object(outcome, round);
}

static PyObject *states_copying(PyObject *object, void *closure)
{
    (void)closure;
    States *self = (States *)object;
    if (check_open(self) < 0) return NULL;
    const Changes *changes = self->store.changes;
    if (changes == NULL) Py_RETURN_NONE;
    return Py_BuildValue("KKOOLK", (unsigned long long)changes->completed, (unsigned long long)changes->wanted,
                         changes->changed || changes->begun != changes->completed ? Py_True : Py_False,
                         changes->torn ? Py_True : Py_False, (long long)changes->copied,
                         (unsigned long long)changes->begun);
}

static PyObject *states_identity(PyObject *object, void *closure)
{
    (void)closure;
    States *self = (States *)object;
    if (check_open(self) < 0) return NULL;
    return PyBytes_FromStringAndSize((const char *)header_of(&self->store)->identity, IDENTITY_BYTES);
}

/* ---- about the store ---------------------------------------------------------------------------- */

static PyObject *states_stats(PyObject *object, PyObject *unused)
{
    (void)unused;
    States *self = (States *)object;
    if (check_open(self) < 0) return NULL;
    const Outcome outcome = store_lock(&self->store, 1);
    if (outcome != DONE) return PyDict_New();
    const Header header = *header_of(&self->store);
    store_unlock(&self->store);
    const unsigned long long used = header.top;
    return Py_BuildValue("{s:K,s:K,s:K,s:K,s:K,s:K,s:K,s:K}", "keys", (unsigned long long)header.keys, "used_bytes", used,
                         "file_bytes", (unsigned long long)header.size, "capacity_bytes",
                         (unsigned long long)header.capacity, "rolled_back", (unsigned long long)header.rolled_back,
                         "reclaimed", (unsigned long long)header.reclaimed, "dropped", (unsigned long long)header.dropped,
                         "unrecorded", (unsigned long long)header.unrecorded);
}

static PyObject *states_filled(PyObject *object, void *closure)
{
    (void)closure;
    States *self = (States *)object;
    if (check_open(self) < 0) return NULL;
    return PyBool_FromLong(header_of(&self->store)->filled != 0);
}

/* Whether the lock can be had and the content be used: an Outcome. */
static PyObject *states_check(PyObject *object, PyObject *unused)
{
    (void)unused;
    States *self = (States *)object;
    if (check_open(self) < 0) return NULL;
    const Outcome outcome = store_lock(&self->store, 1);
    if (outcome == DONE) store_unlock(&self->store);
    return outcome_object(outcome);
}

static PyObject *states_width(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromLongLong(((States *)object)->width);
}

/* What a file says of itself: None when it is new, else (version, schema, fingerprint, boot, capacity, identity,
 * in_memory, round). */
static PyObject *inspect(PyObject *module, PyObject *args)
{
    (void)module;
    int fd;
    Header header = {0};
    if (!PyArg_ParseTuple(args, "i:inspect", &fd)) return NULL;
    const ssize_t size = pread(fd, &header, sizeof header, 0);
    if (size < 0) return PyErr_SetFromErrno(PyExc_OSError);
    if (header.magic == 0) Py_RETURN_NONE;
    if (header.magic != store_magic || size < (ssize_t)sizeof header) {
        PyErr_SetString(PyExc_ValueError, "it does not begin as a feature store");
        return NULL;
    }
    const int fits = header.header_bytes == sizeof header ||
                     (header.version == 1 && header.header_bytes == offsetof(Header, identity));
    const unsigned version = fits ? header.version : UINT32_MAX;
    return Py_BuildValue("Iy#y#y#Ky#NK", version, (const char *)header.schema, (Py_ssize_t)sizeof header.schema,
                         (const char *)header.fingerprint, (Py_ssize_t)sizeof header.fingerprint,
                         (const char *)header.boot, (Py_ssize_t)sizeof header.boot, (unsigned long long)header.capacity,
                         (const char *)header.identity, (Py_ssize_t)IDENTITY_BYTES,
                         PyBool_FromLong(header.in_memory != 0), (unsigned long long)header.round);
}

static PyMethodDef states_methods[] = {
    {"lookup", states_lookup, METH_VARARGS,
     "lookup(rows, out, outcomes, now): fill out, float64 [width, n], and an outcome for each row; the worst outcome."},
    {"label", states_label, METH_VARARGS,
     "label(keys, identity, event_time, label_time, source=b'', serial=0): an outcome; DONE for what came before, too."},
    {"fill", states_fill, METH_VARARGS, "fill(kind, hashes, offsets, buckets, cells): outcome, number of unsound states."},
    {"set_filled", states_set_filled, METH_NOARGS, "Note that the snapshot is in; an outcome."},
    {"carry", states_carry, METH_VARARGS, "carry(fd, now): outcome, keys kept, keys dropped, of another file."},
    {"read", states_read, METH_VARARGS, "read(key): a key's cells as bytes, and how many of them are buckets."},
    {"erase", states_erase, METH_VARARGS, "erase(key): outcome, whether the key was there."},
    {"note_latest", states_note_latest, METH_VARARGS, "note_latest(time): an event of that time was taken over; an outcome."},
    {"begin_copy", states_begin_copy, METH_O,
     "begin_copy(chunk): begin a round and take its first page; returns the number taken, 0 when nothing has changed."},
    {"take_pages", states_take_pages, METH_O,
     "take_pages(chunk): take the round's next pages, as they were when it began; returns how many, 0 at the end."},
    {"end_copy", states_end_copy, METH_VARARGS, "end_copy(instant): the round's pages are safe."},
    {"want_copy", states_want_copy, METH_NOARGS,
     "Ask for a copy of all that has been changed: made when so many rounds are completed."},
    {"stats", states_stats, METH_NOARGS, "Numbers for operators; empty when the lock cannot be had."},
    {"check", states_check, METH_NOARGS, "Whether the store can be used: an outcome."},
    {"close", states_close, METH_NOARGS, "Unmap and close the file."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef states_getters[] = {
    {"filled", states_filled, NULL, "Whether a snapshot has been taken over.", NULL},
    {"latest", states_latest, NULL, "Time of the newest event, 0 when there is none.", NULL},
    {"identity", states_identity, NULL, "Random bytes that a store in memory and its file on a disk have in common.", NULL},
    {"copying", states_copying, NULL,
     "None unless it lies in memory; else rounds completed, rounds wanted, whether there is something to copy, whether"
     " the last round was of more than one instant, the last complete round's instant, and rounds begun.",
     NULL},
    {"width", states_width, NULL, "Statistics of a row.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot states_slots[] = {
    {Py_tp_new, states_new},
    {Py_tp_dealloc, states_dealloc},
    {Py_tp_methods, states_methods},
    {Py_tp_getset, states_getters},
    {Py_tp_doc, "States(fd, how, capacity, schema, fingerprint, boot, kinds, wait_milliseconds, changes=-1, lock=-1)"},
    {0, NULL},
};

static PyType_Spec states_spec = {
    .name = "bentos.core.features._states.States",
    .basicsize = sizeof(States),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = states_slots,
};

static PyObject *start_writing(PyObject *module, PyObject *args)
{
    (void)module;
    int fd, failed;
    long long offset, bytes;
    if (!PyArg_ParseTuple(args, "iLL:start_writing", &fd, &offset, &bytes)) return NULL;
    Py_BEGIN_ALLOW_THREADS
    failed = sync_file_range(fd, offset, bytes, SYNC_FILE_RANGE_WRITE);
    Py_END_ALLOW_THREADS
    if (failed) return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *write_pages(PyObject *module, PyObject *args)
{
    (void)module;
    int fd, failed;
    PyObject *source;
    Py_buffer view;
    if (!PyArg_ParseTuple(args, "iO:write_pages", &fd, &source) || acquire_chunk(source, 0, &view) < 0) return NULL;
    Py_BEGIN_ALLOW_THREADS
    failed = changes_apply(fd, view.buf);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&view);
    if (failed) return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

typedef struct {
    int64_t time;
    double amount;
    uint64_t identity;
} EventRecord;

typedef struct {
    int64_t time;
    double amount, squares;
    int32_t events, frauds;
    double events_through, frauds_through; /* with all before it; not used here */
} BucketRecord;

/* A row as another store answers it: a piece of bytes with events, one with buckets, of each where its records begin and
 * how many there are; which of the events is the row's own, -1 when none. The pieces follow, then the statistics of the
 * other kinds. */
typedef struct {
    int32_t event_bytes, event_start, events;
    int32_t hour_bytes, hour_start, hours;
    int32_t own;
} AnswerHead;

static int fits(int32_t bytes, int32_t start, int32_t count, size_t width, int32_t most)
{
    return bytes >= 0 && start >= 0 && count >= 0 && count <= most && (count == 0 || start + (int64_t)(count * width) <= bytes);
}

static void answer_statistics(const Kind *kind, const AnswerHead *head, const char *events, const char *hours, int64_t time,
                              double *out, int64_t stride)
{
    int64_t event_time[EXACT_EVENTS], hour_time[MAXIMUM_BUCKETS];
    double amount[EXACT_EVENTS], total[MAXIMUM_BUCKETS], squares[MAXIMUM_BUCKETS];
    int32_t number[MAXIMUM_BUCKETS], frauds[MAXIMUM_BUCKETS];
    for (int32_t i = 0; i < head->events; i++) {
        EventRecord record;
        memcpy(&record, events + i * sizeof record, sizeof record);
        event_time[i] = record.time;
        amount[i] = record.amount;
    }
    for (int32_t i = 0; i < head->hours; i++) {
        BucketRecord record;
        memcpy(&record, hours + i * sizeof record, sizeof record);
        hour_time[i] = record.time;
        total[i] = record.amount;
        squares[i] = record.squares;
        number[i] = record.events;
        frauds[i] = record.frauds;
    }
    const Exact exact = {event_time, amount, NULL, NULL, NULL, head->events, 0};
    const Buckets buckets = {hour_time, total, squares, number, frauds, head->hours, 0};
    windows_compute(kind, &exact, &buckets, 0, head->own, time, out, stride);
}

/* Rows of statistics from another store's answer; the first kind's are made here, and it asks no frauds of events. */
static PyObject *answered_statistics(PyObject *module, PyObject *args)
{
    (void)module;
    PyObject *specification, *instants, *target;
    const char *answer;
    Py_ssize_t size;
    Kind kind;
    Py_buffer times, out;
    if (!PyArg_ParseTuple(args, "Oy#OO:answered_statistics", &specification, &answer, &size, &instants, &target)) return NULL;
    if (read_kind(specification, &kind) < 0) return NULL;
    if (acquire(instants, "times", 8, PyBUF_SIMPLE, &times) < 0) return NULL;
    if (acquire(target, "out", 8, PyBUF_WRITABLE, &out) < 0) {
        PyBuffer_Release(&times);
        return NULL;
    }
    const int64_t rows = out.ndim == 2 ? out.shape[1] : 0, width = windows_width(&kind);
    const int64_t rest = out.ndim == 2 ? out.shape[0] - width : -1;
    int wrong = rest < 0 || times.len != rows * (Py_ssize_t)sizeof(int64_t);
    const char *at = answer, *const end = answer + size;
    for (int64_t row = 0; !wrong && row < rows; row++) {
        AnswerHead head = {0};
        wrong = end - at < (Py_ssize_t)sizeof head;
        if (wrong) break;
        memcpy(&head, at, sizeof head);
        at += sizeof head;
        wrong = !fits(head.event_bytes, head.event_start, head.events, sizeof(EventRecord), EXACT_EVENTS) ||
                !fits(head.hour_bytes, head.hour_start, head.hours, sizeof(BucketRecord), MAXIMUM_BUCKETS) ||
                end - at < (int64_t)head.event_bytes + head.hour_bytes + rest * (int64_t)sizeof(double);
        if (wrong) break;
        int64_t time;
        memcpy(&time, (const char *)times.buf + row * (int64_t)sizeof time, sizeof time);
        const char *hours = at + head.event_bytes;
        answer_statistics(&kind, &head, at + head.event_start, hours + head.hour_start, time, (double *)out.buf + row, rows);
        at = hours + head.hour_bytes;
        for (int64_t i = 0; i < rest; i++, at += sizeof(double))
            memcpy((double *)out.buf + (width + i) * rows + row, at, sizeof(double));
    }
    wrong = wrong || at != end;
    PyBuffer_Release(&times);
    PyBuffer_Release(&out);
    if (wrong) {
        PyErr_SetString(PyExc_ValueError, "answer, times and out do not fit together");
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    {"answered_statistics", answered_statistics, METH_VARARGS,
     "answered_statistics(kind, answer, times, out): fill out, float64 [width, n], from another store's answer for n rows."},
    {"inspect", inspect, METH_VARARGS, "inspect(fd): None, or version, schema, fingerprint, boot, capacity, identity, whether it is a copy of memory, round."},
    {"write_pages", write_pages, METH_VARARGS, "write_pages(fd, chunk): write taken pages where they belong in a file."},
    {"start_writing", start_writing, METH_VARARGS,
     "start_writing(fd, offset, bytes): begin to write a file's dirty pages; does not wait until they are."},
    {NULL, NULL, 0, NULL},
};

static int module_exec(PyObject *module)
{
    static const struct { const char *name; long value; } constants[] = {
        {"DONE", DONE}, {"FULL", FULL}, {"NO_SPACE", NO_SPACE}, {"BUSY", BUSY}, {"DAMAGED", DAMAGED},
        {"COUNT", COUNT}, {"FRAUDS", FRAUDS}, {"TOTAL", TOTAL}, {"SQUARES", SQUARES},
        {"EXACT_EVENTS", EXACT_EVENTS}, {"MAXIMUM_BUCKETS", MAXIMUM_BUCKETS}, {"FORMAT_VERSION", FORMAT_VERSION},
        {"ROW_BYTES", sizeof(Row)}, {"RECORD", RECORD}, {"FRESH", FRESH}, {"SKIP", SKIP},
        {"PAGE_BYTES", PAGE}, {"CHUNK_BYTES", sizeof(Chunk)},
    };
    PyObject *type = PyType_FromModuleAndSpec(module, &states_spec, NULL);
    if (type == NULL) return -1;
    int failed = PyModule_AddObjectRef(module, "States", type);
    Py_DECREF(type);
    for (size_t i = 0; !failed && i < sizeof constants / sizeof *constants; i++)
        failed = PyModule_AddIntConstant(module, constants[i].name, constants[i].value);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_states",
    .m_doc = "Key states in a memory-mapped file; see bentos.core.features.states.",
    .m_size = 0,
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__states(void) { return PyModuleDef_Init(&module_definition); }
