/* Exact path-dependent TreeSHAP values of a forest, by Gauss-Legendre quadrature.
 *
 * The formula, its sources and the layout of the arrays are described in tree.py. In short: with
 * q = o / z (o: does the row satisfy every edge of this feature so far; z: their share of cover) and
 * f(q) = (1 - t) + q t, feature i gets from a leaf of value v and share of cover c
 *     c v (q_i - 1) * integral over t of prod_{j != i} f(q_j),
 * a polynomial in t. Products run down the tree, sums run up. A root edge has q = 1: f = 1, weight 0,
 * so "no earlier edge of this feature" is level 0 and needs no branch.
 *
 * The kernels run without the GIL on memory that only they can reach.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_tree_kernel_forest.h"

#include "_tree_kernel_sets.h"

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

static void explain_row(const Forest *self, const Kernels *kernels, const float *row, double *out, void *scratch)
{
    double phi[MAXIMUM_FEATURES * ROW_POINTS] __attribute__((aligned(ALIGNMENT)));
    memset(phi, 0, (size_t)self->features * ROW_POINTS * sizeof(double));
    for (int64_t i = 0; i < self->tree_count; i++) {
        const Tree *tree = self->trees + i;
        const RowKernel kernel = kernels->row[(tree->points - 1) / 4];
        kernel(self->nodes + tree->start, tree->count, self->rules + tree->points, row, scratch, phi);
    }
    for (int32_t feature = 0; feature < self->features; feature++) {
        double sum = 0.0;
        for (int k = 0; k < ROW_POINTS; k++) sum += phi[feature * ROW_POINTS + k];
        out[feature] = sum;
    }
}

static void explain_block(const Forest *self, const Block *block, const float *rows, int64_t count, double *out,
                          void *scratch)
{
    double columns[MAXIMUM_FEATURES * BLOCK] __attribute__((aligned(ALIGNMENT)));
    double sums[MAXIMUM_FEATURES * BLOCK] __attribute__((aligned(ALIGNMENT)));
    const int32_t features = self->features;
    memset(sums, 0, sizeof(double) * BLOCK * (size_t)features);
    for (int32_t feature = 0; feature < features; feature++)
        for (int64_t lane = 0; lane < block->rows; lane++) /* a short block repeats its last row */
            columns[feature * BLOCK + lane] = rows[(lane < count ? lane : count - 1) * features + feature];
    for (int64_t i = 0; i < self->tree_count; i++) {
        const Tree *tree = self->trees + i;
        block->kernel(self->nodes + tree->start, tree->count, self->rules + tree->points, columns, scratch, sums);
    }
    for (int64_t lane = 0; lane < count; lane++)
        for (int32_t feature = 0; feature < features; feature++)
            out[lane * features + feature] = sums[feature * BLOCK + lane];
}

/* Full blocks first; what is left goes the cheapest way. */
static void explain(const Forest *self, const Kernels *kernels, const float *rows, int64_t count, double *out,
                    void *scratch)
{
    const int64_t width = self->features;
    const int rows_fit = self->points <= MAXIMUM_ROW_POINTS;
    for (int64_t size; count > 0; count -= size, rows += size * width, out += size * width) {
        const Block *block = kernels->blocks, *end = block + kernels->block_count;
        while (block < end && count < block->worth) block++;
        if (block == end && rows_fit) {
            size = 1;
            explain_row(self, kernels, rows, out, scratch);
        } else {
            block -= block == end;
            size = count < block->rows ? count : block->rows;
            explain_block(self, block, rows, size, out, scratch);
        }
    }
}

static PyObject *forest_contributions(PyObject *object, PyObject *args)
{
    const Forest *self = (const Forest *)object;
    PyObject *rows_object, *out_object;
    const char *name = NULL;
    if (!PyArg_ParseTuple(args, "OO|z:contributions", &rows_object, &out_object, &name)) return NULL;
    const Kernels *kernels = chosen(name);
    if (kernels == NULL) return PyErr_Format(PyExc_ValueError, "instructions %s cannot be used here", name);
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
    Py_BEGIN_ALLOW_THREADS
    explain(self, kernels, rows.buf, count, out.buf, scratch);
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
     "contributions(rows, out, instructions=None): fill out, float64 [n, features], from rows, float32 of the same"
     " shape; with one of INSTRUCTIONS, the first when None."},
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
    PyObject *names = PyList_New(0), *tuple = NULL;
    for (int set = 0; names != NULL && set < SET_COUNT; set++) {
        PyObject *name = usable(set) ? PyUnicode_FromString(SETS[set].name) : NULL;
        if (usable(set) && (name == NULL || PyList_Append(names, name) < 0)) Py_CLEAR(names);
        Py_XDECREF(name);
    }
    if (names != NULL) tuple = PyList_AsTuple(names);
    Py_XDECREF(names);
    PyObject *type = PyType_FromModuleAndSpec(module, &forest_spec, NULL);
    const int failed = tuple == NULL || type == NULL || PyModule_AddObjectRef(module, "INSTRUCTIONS", tuple) < 0 ||
                       PyModule_AddObjectRef(module, "Forest", type) < 0 ||
                       PyModule_AddIntConstant(module, "BLOCK", BLOCK) < 0;
    Py_XDECREF(tuple);
    Py_XDECREF(type);
    return failed ? -1 : 0;
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
