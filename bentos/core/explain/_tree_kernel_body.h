/* The two inner kernels, included once per instruction set by _tree_kernel.c, which defines
 * KERNEL (names a function for the set), KERNEL_TARGET (its target attribute) and KERNEL_LANES
 * (doubles of a vector register).
 *
 * Generic vectors are lowered before inlining, so every function that touches one must itself carry
 * the target attribute; that is why this is a textual template and not a set of inline functions.
 */

#define Vector KERNEL(Vector)
#define Mask KERNEL(Mask)
#define STRIPS (BLOCK / KERNEL_LANES)
typedef double Vector __attribute__((vector_size(KERNEL_LANES * sizeof(double)), may_alias));
typedef long long Mask __attribute__((vector_size(KERNEL_LANES * sizeof(long long)), may_alias));

/* One row: the lanes run over the quadrature points, QUADS * 4 of them; the rest has weight zero. */
#define ROW_KERNEL(QUADS)                                                                                          \
    KERNEL_TARGET static void KERNEL(explain_row_##QUADS)(                                                         \
        const Node *nodes, int64_t count, const Rule *rule, const float *row, void *scratch, double *phi)          \
    {                                                                                                              \
        enum { PARTS = QUADS * 4 / KERNEL_LANES };                                                                 \
        typedef struct {                                                                                           \
            Vector product[PARTS], inverse[PARTS], weight[PARTS], sum[PARTS];                                      \
            int64_t live;                                                                                          \
            int32_t feature, previous;                                                                             \
            double padding[2];                                                                                     \
        } Level;                                                                                                   \
        Level *levels = scratch;                                                                                   \
        Vector t[PARTS], u[PARTS], w[PARTS];                                                                       \
        UNROLL for (int j = 0; j < PARTS; j++) {                                                                   \
            t[j] = ((const Vector *)rule->t)[j];                                                                   \
            u[j] = ((const Vector *)rule->u)[j];                                                                   \
            w[j] = ((const Vector *)rule->w)[j];                                                                   \
            levels[0].product[j] = levels[0].inverse[j] = (Vector){0} + 1.0;                                       \
            levels[0].weight[j] = levels[0].sum[j] = (Vector){0};                                                  \
        }                                                                                                          \
        levels[0].live = -1;                                                                                       \
        int32_t open = 0;                                                                                          \
        for (int64_t i = 1; i <= count; i++) {                                                                     \
            /* One past the end closes what is still open. */                                                      \
            const Node *node = nodes + i;                                                                          \
            const int32_t depth = i < count ? node->level : 1;                                                     \
            for (; open >= depth; open--) {                                                                        \
                Level *level = levels + open;                                                                      \
                const Level *previous = levels + level->previous;                                                  \
                Vector *target = (Vector *)(phi + level->feature * ROW_POINTS);                                    \
                UNROLL for (int j = 0; j < PARTS; j++) {                                                           \
                    target[j] += (level->weight[j] - previous->weight[j]) * level->sum[j];                         \
                    level[-1].sum[j] += level->sum[j];                                                             \
                }                                                                                                  \
            }                                                                                                      \
            if (i == count) break;                                                                                 \
            Level *level = levels + depth;                                                                         \
            const Level *previous = levels + node->previous;                                                       \
            const int64_t live = -(int64_t)((row[node->feature] <= node->threshold) == node->left) & previous->live;\
            const double q = masked(node->q, live);                                                                \
            const double excess = q - 1.0;                                                                         \
            if (node->leaf) {                                                                                      \
                Vector *target = (Vector *)(phi + node->feature * ROW_POINTS);                                     \
                UNROLL for (int j = 0; j < PARTS; j++) {                                                           \
                    const Vector factor = u[j] + q * t[j];                                                         \
                    const Vector sum = level[-1].product[j] * factor * previous->inverse[j] * node->value;         \
                    target[j] += (w[j] * excess / factor - previous->weight[j]) * sum;                             \
                    level[-1].sum[j] += sum;                                                                       \
                }                                                                                                  \
                continue;                                                                                          \
            }                                                                                                      \
            UNROLL for (int j = 0; j < PARTS; j++) {                                                               \
                const Vector factor = u[j] + q * t[j];                                                             \
                const Vector inverse = 1.0 / factor;                                                               \
                level->inverse[j] = inverse;                                                                       \
                level->weight[j] = w[j] * excess * inverse;                                                        \
                level->product[j] = level[-1].product[j] * factor * previous->inverse[j];                          \
                level->sum[j] = (Vector){0};                                                                       \
            }                                                                                                      \
            level->live = live;                                                                                    \
            level->feature = node->feature;                                                                        \
            level->previous = node->previous;                                                                      \
            open = depth;                                                                                          \
        }                                                                                                          \
    }

ROW_KERNEL(1)
ROW_KERNEL(2)
ROW_KERNEL(3)
#undef ROW_KERNEL

/* BLOCK rows: the lanes run over the rows, so nothing is wasted whatever the number of points. The next
 * functions are its parts; 1 / f and the weight of a satisfied edge at every point come first. */
KERNEL_TARGET static inline __attribute__((always_inline)) void KERNEL(weigh)(
    double q, int points, const Rule *rule, double *inverse, double *weight)
{
    for (int k = 0; k < points; k += KERNEL_LANES) {
        const Vector one = 1.0 / (*(const Vector *)(rule->u + k) + q * *(const Vector *)(rule->t + k));
        *(Vector *)(inverse + k) = one;
        *(Vector *)(weight + k) = (q - 1.0) * *(const Vector *)(rule->w + k) * one;
    }
}

/* Add to a feature what rows get that follow its edge, and rows that miss this one but no earlier one. */
KERNEL_TARGET static inline __attribute__((always_inline)) void KERNEL(credit)(
    double *phi, const Vector *followed, const Vector *missed, const Mask *live, const Mask *before)
{
    UNROLL for (int s = 0; s < STRIPS; s++)
        ((Vector *)phi)[s] += (Vector)(((Mask)followed[s] & live[s]) | ((Mask)missed[s] & ~live[s] & before[s]));
}

/* Products of an inner node from its parent's; an earlier edge of the same feature is divided out. */
KERNEL_TARGET static inline __attribute__((always_inline)) void KERNEL(open_level)(
    BlockLevel *level, const BlockLevel *previous, const Node *node, const Rule *rule, const Vector *q,
    const Mask *live, const Mask *before)
{
    const Vector *product = (const Vector *)level[-1].product;
    Vector *down = (Vector *)level->product, *up = (Vector *)level->sum;
    KERNEL(weigh)(node->q, rule->points, rule, level->inverse, level->weight);
    for (int k = 0; k < rule->points; k++) {
        const Vector u = rule->u[k] + (Vector){0};
        const double t = rule->t[k];
        if (node->previous == 0) {
            UNROLL for (int s = 0; s < STRIPS; s++)
                down[k * STRIPS + s] = product[k * STRIPS + s] * (u + q[s] * t);
        } else {
            const Mask alive = (Mask)(previous->inverse[k] + (Vector){0});
            const Mask dead = (Mask)(rule->inverse[k] + (Vector){0});
            UNROLL for (int s = 0; s < STRIPS; s++) {
                const Vector undo = (Vector)((alive & before[s]) | (dead & ~before[s]));
                down[k * STRIPS + s] = product[k * STRIPS + s] * (u + q[s] * t) * undo;
            }
        }
        UNROLL for (int s = 0; s < STRIPS; s++) up[k * STRIPS + s] = (Vector){0};
    }
    UNROLL for (int s = 0; s < STRIPS; s++) ((Mask *)level->live)[s] = live[s];
    level->feature = node->feature;
    level->previous = node->previous;
}

/* A leaf: its products live in registers only. */
KERNEL_TARGET static inline __attribute__((always_inline)) void KERNEL(add_leaf)(
    BlockLevel *level, const BlockLevel *previous, const Node *node, const Rule *rule, const Vector *q,
    const Mask *live, const Mask *before, double *phi)
{
    const Vector *product = (const Vector *)level[-1].product;
    Vector *parent = (Vector *)level[-1].sum;
    Vector followed[STRIPS] = {0}, missed[STRIPS] = {0};
    double inverse[MAXIMUM_POINTS] __attribute__((aligned(ALIGNMENT)));
    double weight[MAXIMUM_POINTS] __attribute__((aligned(ALIGNMENT)));
    KERNEL(weigh)(node->q, rule->points, rule, inverse, weight);
    if (node->previous == 0) {
        for (int k = 0; k < rule->points; k++) {
            const Vector u = rule->u[k] + (Vector){0};
            const double t = rule->t[k], one = weight[k], zero = rule->missed[k];
            UNROLL for (int s = 0; s < STRIPS; s++) {
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
            UNROLL for (int s = 0; s < STRIPS; s++) {
                const Vector undo = (Vector)((alive & before[s]) | (dead & ~before[s]));
                const Vector sum = product[k * STRIPS + s] * (u + q[s] * t) * (undo * node->value);
                followed[s] += one * sum;
                missed[s] += zero * sum;
                parent[k * STRIPS + s] += sum;
            }
        }
    }
    KERNEL(credit)(phi + node->feature * BLOCK, followed, missed, live, before);
}

/* All leaves below an inner node are summed: credit its edge and hand the sum to its parent. */
KERNEL_TARGET static inline __attribute__((always_inline)) void KERNEL(close_level)(
    const BlockLevel *levels, const BlockLevel *level, const Rule *rule, double *phi)
{
    const BlockLevel *previous = levels + level->previous;
    const Vector *sums = (const Vector *)level->sum;
    Vector *parent = (Vector *)level[-1].sum;
    Vector followed[STRIPS] = {0}, missed[STRIPS] = {0};
    for (int k = 0; k < rule->points; k++) {
        const double one = level->weight[k] - previous->weight[k];
        const double zero = rule->missed[k] - previous->weight[k];
        UNROLL for (int s = 0; s < STRIPS; s++) {
            const Vector sum = sums[k * STRIPS + s];
            followed[s] += one * sum;
            missed[s] += zero * sum;
            parent[k * STRIPS + s] += sum;
        }
    }
    KERNEL(credit)(phi + level->feature * BLOCK, followed, missed, (const Mask *)level->live, (const Mask *)previous->live);
}

KERNEL_TARGET static void KERNEL(explain_block)(
    const Node *nodes, int64_t count, const Rule *rule, const double *rows, void *scratch, double *phi)
{
    BlockLevel *levels = block_levels(rule, scratch);
    int32_t open = 0;
    for (int64_t i = 1; i < count; i++) {
        const Node *node = nodes + i;
        const int32_t depth = node->level;
        for (; open >= depth; open--) KERNEL(close_level)(levels, levels + open, rule, phi);
        const BlockLevel *previous = levels + node->previous;

        const Vector *x = (const Vector *)(rows + node->feature * BLOCK);
        const double threshold = node->threshold;
        const long long flip = node->left ? 0 : -1;
        Mask live[STRIPS], before[STRIPS];
        Vector q[STRIPS];
        UNROLL for (int s = 0; s < STRIPS; s++) {
            before[s] = ((const Mask *)previous->live)[s];
            live[s] = ((Mask)(x[s] <= threshold) ^ flip) & before[s];
            q[s] = (Vector)((Mask)(node->q + (Vector){0}) & live[s]);
        }
        if (node->leaf) {
            KERNEL(add_leaf)(levels + depth, previous, node, rule, q, live, before, phi);
        } else {
            KERNEL(open_level)(levels + depth, previous, node, rule, q, live, before);
            open = depth;
        }
    }
    for (; open >= 1; open--) KERNEL(close_level)(levels, levels + open, rule, phi);
}
#undef Vector
#undef Mask
#undef STRIPS
