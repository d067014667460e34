/* Formulas over columns: a list of steps, each an operation on the results of earlier ones, run over a few rows at a
 * time. See formulas.py, which writes the steps down. */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 32, /* rows at a time: the results of all steps stay in the nearest cache */
    MAXIMUM_STEPS = 1024,
    ROWS_WORTH_THE_GIL = 256,
};

enum { COLUMN, FACT, CONSTANT, ADD, SUBTRACT, MULTIPLY, DIVIDE, SQUARE, BOTH, AT_LEAST_AS, AT_MOST_AS, SAME,
       NOT_BELOW, NOT_ABOVE, WHEN, SQRT, SIN, COS, ASIN, OPERATIONS };

/* Steps that `a`, `b` and `c` name come earlier; of COLUMN and FACT `a` is a place in the input. */
typedef struct {
    int32_t operation, a, b, c;
    double value;
} Step;

typedef struct {
    PyObject_HEAD
    Step *steps;
    int32_t *results;
    int64_t count, results_count, columns, facts; /* columns and facts: how many a row must have */
} Program;

typedef struct {
    const double *columns, *facts;
    double *out;
    int64_t rows, facts_width;
} Call;

static int operands_of(int32_t operation)
{
    switch (operation) {
    case COLUMN: case FACT: case CONSTANT: return 0;
    case SQUARE: case SQRT: case SIN: case COS: case ASIN: return 1;
    case WHEN: return 3;
    default: return 2;
    }
}

#define EACH(expression) for (int64_t i = 0; i < n; i++) out[i] = (expression); break

/* One step for n rows; NaN stays in NOT_BELOW and NOT_ABOVE. */
static void run_step(int32_t operation, int64_t n, const double *restrict x, const double *restrict y,
                     const double *restrict z, double *restrict out)
{
    switch (operation) {
    case ADD: EACH(x[i] + y[i]);
    case SUBTRACT: EACH(x[i] - y[i]);
    case MULTIPLY: EACH(x[i] * y[i]);
    case DIVIDE: EACH(x[i] / y[i]);
    case SQUARE: EACH(x[i] * x[i]);
    case BOTH: EACH(x[i] != 0.0 && y[i] != 0.0 ? 1.0 : 0.0);
    case AT_LEAST_AS: EACH(x[i] >= y[i] ? 1.0 : 0.0);
    case AT_MOST_AS: EACH(x[i] <= y[i] ? 1.0 : 0.0);
    case SAME: EACH(x[i] == y[i] ? 1.0 : 0.0);
    case NOT_BELOW: EACH(x[i] < y[i] ? y[i] : x[i]);
    case NOT_ABOVE: EACH(x[i] > y[i] ? y[i] : x[i]);
    case WHEN: EACH(x[i] != 0.0 ? y[i] : z[i]);
    case SQRT: EACH(sqrt(x[i]));
    case SIN: EACH(sin(x[i]));
    case COS: EACH(cos(x[i]));
    default: EACH(asin(x[i]));
    }
}

/* Rows from `start` on, n of them; step s keeps its results at room[s * width]. */
static void run_block(const Program *self, const Call *call, int64_t start, int64_t n, double *room, int64_t width)
{
    const double *at[MAXIMUM_STEPS];
    for (int64_t s = 0; s < self->count; s++) {
        const Step *step = self->steps + s;
        double *own = room + s * width;
        at[s] = own;
        if (step->operation == COLUMN) at[s] = call->columns + step->a * call->rows + start;
        else if (step->operation == FACT)
            for (int64_t i = 0; i < n; i++) own[i] = call->facts[(start + i) * call->facts_width + step->a];
        else if (step->operation == CONSTANT) for (int64_t i = 0; i < n; i++) own[i] = step->value;
        else run_step(step->operation, n, at[step->a], at[step->b], at[step->c], own);
    }
    double *out = call->out + start * self->results_count;
    for (int64_t r = 0; r < self->results_count; r++)
        for (int64_t i = 0; i < n; i++) out[i * self->results_count + r] = at[self->results[r]][i];
}

static void run_rows(const Program *self, const Call *call, double *room, int64_t width)
{
    for (int64_t start = 0; start < call->rows; start += width)
        run_block(self, call, start, call->rows - start < width ? call->rows - start : width, room, width);
}

/* ---- the Python type ---------------------------------------------------------------------------- */

/* float64, one row after the other. */
static int acquire(PyObject *object, const char *name, int flags, Py_buffer *view)
{
    if (PyObject_GetBuffer(object, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | flags) < 0) return -1;
    if (view->ndim == 2 && view->itemsize == 8 && view->format != NULL && strcmp(view->format, "d") == 0) return 0;
    PyErr_Format(PyExc_TypeError, "%s must be float64 of two dimensions", name);
    PyBuffer_Release(view);
    return -1;
}

static PyObject *program_run(PyObject *object, PyObject *args)
{
    const Program *self = (Program *)object;
    PyObject *objects[2], *done = NULL;
    const char *facts;
    Py_ssize_t facts_bytes;
    if (!PyArg_ParseTuple(args, "Oy#O:run", objects, &facts, &facts_bytes, objects + 1)) return NULL;
    Py_buffer columns, out;
    if (acquire(objects[0], "columns", 0, &columns) < 0) return NULL;
    if (acquire(objects[1], "out", PyBUF_WRITABLE, &out) < 0) goto no_out;
    const int64_t rows = out.shape[0], facts_width = rows ? facts_bytes / (8 * rows) : self->facts;
    if (columns.shape[0] < self->columns || columns.shape[1] != rows || facts_bytes != 8 * rows * facts_width ||
        facts_width < self->facts || out.shape[1] != self->results_count || (uintptr_t)facts % 8 != 0) {
        PyErr_Format(PyExc_ValueError,
                     "for %zd rows needed are columns [>= %zd, rows], at least %zd facts a row, and out [rows, %zd]",
                     (Py_ssize_t)rows, (Py_ssize_t)self->columns, (Py_ssize_t)self->facts,
                     (Py_ssize_t)self->results_count);
        goto wrong;
    }
    const Call call = {columns.buf, (const double *)facts, out.buf, rows, facts_width};
    const int64_t width = rows < BLOCK ? rows : BLOCK;
    double *room = malloc((size_t)(self->count * width + 1) * sizeof *room);
    if (room == NULL) {
        PyErr_NoMemory();
        goto wrong;
    }
    if (rows < ROWS_WORTH_THE_GIL) run_rows(self, &call, room, width);
    else {
        Py_BEGIN_ALLOW_THREADS
        run_rows(self, &call, room, width);
        Py_END_ALLOW_THREADS
    }
    free(room);
    done = Py_NewRef(Py_None);
wrong:
    PyBuffer_Release(&out);
no_out:
    PyBuffer_Release(&columns);
    return done;
}

/* Check every number that is an index, so that no program leads outside its memory. */
static int is_sound(Program *self)
{
    for (int64_t s = 0; s < self->count; s++) {
        const Step *step = self->steps + s;
        if (step->operation < 0 || step->operation >= OPERATIONS) return 0;
        const int32_t named[] = {step->a, step->b, step->c};
        const int operands = operands_of(step->operation);
        for (int i = 0; i < 3; i++)
            if (named[i] < 0 || (i < operands && named[i] >= s) || (i >= operands && operands && named[i] != 0)) return 0;
        if (step->operation == COLUMN && step->a >= self->columns) self->columns = step->a + 1;
        if (step->operation == FACT && step->a >= self->facts) self->facts = step->a + 1;
    }
    for (int64_t r = 0; r < self->results_count; r++)
        if (self->results[r] < 0 || self->results[r] >= self->count) return 0;
    return 1;
}

static PyObject *program_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    const char *steps, *results;
    Py_ssize_t steps_bytes, results_bytes;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "y#y#:Program", &steps, &steps_bytes, &results, &results_bytes)) return NULL;
    Program *self = (Program *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL) return NULL;
    self->count = steps_bytes / (Py_ssize_t)sizeof(Step);
    self->results_count = results_bytes / (Py_ssize_t)sizeof(int32_t);
    self->steps = malloc((size_t)steps_bytes + 1);
    self->results = malloc((size_t)results_bytes + 1);
    if (self->steps == NULL || self->results == NULL) {
        Py_DECREF((PyObject *)self);
        return PyErr_NoMemory();
    }
    memcpy(self->steps, steps, (size_t)steps_bytes);
    memcpy(self->results, results, (size_t)results_bytes);
    if (self->count <= MAXIMUM_STEPS && steps_bytes == self->count * (Py_ssize_t)sizeof(Step) &&
        results_bytes == self->results_count * (Py_ssize_t)sizeof(int32_t) && is_sound(self))
        return (PyObject *)self;
    Py_DECREF((PyObject *)self);
    PyErr_Format(PyExc_ValueError, "no program of at most %d steps that name earlier ones", MAXIMUM_STEPS);
    return NULL;
}

static void program_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    free(((Program *)object)->steps);
    free(((Program *)object)->results);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(object);
    Py_DECREF((PyObject *)type);
}

static PyMethodDef program_methods[] = {
    {"run", program_run, METH_VARARGS,
     "run(columns, facts, out): from float64 [>= columns, n] and the bytes of float64 [n, >= facts] to float64\n"
     "[n, results]; arrays are C-contiguous."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot program_slots[] = {
    {Py_tp_new, program_new},
    {Py_tp_dealloc, program_dealloc},
    {Py_tp_methods, program_methods},
    {Py_tp_doc, "Program(steps, results): steps as struct '=4id' each, results as int32 numbers of steps."},
    {0, NULL},
};

static PyType_Spec program_spec = {
    .name = "bentos.core.features._formulas.Program",
    .basicsize = sizeof(Program),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = program_slots,
};

static int module_exec(PyObject *module)
{
    static const char *names[OPERATIONS] = {"COLUMN", "FACT", "CONSTANT", "ADD", "SUBTRACT", "MULTIPLY", "DIVIDE",
                                            "SQUARE", "BOTH", "AT_LEAST_AS", "AT_MOST_AS", "SAME", "NOT_BELOW",
                                            "NOT_ABOVE", "WHEN", "SQRT", "SIN", "COS", "ASIN"};
    PyObject *type = PyType_FromModuleAndSpec(module, &program_spec, NULL);
    if (type == NULL) return -1;
    int failed = PyModule_AddObjectRef(module, "Program", type);
    Py_DECREF(type);
    for (int i = 0; !failed && i < OPERATIONS; i++) failed = PyModule_AddIntConstant(module, names[i], i);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_formulas",
    .m_doc = "Formulas over columns, see bentos.core.features.formulas.",
    .m_size = 0,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__formulas(void) { return PyModuleDef_Init(&module_definition); }
