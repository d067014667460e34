/* Window statistics of a key, as history.py and windows.py define them.
 *
 * Sums are taken as numpy takes them, pairwise with eight running sums below 128 values (Higham, "The accuracy of
 * floating point summation", 1993), over each window on its own: the table's sums come out to the bit.
 */
#include "_states.h"

#include <math.h>
#include <string.h>

static double pairwise(const double *values, int64_t count)
{
    if (count < 8) {
        double sum = 0.0;
        for (int64_t i = 0; i < count; i++) sum += values[i];
        return sum;
    }
    if (count > 128) {
        const int64_t half = count / 2 - count / 2 % 8;
        return pairwise(values, half) + pairwise(values + half, count - half);
    }
    double r[8];
    memcpy(r, values, sizeof r);
    int64_t i = 8;
    for (; i < count - count % 8; i += 8)
        for (int k = 0; k < 8; k++) r[k] += values[i + k];
    double sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (; i < count; i++) sum += values[i];
    return sum;
}

static double sum_of(const double *values, int64_t count)
{
    return count == 0 ? 0.0 : values[0] + pairwise(values + 1, count - 1);
}

/* Cells of a window; `own` is the index of the row's own event among the exact ones, -1 when it is not among them. */
typedef struct {
    int64_t exact_start, exact_end, bucket_start, bucket_end, own;
} Range;

static int64_t events_in(const Buckets *buckets, const Range *range)
{
    int64_t events = range->exact_end - range->exact_start - (range->own >= 0);
    for (int64_t i = range->bucket_start; i < range->bucket_end; i++) events += buckets->events[i];
    return events;
}

static int64_t frauds_in(const Exact *exact, const Buckets *buckets, const Range *range, int64_t time)
{
    int64_t frauds = 0;
    for (int64_t i = range->exact_start; i < range->exact_end; i++) frauds += exact->label[i] <= time;
    if (range->own >= 0) frauds -= exact->label[range->own] <= time;
    for (int64_t i = range->bucket_start; i < range->bucket_end; i++) frauds += buckets->frauds[i];
    return frauds;
}

/* The window's exact amounts, without the row's own, which needs a copy. */
static const double *amounts_in(const Exact *exact, const Range *range, double *scratch, int64_t *count)
{
    const double *amounts = exact->amount + range->exact_start;
    *count = range->exact_end - range->exact_start;
    if (range->own < 0) return amounts;
    const int64_t before = range->own - range->exact_start;
    *count -= 1;
    memcpy(scratch, amounts, (size_t)before * sizeof *scratch);
    memcpy(scratch + before, amounts + before + 1, (size_t)(*count - before) * sizeof *scratch);
    return scratch;
}

static double total_of(const Exact *exact, const Buckets *buckets, const Range *range, double *scratch)
{
    int64_t count;
    const double *amounts = amounts_in(exact, range, scratch, &count);
    return sum_of(amounts, count) +
           sum_of(buckets->amount + range->bucket_start, range->bucket_end - range->bucket_start);
}

/* Squared deviations from the window's mean: the second pass of a two-pass variance. Buckets combine by Chan, Golub,
 * LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979). */
static double squares_of(const Exact *exact, const Buckets *buckets, const Range *range, double mean, double *scratch)
{
    int64_t count;
    const double *amounts = amounts_in(exact, range, scratch, &count);
    for (int64_t i = 0; i < count; i++) scratch[i] = (amounts[i] - mean) * (amounts[i] - mean);
    const double exactly = sum_of(scratch, count);
    const int64_t filled = range->bucket_end - range->bucket_start;
    for (int64_t i = 0; i < filled; i++) {
        const int64_t bucket = range->bucket_start + i;
        const double deviation = buckets->amount[bucket] / buckets->events[bucket] - mean;
        scratch[i] = deviation * deviation * buckets->events[bucket] + buckets->squares[bucket];
    }
    return exactly + sum_of(scratch, filled);
}

/* Time of the newest event up to `time`, the row's own left out; minus infinity when there is none. */
static double last_before(const Exact *exact, const Buckets *buckets, int64_t own, int64_t time)
{
    int64_t last = first_after(exact->time, exact->count, time) - 1;
    if (last >= 0 && last == own) last--;
    if (last >= 0) return (double)exact->time[last];
    last = first_after(buckets->time, buckets->count, time) - 1;
    return last >= 0 ? (double)buckets->time[last] : -INFINITY;
}

/* Number of statistics that a kind asks for. */
int64_t windows_width(const Kind *kind)
{
    int64_t width = kind->last;
    for (int w = 0; w < kind->windows; w++) width += __builtin_popcount(kind->window[w].asked);
    return width;
}

/* Write a row's statistics to out[0], out[stride], ... A window of a span is (time - delay - span, time - delay]. */
void windows_compute(const Kind *kind, const Exact *exact, const Buckets *buckets, int labelled, int64_t own,
                     int64_t time, double *out, int64_t stride)
{
    double scratch[EXACT_EVENTS];
    const int64_t end = time - kind->delay;
    Range range;
    range.exact_end = first_after(exact->time, exact->count, end);
    range.bucket_end = first_after(buckets->time, buckets->count, end);
    if (kind->last) {
        *out = last_before(exact, buckets, own, time);
        out += stride;
    }
    for (int w = 0; w < kind->windows; w++) {
        const Window *window = kind->window + w;
        range.exact_start = first_after(exact->time, range.exact_end, end - window->span);
        range.bucket_start = first_after(buckets->time, range.bucket_end, end - window->span);
        range.own = own >= range.exact_start && own < range.exact_end ? own : -1;
        const int64_t events = window->asked & (COUNT | SQUARES) ? events_in(buckets, &range) : 0;
        if (window->asked & COUNT) *out = (double)events, out += stride;
        if (window->asked & FRAUDS)
            *out = labelled ? (double)frauds_in(exact, buckets, &range, time) : 0.0, out += stride;
        if (!(window->asked & (TOTAL | SQUARES))) continue;
        const double total = total_of(exact, buckets, &range, scratch);
        if (window->asked & TOTAL) *out = total, out += stride;
        if (window->asked & SQUARES) {
            const double mean = total / (events > 0 ? (double)events : 1.0);
            *out = squares_of(exact, buckets, &range, mean, scratch);
            out += stride;
        }
    }
}
