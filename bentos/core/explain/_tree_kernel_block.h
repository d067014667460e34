/* Contributions to KERNEL_ROWS rows at once, included by _tree_kernel_sets.h once per instruction set and size; see
 * _tree_kernel_row.h for the other names that it defines.
 *
 * The lanes run over the rows, so nothing is wasted whatever the number of points, and what depends on the node alone
 * is computed once for all of them.
 */

#define Vector SIZED(Vector)
#define Mask SIZED(Mask)
#define Level SIZED(Level)
#define STRIPS (KERNEL_ROWS / KERNEL_LANES)
#define INLINE KERNEL_TARGET static inline __attribute__((always_inline))
#define EACH UNROLL for (int s = 0; s < STRIPS; s++)

typedef double Vector __attribute__((vector_size(KERNEL_LANES * sizeof(double)), may_alias));
typedef long long Mask __attribute__((vector_size(KERNEL_LANES * sizeof(long long)), may_alias));

typedef struct {
    Mask live[STRIPS]; /* -1: the row satisfies every edge of this feature so far, else 0 */
    Vector *product, *sum;    /* [points][STRIPS] */
    double *inverse, *weight; /* [points], of the satisfied factor */
    int32_t feature, previous;
} Level;

/* Scratch of every level, with the root's: product 1, an edge that every row follows, weight 0. */
KERNEL_TARGET static Level *SIZED(levels)(const Rule *rule, void *scratch)
{
    Level *levels = scratch;
    const size_t values = (size_t)rule->points * STRIPS;
    char *memory = (char *)(levels + rule->depths);
    for (int32_t depth = 0; depth < rule->depths; depth++) {
        levels[depth].product = (Vector *)memory;
        levels[depth].sum = levels[depth].product + values;
        levels[depth].inverse = (double *)(levels[depth].sum + values);
        levels[depth].weight = levels[depth].inverse + MAXIMUM_POINTS;
        memory = (char *)(levels[depth].weight + MAXIMUM_POINTS);
    }
    for (size_t i = 0; i < values; i++) {
        levels[0].product[i] = (Vector){0} + 1.0;
        levels[0].sum[i] = (Vector){0};
    }
    for (int32_t k = 0; k < rule->points; k++) {
        levels[0].inverse[k] = 1.0;
        levels[0].weight[k] = 0.0;
    }
    EACH levels[0].live[s] = ~(Mask){0};
    return levels;
}

/* 1 / f and the weight of a satisfied edge at every point. */
INLINE void SIZED(weigh)(double q, int points, const Rule *rule, double *inverse, double *weight)
{
    for (int k = 0; k < points; k += KERNEL_LANES) {
        const Vector one = KERNEL_RECIPROCAL(*(const Vector *)(rule->u + k) + q * *(const Vector *)(rule->t + k));
        *(Vector *)(inverse + k) = one;
        *(Vector *)(weight + k) = (q - 1.0) * *(const Vector *)(rule->w + k) * one;
    }
}

/* Add to a feature what rows get that follow its edge, and rows that miss this one but no earlier one. */
INLINE void SIZED(credit)(
    double *phi, const Vector *followed, const Vector *missed, const Mask *live, const Mask *before)
{
    EACH((Vector *)phi)[s] += (Vector)(((Mask)followed[s] & live[s]) | ((Mask)missed[s] & ~live[s] & before[s]));
}

/* Products of an inner node from its parent's; an earlier edge of the same feature is divided out. */
INLINE void SIZED(open_level)(
    Level *level, const Level *previous, const Node *node, const Rule *rule, const Vector *q, const Mask *live,
    const Mask *before)
{
    const Vector *product = level[-1].product;
    Vector *down = level->product, *up = level->sum;
    SIZED(weigh)(node->q, rule->points, rule, level->inverse, level->weight);
    for (int k = 0; k < rule->points; k++) {
        const Vector u = rule->u[k] + (Vector){0};
        const double t = rule->t[k];
        if (node->previous == 0) {
            EACH down[k * STRIPS + s] = product[k * STRIPS + s] * (u + q[s] * t);
        } else {
            const Mask alive = (Mask)(previous->inverse[k] + (Vector){0});
            const Mask dead = (Mask)(rule->inverse[k] + (Vector){0});
            EACH {
                const Vector undo = (Vector)((alive & before[s]) | (dead & ~before[s]));
                down[k * STRIPS + s] = product[k * STRIPS + s] * (u + q[s] * t) * undo;
            }
        }
        EACH up[k * STRIPS + s] = (Vector){0};
    }
    EACH level->live[s] = live[s];
    level->feature = node->feature;
    level->previous = node->previous;
}

/* A leaf: its products live in registers only. */
INLINE void SIZED(add_leaf)(
    Level *level, const Level *previous, const Node *node, const Rule *rule, const Vector *q, const Mask *live,
    const Mask *before, double *phi)
{
    const Vector *product = level[-1].product;
    Vector *parent = level[-1].sum;
    Vector followed[STRIPS] = {0}, missed[STRIPS] = {0};
    double inverse[MAXIMUM_POINTS] __attribute__((aligned(ALIGNMENT)));
    double weight[MAXIMUM_POINTS] __attribute__((aligned(ALIGNMENT)));
    SIZED(weigh)(node->q, rule->points, rule, inverse, weight);
    if (node->previous == 0) {
        for (int k = 0; k < rule->points; k++) {
            const Vector u = rule->u[k] + (Vector){0};
            const double t = rule->t[k], one = weight[k], zero = rule->missed[k];
            EACH {
                const Vector sum = product[k * STRIPS + s] * (u + q[s] * t) * node->value;
                followed[s] += one * sum;
                missed[s] += zero * sum;
                parent[k * STRIPS + s] += sum;
            }
        }
    } else {
        for (int k = 0; k < rule->points; k++) {
            const Vector u = rule->u[k] + (Vector){0};
            const double t = rule->t[k], one = weight[k] - previous->weight[k];
            const double zero = rule->missed[k] - previous->weight[k];
            const Mask alive = (Mask)(previous->inverse[k] + (Vector){0});
            const Mask dead = (Mask)(rule->inverse[k] + (Vector){0});
            EACH {
                const Vector undo = (Vector)((alive & before[s]) | (dead & ~before[s]));
                const Vector sum = product[k * STRIPS + s] * (u + q[s] * t) * (undo * node->value);
                followed[s] += one * sum;
                missed[s] += zero * sum;
                parent[k * STRIPS + s] += sum;
            }
        }
    }
    SIZED(credit)(phi + node->feature * BLOCK, followed, missed, live, before);
}

/* All leaves below an inner node are summed: credit its edge and hand the sum to its parent. */
INLINE void SIZED(close_level)(const Level *levels, const Level *level, const Rule *rule, double *phi)
{
    const Level *previous = levels + level->previous;
    const Vector *sums = level->sum;
    Vector *parent = level[-1].sum;
    Vector followed[STRIPS] = {0}, missed[STRIPS] = {0};
    for (int k = 0; k < rule->points; k++) {
        const double one = level->weight[k] - previous->weight[k];
        const double zero = rule->missed[k] - previous->weight[k];
        EACH {
            const Vector sum = sums[k * STRIPS + s];
            followed[s] += one * sum;
            missed[s] += zero * sum;
            parent[k * STRIPS + s] += sum;
        }
    }
    SIZED(credit)(phi + level->feature * BLOCK, followed, missed, level->live, previous->live);
}

KERNEL_TARGET static void SIZED(explain_block)(
    const Node *nodes, int64_t count, const Rule *rule, const double *rows, void *scratch, double *phi)
{
    Level *levels = SIZED(levels)(rule, scratch);
    int32_t open = 0;
    for (int64_t i = 1; i < count; i++) {
        const Node *node = nodes + i;
        const int32_t depth = node->level;
        for (; open >= depth; open--) SIZED(close_level)(levels, levels + open, rule, phi);
        const Level *previous = levels + node->previous;

        const Vector *x = (const Vector *)(rows + node->feature * BLOCK);
        const double threshold = node->threshold;
        const long long flip = node->left ? 0 : -1;
        Mask live[STRIPS], before[STRIPS];
        Vector q[STRIPS];
        EACH {
            before[s] = previous->live[s];
            live[s] = ((Mask)(x[s] <= threshold) ^ flip) & before[s];
            q[s] = (Vector)((Mask)(node->q + (Vector){0}) & live[s]);
        }
        if (node->leaf) {
            SIZED(add_leaf)(levels + depth, previous, node, rule, q, live, before, phi);
        } else {
            SIZED(open_level)(levels + depth, previous, node, rule, q, live, before);
            open = depth;
        }
    }
    for (; open >= 1; open--) SIZED(close_level)(levels, levels + open, rule, phi);
}
#undef Vector
#undef Mask
#undef Level
#undef STRIPS
#undef INLINE
#undef EACH
