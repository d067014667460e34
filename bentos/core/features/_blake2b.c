/* BLAKE2b (RFC 7693) of many short texts by one key, eight bytes each: what hashlib gives for each, without an object
 * and Python's lock for each. See pseudonyms.py. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are read as they lie in memory"
#endif

enum { BLOCK = 128, WORDS = 16, KEY = 64, PERSON = 16, DIGEST = 8, ROUNDS = 12 };

static const uint64_t IV[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

static const uint8_t SIGMA[10][WORDS] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint64_t turned(uint64_t word, int by) { return word >> by | word << (64 - by); }

#define MIX(a, b, c, d, x, y)          \
    v[a] += v[b] + (x);                \
    v[d] = turned(v[d] ^ v[a], 32);    \
    v[c] += v[d];                      \
    v[b] = turned(v[b] ^ v[c], 24);    \
    v[a] += v[b] + (y);                \
    v[d] = turned(v[d] ^ v[a], 16);    \
    v[c] += v[d];                      \
    v[b] = turned(v[b] ^ v[c], 63);

/* Take a block; `length` counts all bytes that were taken, this block's included. */
static void compress(uint64_t state[8], const unsigned char *block, uint64_t length, int is_last)
{
    uint64_t m[WORDS], v[WORDS];
    memcpy(m, block, BLOCK);
    for (int i = 0; i < 8; i++) {
        v[i] = state[i];
        v[i + 8] = IV[i];
    }
    v[12] ^= length;
    if (is_last) v[14] = ~v[14];
#pragma GCC unroll 12
    for (int round = 0; round < ROUNDS; round++) {
        const uint8_t *s = SIGMA[round % 10];
        MIX(0, 4, 8, 12, m[s[0]], m[s[1]])
        MIX(1, 5, 9, 13, m[s[2]], m[s[3]])
        MIX(2, 6, 10, 14, m[s[4]], m[s[5]])
        MIX(3, 7, 11, 15, m[s[6]], m[s[7]])
        MIX(0, 5, 10, 15, m[s[8]], m[s[9]])
        MIX(1, 6, 11, 12, m[s[10]], m[s[11]])
        MIX(2, 7, 8, 13, m[s[12]], m[s[13]])
        MIX(3, 4, 9, 14, m[s[14]], m[s[15]])
    }
    for (int i = 0; i < 8; i++) state[i] ^= v[i] ^ v[i + 8];
}

/* What all texts have in common: the parameters, then the key in a block of its own. */
typedef struct {
    uint64_t begun[8], keyed[8];
    unsigned char key_block[BLOCK];
    int has_key;
} Start;

static void begin(Start *start, const unsigned char *key, size_t key_bytes, const unsigned char *person)
{
    unsigned char parameters[64] = {DIGEST, (unsigned char)key_bytes, 1, 1};
    uint64_t words[8];
    memcpy(parameters + 64 - PERSON, person, PERSON);
    memcpy(words, parameters, sizeof words);
    for (int i = 0; i < 8; i++) start->begun[i] = IV[i] ^ words[i];
    memset(start->key_block, 0, BLOCK);
    memcpy(start->key_block, key, key_bytes);
    start->has_key = key_bytes > 0;
    memcpy(start->keyed, start->begun, sizeof start->begun);
    if (start->has_key) compress(start->keyed, start->key_block, BLOCK, 0);
}

static uint64_t hash_of(const Start *start, const unsigned char *text, int64_t length)
{
    uint64_t state[8];
    unsigned char last[BLOCK] = {0};
    uint64_t taken = start->has_key ? BLOCK : 0;
    if (length == 0 && start->has_key) {
        /* The block of the key is the last one. */
        memcpy(state, start->begun, sizeof state);
        compress(state, start->key_block, BLOCK, 1);
        return state[0];
    }
    memcpy(state, start->keyed, sizeof state);
    for (; length > BLOCK; text += BLOCK, length -= BLOCK) compress(state, text, taken += BLOCK, 0);
    if (length > 0) memcpy(last, text, (size_t)length);
    compress(state, last, taken + (uint64_t)length, 1);
    return state[0];
}

/* ---- the Python module -------------------------------------------------------------------------- */

/* Whether offsets lie in order within a text of so many bytes. */
static int are_sound(const int32_t *offsets, int64_t count, int64_t bytes)
{
    if (offsets[0] < 0 || offsets[count] > bytes) return 0;
    for (int64_t i = 0; i < count; i++)
        if (offsets[i] > offsets[i + 1]) return 0;
    return 1;
}

static int run(PyObject *const views[2], const Start *start, Py_buffer *text)
{
    Py_buffer offsets, out;
    if (PyObject_GetBuffer(views[0], &offsets, PyBUF_SIMPLE) < 0) return -1;
    if (PyObject_GetBuffer(views[1], &out, PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&offsets);
        return -1;
    }
    const int64_t count = out.len / DIGEST;
    const int32_t *ends = offsets.buf;
    const int fits = out.len == count * DIGEST && offsets.len == (count + 1) * (Py_ssize_t)sizeof(int32_t) &&
                     are_sound(ends, count, text->len);
    if (fits) {
        uint64_t *found = out.buf;
        Py_BEGIN_ALLOW_THREADS
        for (int64_t i = 0; i < count; i++)
            found[i] = hash_of(start, (const unsigned char *)text->buf + ends[i], ends[i + 1] - ends[i]);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&out);
    if (fits) return 0;
    PyErr_SetString(PyExc_ValueError, "offsets must be int32 [n + 1], rising, within the text, and out uint64 [n]");
    return -1;
}

static PyObject *hash_many(PyObject *module, PyObject *args)
{
    Py_buffer key, person, text;
    PyObject *views[2];
    (void)module;
    if (!PyArg_ParseTuple(args, "y*y*y*OO:hash_many", &key, &person, &text, &views[0], &views[1])) return NULL;
    int failed = key.len > KEY || person.len != PERSON;
    if (failed) PyErr_Format(PyExc_ValueError, "a key has at most %d bytes, a person %d", KEY, PERSON);
    else {
        Start start;
        begin(&start, key.buf, (size_t)key.len, person.buf);
        failed = run(views, &start, &text);
    }
    PyBuffer_Release(&key);
    PyBuffer_Release(&person);
    PyBuffer_Release(&text);
    if (failed) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"hash_many", hash_many, METH_VARARGS,
     "hash_many(key, person, text, offsets, out): BLAKE2b of eight bytes, as uint64 [n] into out, of each part of the\n"
     "text between two of the offsets, int32 [n + 1]."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_blake2b",
    .m_doc = "BLAKE2b of many short texts.",
    .m_size = 0,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__blake2b(void) { return PyModuleDef_Init(&module_definition); }
