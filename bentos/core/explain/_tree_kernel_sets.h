/* The kernels, built for each instruction set from two templates, and the choice among them at run time.
 *
 * Not with target_clones: those need ifunc (musl has none) and cannot ask for two features at once, and avx2 alone
 * leaves out the fused multiply-add.
 */

#if defined(__GNUC__) && !defined(__clang__)
#define UNROLL _Pragma("GCC unroll 8")
#else
#define UNROLL
#endif

typedef void (*RowKernel)(const Node *, int64_t, const Rule *, const float *, void *, double *);
typedef void (*BlockKernel)(const Node *, int64_t, const Rule *, const double *, void *, double *);

/* A block for `rows` rows, which from `worth` rows on, as measured, costs less than what comes after it. */
typedef struct {
    BlockKernel kernel;
    int rows, worth;
} Block;

typedef struct {
    const char *name;
    RowKernel row[3];   /* by points: up to 4, 8, 12 */
    Block blocks[3];    /* the largest first */
    int block_count;
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

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define KERNEL(name) JOIN(name, KERNEL_SET)
#define SIZED(name) JOIN(KERNEL(name), KERNEL_ROWS)
#define ROWS_OF(set) {explain_row_4_##set, explain_row_8_##set, explain_row_12_##set}
#define BLOCK_OF(set, rows, worth) {explain_block_##set##_##rows, rows, worth}

#define KERNEL_SET baseline
#define KERNEL_TARGET
#define KERNEL_LANES 2 /* SSE2 and NEON */
#define KERNEL_RECIPROCAL(x) (1.0 / (x))
#include "_tree_kernel_row.h"
#define KERNEL_ROWS 16
#include "_tree_kernel_block.h"
#undef KERNEL_ROWS
#define KERNEL_ROWS 8
#include "_tree_kernel_block.h"
#undef KERNEL_ROWS
#define KERNEL_ROWS 4
#include "_tree_kernel_block.h"
#undef KERNEL_ROWS
#undef KERNEL_SET
#undef KERNEL_TARGET
#undef KERNEL_LANES

#define BASELINE                                                                                                      \
    {"baseline", ROWS_OF(baseline), {BLOCK_OF(baseline, 16, 9), BLOCK_OF(baseline, 8, 5), BLOCK_OF(baseline, 4, 3)}, 3}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

#define KERNEL_SET avx2
#define KERNEL_TARGET __attribute__((target("avx2,fma")))
#define KERNEL_LANES 4
#include "_tree_kernel_row.h"
#define KERNEL_ROWS 16
#include "_tree_kernel_block.h"
#undef KERNEL_ROWS
#define KERNEL_ROWS 8
#include "_tree_kernel_block.h"
#undef KERNEL_ROWS
#define KERNEL_ROWS 4
#include "_tree_kernel_block.h"
#undef KERNEL_ROWS
#undef KERNEL_SET
#undef KERNEL_TARGET
#undef KERNEL_LANES
#undef KERNEL_RECIPROCAL

/* A division of eight doubles holds the divider for longer than two Newton steps take; they reach its last digit. */
__attribute__((target("avx512f"))) static inline __m512d reciprocal(__m512d x)
{
    const __m512d one = _mm512_set1_pd(1.0);
    __m512d inverse = _mm512_rcp14_pd(x);
    inverse = _mm512_fmadd_pd(inverse, _mm512_fnmadd_pd(x, inverse, one), inverse);
    return _mm512_fmadd_pd(inverse, _mm512_fnmadd_pd(x, inverse, one), inverse);
}

#define KERNEL_SET avx512
#define KERNEL_TARGET __attribute__((target("avx512f,avx512dq,avx512vl,fma")))
#define KERNEL_LANES 8
#define KERNEL_RECIPROCAL(x) ((Vector)reciprocal((__m512d)(x)))
#include "_tree_kernel_row.h"
#define KERNEL_ROWS 16
#include "_tree_kernel_block.h"
#undef KERNEL_ROWS
#define KERNEL_ROWS 8
#include "_tree_kernel_block.h"
#undef KERNEL_ROWS
#undef KERNEL_SET
#undef KERNEL_TARGET
#undef KERNEL_LANES
#undef KERNEL_RECIPROCAL

static const Kernels SETS[] = {
    {"avx512", ROWS_OF(avx512), {BLOCK_OF(avx512, 16, 9), BLOCK_OF(avx512, 8, 4)}, 2},
    {"avx2", ROWS_OF(avx2), {BLOCK_OF(avx2, 16, 9), BLOCK_OF(avx2, 8, 5), BLOCK_OF(avx2, 4, 3)}, 3},
    BASELINE,
};

/* Processors with vbmi2 (Ice Lake, Zen 4 and later) are those that do not lower their clock much for wide registers. */
static int usable(int set)
{
    __builtin_cpu_init();
    if (set == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi2");
    return set == 2 || (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
}
#else
#undef KERNEL_RECIPROCAL
static const Kernels SETS[] = {BASELINE};
static int usable(int set) { return set == 0; }
#endif

enum { SET_COUNT = sizeof SETS / sizeof SETS[0] };

/* The kernels of that name, the best without one; NULL if the processor lacks what they need. */
static const Kernels *chosen(const char *name)
{
    for (int set = 0; set < SET_COUNT; set++)
        if (usable(set) && (name == NULL || strcmp(name, SETS[set].name) == 0)) return SETS + set;
    return NULL;
}
