/* Rotary positions, by halves of the leading channels and by pairs of the trailing ones. */
#include "backends/fp64/fp64.h"

#include <string.h>

/* What turns the rows of a pass, or of the entries that it closes. */
struct turning {
    int64_t half;        /* pairs */
    double *frequencies; /* [half] */
    double scale;
};

static bool begin(alloy_pass *p, const alloy_rope *rope, int64_t width, struct turning *t)
{
    t->half = (width + 1) / 2;
    t->frequencies = alloy_pass_take(p, t->half, sizeof *t->frequencies);
    if (t->frequencies)
        t->scale = alloy_rotary_frequencies(rope, width, t->frequencies);
    return t->frequencies != NULL;
}

/* (a, b) turned by `position`, or back. */
static void turn(const struct turning *t, int64_t i, int64_t position, bool back, double *a, double *b)
{
    double angle = (double)position * t->frequencies[i], cosine = cos(angle) * t->scale, sine = sin(angle) * t->scale;
    double first = *a, second = *b;
    sine = back ? -sine : sine;
    *a = first * cosine - second * sine;
    *b = second * cosine + first * sine;
}

void alloy_fp64_rotary(const alloy_args *a)
{
    const alloy_rope *rope = a->options;
    struct turning t;
    int64_t heads = a->in[0]->shape[1], d = a->in[0]->shape[2];
    if (!begin(a->pass, rope, alloy_rotary_width(rope, d), &t))
        return;
    memcpy(alloy_f64(a->out[0]), alloy_f64(a->in[0]), (size_t)alloy_tensor_size(a->in[0]) * sizeof(double));
    for (int64_t s = 0; s < a->pass->span_count; s++)
        for (int64_t k = 0; k < a->pass->spans[s].count * heads; k++) {
            double *x = alloy_f64(a->out[0]) + (a->pass->spans[s].first * heads + k) * d;
            for (int64_t i = 0; i < t.half; i++)
                turn(&t, i, a->pass->spans[s].past + k / heads, false, &x[i], &x[t.half + i]);
        }
}

/* Rows of tokens, or with a rate those of the entries that the pass closes, sequence by sequence. */
void alloy_fp64_rotary_pairs(const alloy_args *a)
{
    const struct alloy_rotary_pairs_options *o = a->options;
    struct turning t;
    int64_t d = alloy_last_dimension(a->in[0]), heads = alloy_row_size(a->in[0]) / d;
    double *x = alloy_f64(a->out[0]);
    if (!begin(a->pass, &o->rope, o->width, &t))
        return;
    memcpy(x, alloy_f64(a->in[0]), (size_t)alloy_tensor_size(a->in[0]) * sizeof(double));
    for (int64_t s = 0; s < a->pass->span_count; s++) {
        const alloy_span *span = &a->pass->spans[s];
        int64_t first = alloy_entries_before(span, o->rate);
        for (int64_t k = 0; k < alloy_entries_closed(span, o->rate) * heads; k++, x += d)
            for (int64_t i = 0; i < t.half; i++) {
                double *pair = x + d - 2 * t.half + 2 * i;
                turn(&t, i, (first + k / heads) * o->rate, o->back, &pair[0], &pair[1]);
            }
    }
}
