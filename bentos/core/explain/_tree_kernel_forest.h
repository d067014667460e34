/* A forest as the kernels read it, and how it is made from an artifact's arrays: every size and index is checked here,
 * so that the kernels need no checks.
 */

enum {
    BLOCK = 16,                /* rows of a full block */
    MAXIMUM_FEATURES = 64,
    MAXIMUM_POINTS = MAXIMUM_FEATURES / 2,
    ROW_POINTS = 16,           /* room for the points of the kernel for one row, */
    MAXIMUM_ROW_POINTS = 12,   /* and how many it takes */
    ROW_LEVEL_BYTES = 576,     /* at least sizeof(Level) of the kernels for one row, */
    BLOCK_LEVEL_BYTES = 192,   /* and for blocks, without its arrays */
    MAXIMUM_DEPTH = 4096,
    ALIGNMENT = 64,
};

/* Covers of real forests are counts or weights; beyond this, reciprocals would leave the range of doubles. */
#define MAXIMUM_Q 1e100

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

typedef struct {
    PyObject_HEAD
    Node *nodes;
    Tree *trees;
    Rule *rules;             /* [MAXIMUM_POINTS + 1], by number of points */
    int64_t tree_count, node_count;
    int32_t features, depth, points;
    double base_value;
} Forest;

static size_t aligned(size_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

/* What one call needs besides its rows and results. */
static size_t scratch_bytes(const Forest *self)
{
    const size_t arrays = sizeof(double) * ((size_t)self->points * BLOCK * 2 + MAXIMUM_POINTS * 2);
    const size_t block = BLOCK_LEVEL_BYTES + aligned(arrays);
    return ((size_t)self->depth + 1) * (block > ROW_LEVEL_BYTES ? block : ROW_LEVEL_BYTES);
}

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
            if (!(node->q <= MAXIMUM_Q)) return "a cover out of proportion";
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
