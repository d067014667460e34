/* Contributions to one row, included once per instruction set by _tree_kernel_sets.h, which defines KERNEL (names a
 * function for the set), KERNEL_TARGET (its target attribute), KERNEL_LANES (doubles of a vector register) and
 * KERNEL_RECIPROCAL.
 *
 * Generic vectors are lowered before inlining, so every function that touches one must itself carry the target
 * attribute; that is why this is a textual template and not a set of inline functions.
 *
 * The lanes run over the quadrature points; what is over in the last register has weight zero.
 */

#define Vector KERNEL(Vector)
typedef double Vector __attribute__((vector_size(KERNEL_LANES * sizeof(double)), may_alias));

#define ROW_KERNEL(POINTS)                                                                                            \
    KERNEL_TARGET static void KERNEL(explain_row_##POINTS)(                                                           \
        const Node *nodes, int64_t count, const Rule *rule, const float *row, void *scratch, double *phi)             \
    {                                                                                                                 \
        enum { PARTS = (POINTS + KERNEL_LANES - 1) / KERNEL_LANES };                                                  \
        typedef struct {                                                                                              \
            Vector product[PARTS], inverse[PARTS], weight[PARTS], sum[PARTS];                                         \
            int64_t live;                                                                                             \
            int32_t feature, previous;                                                                                \
        } Level;                                                                                                      \
        _Static_assert(sizeof(Level) <= ROW_LEVEL_BYTES, "scratch of a level");                                       \
        Level *levels = scratch;                                                                                      \
        Vector t[PARTS], u[PARTS], w[PARTS];                                                                          \
        UNROLL for (int j = 0; j < PARTS; j++) {                                                                      \
            t[j] = ((const Vector *)rule->t)[j];                                                                      \
            u[j] = ((const Vector *)rule->u)[j];                                                                      \
            w[j] = ((const Vector *)rule->w)[j];                                                                      \
            levels[0].product[j] = levels[0].inverse[j] = (Vector){0} + 1.0;                                          \
            levels[0].weight[j] = levels[0].sum[j] = (Vector){0};                                                     \
        }                                                                                                             \
        levels[0].live = -1;                                                                                          \
        int32_t open = 0;                                                                                             \
        for (int64_t i = 1; i <= count; i++) {                                                                        \
            /* One past the end closes what is still open. */                                                         \
            const Node *node = nodes + i;                                                                             \
            const int32_t depth = i < count ? node->level : 1;                                                        \
            for (; open >= depth; open--) {                                                                           \
                Level *level = levels + open;                                                                         \
                const Level *previous = levels + level->previous;                                                     \
                Vector *target = (Vector *)(phi + level->feature * ROW_POINTS);                                       \
                UNROLL for (int j = 0; j < PARTS; j++) {                                                              \
                    target[j] += (level->weight[j] - previous->weight[j]) * level->sum[j];                            \
                    level[-1].sum[j] += level->sum[j];                                                                \
                }                                                                                                     \
            }                                                                                                         \
            if (i == count) break;                                                                                    \
            Level *level = levels + depth;                                                                            \
            const Level *previous = levels + node->previous;                                                          \
            const int64_t live =                                                                                      \
                -(int64_t)((row[node->feature] <= node->threshold) == node->left) & previous->live;                   \
            const double q = masked(node->q, live);                                                                   \
            const double excess = q - 1.0;                                                                            \
            if (node->leaf) {                                                                                         \
                Vector *target = (Vector *)(phi + node->feature * ROW_POINTS);                                        \
                UNROLL for (int j = 0; j < PARTS; j++) {                                                              \
                    const Vector factor = u[j] + q * t[j];                                                            \
                    const Vector sum = level[-1].product[j] * factor * (previous->inverse[j] * node->value);          \
                    target[j] += (w[j] * excess * KERNEL_RECIPROCAL(factor) - previous->weight[j]) * sum;             \
                    level[-1].sum[j] += sum;                                                                          \
                }                                                                                                     \
                continue;                                                                                             \
            }                                                                                                         \
            UNROLL for (int j = 0; j < PARTS; j++) {                                                                  \
                const Vector factor = u[j] + q * t[j];                                                                \
                const Vector inverse = KERNEL_RECIPROCAL(factor);                                                     \
                level->inverse[j] = inverse;                                                                          \
                level->weight[j] = w[j] * excess * inverse;                                                           \
                level->product[j] = level[-1].product[j] * (factor * previous->inverse[j]);                           \
                level->sum[j] = (Vector){0};                                                                          \
            }                                                                                                         \
            level->live = live;                                                                                       \
            level->feature = node->feature;                                                                           \
            level->previous = node->previous;                                                                         \
            open = depth;                                                                                             \
        }                                                                                                             \
    }

ROW_KERNEL(4)
ROW_KERNEL(8)
ROW_KERNEL(12)
#undef ROW_KERNEL
#undef Vector
