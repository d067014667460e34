/* Exact path-dependent TreeSHAP values of a forest, by Gauss-Legendre quadrature.
 *
 * The formula, its sources and the layout of the arrays are described in tree.py. In short: with
 * q = o / z (o: does the row satisfy every edge of this feature so far; z: their share of cover) and
 * f(q) = (1 - t) + q t, feature i gets from a leaf of value v and share of cover c
 *     c v (q_i - 1) * integral over t of prod_{j != i} f(q_j),
 * a polynomial in t. Products run down the tree, sums run up. A root edge has q = 1: f = 1, weight 0,
 * so "no earlier edge of this feature" is level 0 and needs no branch.
 *
 * Every size and index is checked when a Forest is made, from buffers it then no longer needs; the
 * kernels run without the GIL on memory that only they can reach.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 16,                      /* rows of a block */
    MAXIMUM_FEATURES = 64,
    MAXIMUM_POINTS = MAXIMUM_FEATURES / 2,
    MAXIMUM_QUADS = 3,               /* the kernel for one row is built for up to 3 * 4 points */
    ROW_POINTS = MAXIMUM_QUADS * 4,
    MAXIMUM_DEPTH = 4096,
    ROWS_WORTH_A_BLOCK = 16,          /* below it the rows go one by one */
    ALIGNMENT = 64,
};

/* A node with the edge that leads to it. Nodes of a tree stand in preorder. */
typedef struct {
    double q;            /* 1 / share of cover of all edges of this feature down to here */
    double value;        /* of a leaf: share of cover * value / number of trees */
    float threshold;     /* of the edge: rows with x <= threshold go left */
    uint16_t feature;    /* of the edge */
    uint16_t level;      /* the root is level 0 */
    uint16_t previous;   /* level of the edge's closest ancestor of the same feature; 0: none */
    uint8_t left, leaf;
} Node;

/* Quadrature on (0, 1), padded with zero weights. */
typedef struct {
    double t[MAXIMUM_POINTS] __attribute__((aligned(64)));
    double u[MAXIMUM_POINTS];        /* 1 - t */
    double inverse[MAXIMUM_POINTS];  /* 1 / u */
    double w[MAXIMUM_POINTS];
    double missed[MAXIMUM_POINTS];   /* -w / u: weight of an edge that the row does not satisfy */
    int32_t points, depths;          /* depths: levels of scratch */
} Rule;

typedef struct {
    int64_t start, count;
    int32_t points;
} Tree;

/* Scratch of one level while a block of rows is explained. */
typedef struct {
    int64_t live[BLOCK] __attribute__((aligned(64))); /* -1: the row satisfies every edge of this feature so far, else 0 */
    double *product, *sum;      /* [points][BLOCK] */
    double *inverse, *weight;   /* [points], of the satisfied factor */
    int32_t feature, previous;
} BlockLevel;

typedef void (*RowKernel)(const Node *, int64_t, const Rule *, const float *, void *, double *);
typedef void (*BlockKernel)(const Node *, int64_t, const Rule *, const double *, void *, double *);

typedef struct {
    RowKernel row[MAXIMUM_QUADS];
    BlockKernel block;
    const char *name;
} Kernels;

/* Which rows follow which edge is a coin toss to the processor, so nothing branches on it. */
static inline double masked(double value, int64_t mask)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits &= mask;
    memcpy(&value, &bits, sizeof bits);
    return value;
}

/* Levels of scratch for a block, with the root's: product 1, an edge that every row follows, weight 0. */
static BlockLevel *block_levels(const Rule *rule, void *scratch)
{
    BlockLevel *levels = scratch;
    const size_t values = (size_t)rule->points * BLOCK;
    double *memory = (double *)(levels + rule->depths);
    for (int32_t depth = 0; depth < rule->depths; depth++) {
        levels[depth].product = memory;
        levels[depth].sum = memory + values;
        levels[depth].inverse = memory + values * 2;
        levels[depth].weight = levels[depth].inverse + MAXIMUM_POINTS;
        memory += values * 2 + MAXIMUM_POINTS * 2;
    }
    for (size_t i = 0; i < values; i++) {
        levels[0].product[i] = 1.0;
        levels[0].sum[i] = 0.0;
    }
    for (int32_t k = 0; k < rule->points; k++) {
        levels[0].inverse[k] = 1.0;
        levels[0].weight[k] = 0.0;
    }
    memset(levels[0].live, 0xff, sizeof levels[0].live);
    return levels;
}

#if defined(__GNUC__) && !defined(__clang__)
#define UNROLL _Pragma("GCC unroll 8")
#else
#define UNROLL
#endif

#define KERNEL(name) name##_baseline
#define KERNEL_TARGET
#define KERNEL_LANES 2 /* SSE2 and NEON */
#include "_tree_kernel_body.h"
#undef KERNEL
#undef KERNEL_TARGET
#undef KERNEL_LANES

static const Kernels baseline = {
    {explain_row_1_baseline, explain_row_2_baseline, explain_row_3_baseline}, explain_block_baseline, "baseline"};

/* Chosen at run time and not with target_clones: those need ifunc (musl has none) and cannot ask for two
 * features at once, and avx2 alone leaves out the fused multiply-add. */
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define KERNEL(name) name##_avx2
#define KERNEL_TARGET __attribute__((target("avx2,fma")))
#define KERNEL_LANES 4
#include "_tree_kernel_body.h"
#undef KERNEL
#undef KERNEL_TARGET
#undef KERNEL_LANES
static const Kernels avx2 = {
    {explain_row_1_avx2, explain_row_2_avx2, explain_row_3_avx2}, explain_block_avx2, "avx2"};

static int has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#else
#define avx2 baseline
static int has_avx2(void) { return 0; }
#endif

typedef struct {
    PyObject_HEAD
    Node *nodes;
    Tree *trees;
    Rule *rules;             /* [MAXIMUM_POINTS + 1], by number of points */
    int64_t tree_count, node_count;
    int32_t features, depth, points;
    double base_value;
} Forest;

/* ---- buffers ------------------------------------------------------------------------------------ */

static int acquire(PyObject *object, const char *name, const char *formats, Py_ssize_t itemsize, int flags, Py_buffer *view)
{
    if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | flags) < 0) return -1;
    const char *format = view->format == NULL ? "B" : view->format;
    if (view->itemsize != itemsize || strlen(format) != 1 || strchr(formats, format[0]) == NULL) {
        PyErr_Format(PyExc_TypeError, "%s has items of format '%s' and %zd bytes, needed is one of '%s' and %zd",
                     name, format, view->itemsize, formats, itemsize);
        PyBuffer_Release(view);
        return -1;
    }
    return 0;
}

/* ---- making a forest ------------------------------------------------------------------------------ */

typedef struct {
    const int64_t *offsets;
    const int32_t *right;
    const int16_t *feature;
    const float *threshold;
    const double *cover, *value;
} Arrays;

typedef struct {
    double q[MAXIMUM_DEPTH + 1];
    int32_t open[MAXIMUM_DEPTH + 1];      /* inner node at this level whose subtree is being read */
    uint16_t feature[MAXIMUM_DEPTH + 1];  /* of the edge that leads to the level */
    uint16_t saved[MAXIMUM_DEPTH + 1];    /* last[feature] before that edge */
    uint8_t left[MAXIMUM_DEPTH + 1];
    uint16_t last[MAXIMUM_FEATURES];      /* level of the latest edge of a feature; 0: none */
} Walk;

/* Check the inner node i of a tree with `count` nodes; arrays point at the tree's first node. */
static const char *check_inner(const Arrays *a, int64_t count, int64_t i, int32_t features, int32_t level)
{
    if (a->right[i] <= i + 1 || a->right[i] >= count) return "a right child out of range";
    if (a->feature[i] < 0 || a->feature[i] >= features) return "a feature out of range";
    if (!isfinite(a->threshold[i])) return "a threshold that is not finite";
    if (level >= MAXIMUM_DEPTH) return "a depth over 4,096";
    const double sum = a->cover[i + 1] + a->cover[a->right[i]];
    if (!(fabs(sum - a->cover[i]) <= 1e-6 * a->cover[i])) return "a cover that is not the sum of its children's";
    return NULL;
}

/* Read one tree in preorder; returns what is wrong, or NULL. */
static const char *read_tree(const Arrays *a, int64_t count, int32_t features, double scale, Walk *walk, Node *nodes,
                             int32_t *depth, int32_t *unique, double *base)
{
    int32_t level = 0, distinct = 0;
    memset(walk->last, 0, sizeof walk->last);
    walk->q[0] = 1.0;
    *depth = *unique = 0;
    for (int64_t i = 0; i < count; i++) {
        Node *node = nodes + i;
        memset(node, 0, sizeof *node);
        if (!(a->cover[i] > 0.0) || !isfinite(a->cover[i])) return "a cover that is not positive";
        if (level > 0) {
            const int32_t parent = walk->open[level - 1];
            const uint16_t feature = (uint16_t)a->feature[parent], previous = walk->last[feature];
            const double before = previous == 0 ? 1.0 : walk->q[previous];
            node->q = before * a->cover[parent] / a->cover[i];
            if (!isfinite(node->q)) return "a cover out of proportion";
            node->threshold = a->threshold[parent];
            node->feature = feature;
            node->level = (uint16_t)level;
            node->previous = previous;
            node->left = walk->left[level];
            walk->q[level] = node->q;
            walk->feature[level] = feature;
            walk->saved[level] = previous;
            walk->last[feature] = (uint16_t)level;
            distinct += previous == 0;
        }
        if (level > *depth) *depth = level;
        if (distinct > *unique) *unique = distinct;
        if (a->right[i] >= 0) {
            const char *problem = check_inner(a, count, i, features, level);
            if (problem != NULL) return problem;
            walk->open[level++] = (int32_t)i;
            walk->left[level] = 1;
            continue;
        }
        if (!isfinite(a->value[i])) return "a value that is not finite";
        node->leaf = 1;
        node->value = scale * a->value[i] * (a->cover[i] / a->cover[0]);
        *base += node->value;
        for (; level > 0; level--) {
            const uint16_t feature = walk->feature[level];
            walk->last[feature] = walk->saved[level];
            distinct -= walk->saved[level] == 0;
            if (walk->left[level]) {
                if (a->right[walk->open[level - 1]] != i + 1) return "children that are not in preorder";
                walk->left[level] = 0;
                break;
            }
        }
        if (level == 0 && i != count - 1) return "nodes that no parent has";
    }
    return level == 0 ? NULL : "a missing right child";
}

static int read_forest(Forest *self, const Arrays *arrays, int64_t tree_count, int64_t node_count)
{
    Walk *walk = malloc(sizeof *walk);
    self->nodes = malloc((size_t)node_count * sizeof(Node));
    self->trees = malloc((size_t)tree_count * sizeof(Tree));
    if (walk == NULL || self->nodes == NULL || self->trees == NULL) {
        free(walk);
        PyErr_NoMemory();
        return -1;
    }
    self->points = 1;
    for (int64_t tree = 0; tree < tree_count; tree++) {
        const int64_t start = arrays->offsets[tree], count = arrays->offsets[tree + 1] - start;
        const Arrays own = {NULL, arrays->right + start, arrays->feature + start, arrays->threshold + start,
                            arrays->cover + start, arrays->value + start};
        int32_t depth = 0, unique = 0;
        const char *problem = read_tree(&own, count, self->features, 1.0 / (double)tree_count, walk,
                                        self->nodes + start, &depth, &unique, &self->base_value);
        if (problem != NULL) {
            free(walk);
            PyErr_Format(PyExc_ValueError, "tree %lld has %s", (long long)tree, problem);
            return -1;
        }
        const int32_t points = unique < 2 ? 1 : (unique + 1) / 2;
        self->trees[tree] = (Tree){start, count, points};
        if (depth > self->depth) self->depth = depth;
        if (points > self->points) self->points = points;
    }
    free(walk);
    self->tree_count = tree_count;
    self->node_count = node_count;
    return 0;
}

/* Quadrature rules of 1 to `points` points, packed one after another. */
static int read_rules(Forest *self, const double *t, const double *w, Py_ssize_t length)
{
    const size_t bytes = ((size_t)self->points + 1) * sizeof(Rule);
    self->rules = aligned_alloc(ALIGNMENT, bytes);
    if (self->rules == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memset(self->rules, 0, bytes);
    Py_ssize_t next = 0;
    for (int32_t points = 1; points <= self->points; points++) {
        if (next + points > length) {
            PyErr_SetString(PyExc_ValueError, "too few quadrature points");
            return -1;
        }
        Rule *rule = self->rules + points;
        rule->points = points;
        rule->depths = self->depth + 1;
        for (int32_t k = 0; k < MAXIMUM_POINTS; k++) {
            const int used = k < points;
            rule->t[k] = used ? t[next + k] : 0.0;
            rule->w[k] = used ? w[next + k] : 0.0;
            rule->u[k] = 1.0 - rule->t[k];
            if (!(rule->u[k] > 0.0)) {
                PyErr_SetString(PyExc_ValueError, "quadrature points lie in (0, 1)");
                return -1;
            }
            rule->inverse[k] = 1.0 / rule->u[k];
            rule->missed[k] = -rule->w[k] / rule->u[k];
        }
        next += points;
    }
    return 0;
}

static int check_offsets(const int64_t *offsets, int64_t tree_count, int64_t node_count)
{
    int good = tree_count >= 1 && node_count <= INT32_MAX && offsets[0] == 0 && offsets[tree_count] == node_count;
    for (int64_t tree = 0; good && tree < tree_count; tree++)
        good = offsets[tree] < offsets[tree + 1] && offsets[tree + 1] <= node_count;
    if (!good) PyErr_SetString(PyExc_ValueError, "the trees' offsets do not cut the nodes into trees");
    return good ? 0 : -1;
}

static PyObject *forest_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *objects[8];
    int features;
    if (kwargs != NULL && PyDict_Size(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "Forest takes positional arguments only");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "OOOOOOiOO:Forest", objects, objects + 1, objects + 2, objects + 3, objects + 4,
                          objects + 5, &features, objects + 6, objects + 7))
        return NULL;
    if (features < 1 || features > MAXIMUM_FEATURES) {
        PyErr_Format(PyExc_ValueError, "%d features, allowed are 1 to %d", features, MAXIMUM_FEATURES);
        return NULL;
    }
    static const struct { const char *name, *formats; Py_ssize_t itemsize; } kinds[8] = {
        {"offsets", "lq", 8}, {"right", "il", 4}, {"feature", "h", 2}, {"threshold", "f", 4},
        {"cover", "d", 8}, {"value", "d", 8}, {"points", "d", 8}, {"weights", "d", 8}};
    Py_buffer views[8];
    Py_ssize_t lengths[8];
    int held = 0;
    Forest *self = NULL;
    for (; held < 8; held++) {
        if (acquire(objects[held], kinds[held].name, kinds[held].formats, kinds[held].itemsize, 0, views + held) < 0)
            goto fail;
        lengths[held] = views[held].len / views[held].itemsize;
    }
    for (int i = 2; i < 6; i++) {
        if (lengths[i] != lengths[1]) {
            PyErr_SetString(PyExc_ValueError, "right, feature, threshold, cover and value differ in length");
            goto fail;
        }
    }
    if (lengths[0] < 2 || lengths[6] != lengths[7]) {
        PyErr_SetString(PyExc_ValueError, "offsets need two entries, points and weights the same number");
        goto fail;
    }
    if (check_offsets(views[0].buf, lengths[0] - 1, lengths[1]) < 0) goto fail;

    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    self = (Forest *)alloc(type, 0); /* zero-filled */
    if (self == NULL) goto fail;
    self->features = features;
    const Arrays arrays = {views[0].buf, views[1].buf, views[2].buf, views[3].buf, views[4].buf, views[5].buf};
    if (read_forest(self, &arrays, lengths[0] - 1, lengths[1]) < 0) goto fail;
    if (read_rules(self, views[6].buf, views[7].buf, lengths[6]) < 0) goto fail;
    while (held > 0) PyBuffer_Release(views + --held);
    return (PyObject *)self;

fail:
    while (held > 0) PyBuffer_Release(views + --held);
    Py_XDECREF((PyObject *)self);
    return NULL;
}

static void forest_dealloc(PyObject *object)
{
    Forest *self = (Forest *)object;
    PyTypeObject *type = Py_TYPE(object);
    free(self->nodes);
    free(self->trees);
    free(self->rules);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(object);
    Py_DECREF((PyObject *)type);
}

/* ---- explaining ----------------------------------------------------------------------------------- */

static size_t scratch_bytes(const Forest *self)
{
    const size_t levels = (size_t)self->depth + 1;
    const size_t block = sizeof(BlockLevel) + sizeof(double) * ((size_t)self->points * BLOCK * 2 + MAXIMUM_POINTS * 2);
    const size_t row = (size_t)(ROW_POINTS * 4 + 4) * sizeof(double);
    const size_t bytes = levels * (block > row ? block : row);
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void explain_one(const Forest *self, const Kernels *kernels, const float *row, double *out, void *scratch)
{
    double phi[MAXIMUM_FEATURES * ROW_POINTS] __attribute__((aligned(ALIGNMENT)));
    memset(phi, 0, (size_t)self->features * ROW_POINTS * sizeof(double));
    for (int64_t i = 0; i < self->tree_count; i++) {
        const Tree *tree = self->trees + i;
        const int quads = (tree->points + 3) / 4;
        kernels->row[quads - 1](self->nodes + tree->start, tree->count, self->rules + tree->points, row, scratch, phi);
    }
    for (int32_t feature = 0; feature < self->features; feature++) {
        double sum = 0.0;
        for (int k = 0; k < ROW_POINTS; k++) sum += phi[feature * ROW_POINTS + k];
        out[feature] = sum;
    }
}

static void explain_some(const Forest *self, const Kernels *kernels, const float *rows, int64_t count, double *out,
                         void *scratch)
{
    double columns[MAXIMUM_FEATURES * BLOCK] __attribute__((aligned(ALIGNMENT)));
    double sums[MAXIMUM_FEATURES * BLOCK] __attribute__((aligned(ALIGNMENT)));
    const int32_t features = self->features;
    memset(sums, 0, (size_t)features * BLOCK * sizeof(double));
    for (int32_t feature = 0; feature < features; feature++)
        for (int64_t lane = 0; lane < BLOCK; lane++) /* a short block repeats its last row */
            columns[feature * BLOCK + lane] = rows[(lane < count ? lane : count - 1) * features + feature];
    for (int64_t i = 0; i < self->tree_count; i++) {
        const Tree *tree = self->trees + i;
        kernels->block(self->nodes + tree->start, tree->count, self->rules + tree->points, columns, scratch, sums);
    }
    for (int64_t lane = 0; lane < count; lane++)
        for (int32_t feature = 0; feature < features; feature++)
            out[lane * features + feature] = sums[feature * BLOCK + lane];
}

static PyObject *forest_contributions(PyObject *object, PyObject *args)
{
    const Forest *self = (const Forest *)object;
    PyObject *rows_object, *out_object;
    int portable = 0;
    if (!PyArg_ParseTuple(args, "OO|p:contributions", &rows_object, &out_object, &portable)) return NULL;
    Py_buffer rows, out;
    if (acquire(rows_object, "rows", "f", 4, 0, &rows) < 0) return NULL;
    if (acquire(out_object, "out", "d", 8, PyBUF_WRITABLE, &out) < 0) {
        PyBuffer_Release(&rows);
        return NULL;
    }
    PyObject *result = NULL;
    void *scratch = NULL;
    const int64_t width = self->features, values = rows.len / 4, count = values / width;
    if (values % width != 0 || out.len / 8 != values) {
        PyErr_Format(PyExc_ValueError, "rows hold %lld values and out %lld: both need the same multiple of %d",
                     (long long)values, (long long)(out.len / 8), (int)width);
        goto done;
    }
    scratch = aligned_alloc(ALIGNMENT, scratch_bytes(self));
    if (scratch == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    const Kernels *kernels = !portable && has_avx2() ? &avx2 : &baseline;
    Py_BEGIN_ALLOW_THREADS
    const int rows_fit = self->points <= ROW_POINTS;
    const float *in = rows.buf;
    double *to = out.buf;
    for (int64_t start = 0; start < count;) {
        const int64_t left = count - start;
        if (left < ROWS_WORTH_A_BLOCK && rows_fit) {
            explain_one(self, kernels, in + start * width, to + start * width, scratch);
            start += 1;
        } else {
            const int64_t size = left < BLOCK ? left : BLOCK;
            explain_some(self, kernels, in + start * width, size, to + start * width, scratch);
            start += size;
        }
    }
    Py_END_ALLOW_THREADS
    result = Py_NewRef(Py_None);
done:
    free(scratch);
    PyBuffer_Release(&rows);
    PyBuffer_Release(&out);
    return result;
}

static PyObject *forest_base_value(PyObject *object, void *closure)
{
    (void)closure;
    return PyFloat_FromDouble(((const Forest *)object)->base_value);
}

static PyObject *forest_bytes(PyObject *object, void *closure)
{
    (void)closure;
    const Forest *self = (const Forest *)object;
    const size_t bytes = (size_t)self->node_count * sizeof(Node) + (size_t)self->tree_count * sizeof(Tree) +
                         ((size_t)self->points + 1) * sizeof(Rule);
    return PyLong_FromSize_t(bytes);
}

static PyObject *forest_scratch(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromSize_t(scratch_bytes((const Forest *)object));
}

static PyObject *forest_depth(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromLong(((const Forest *)object)->depth);
}

static PyObject *forest_points(PyObject *object, void *closure)
{
    (void)closure;
    return PyLong_FromLong(((const Forest *)object)->points);
}

static PyMethodDef forest_methods[] = {
    {"contributions", forest_contributions, METH_VARARGS,
     "contributions(rows, out, portable=False): fill out, float64 [n, features], from rows, float32 of the same shape."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef forest_getters[] = {
    {"base_value", forest_base_value, NULL, "Expected raw score.", NULL},
    {"nbytes", forest_bytes, NULL, "Bytes that the forest holds.", NULL},
    {"scratch_nbytes", forest_scratch, NULL, "Bytes that one call needs besides.", NULL},
    {"depth", forest_depth, NULL, "Depth of the deepest tree.", NULL},
    {"points", forest_points, NULL, "Largest number of quadrature points of a tree.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot forest_slots[] = {
    {Py_tp_new, forest_new},
    {Py_tp_dealloc, forest_dealloc},
    {Py_tp_methods, forest_methods},
    {Py_tp_getset, forest_getters},
    {Py_tp_doc, "Forest(offsets, right, feature, threshold, cover, value, features, points, weights)"},
    {0, NULL},
};

static PyType_Spec forest_spec = {
    .name = "bentos.core.explain._tree_kernel.Forest",
    .basicsize = sizeof(Forest),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = forest_slots,
};

static int module_exec(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &forest_spec, NULL);
    if (type == NULL) return -1;
    const int failed = PyModule_AddObjectRef(module, "Forest", type);
    Py_DECREF(type);
    if (failed < 0 || PyModule_AddIntConstant(module, "BLOCK", BLOCK) < 0 ||
        PyModule_AddIntConstant(module, "MAXIMUM_POINTS", MAXIMUM_POINTS) < 0)
        return -1;
    return PyModule_AddStringConstant(module, "INSTRUCTIONS", has_avx2() ? "avx2" : "baseline");
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_tree_kernel",
    .m_doc = "TreeSHAP by quadrature; see bentos.core.explain.tree.",
    .m_size = 0,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__tree_kernel(void) { return PyModuleDef_Init(&module_definition); }
