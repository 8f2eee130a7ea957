/* DeepSeek's rotary positions: pairs (2i, 2i + 1) of each head's trailing channels are turned by a position
 * (arXiv:2104.09864, eq. 34), of a token or of an entry, or turned back by it. */
#include "ops/rotary_table.h"
#include "ops/state.h"

enum { ROWS_A_PIECE = 16, MOST_CHANNELS = ALLOY_TASK_SCRATCH / 16 };

struct options {
    alloy_rope rope;
    int64_t width; /* what exponents are divided by; rotated: rounded up to an even number */
    int64_t rate;  /* tokens a row */
    bool back;
};

static int64_t rotated(const struct options *o)
{
    return (o->width + 1) / 2 * 2;
}

struct rotation {
    const alloy_kernels *kernels;
    const alloy_tensor *x;
    float *y;
    const alloy_rotary_table *table;
    bool back;
};

/* The kernel takes a factor for each channel: (cos, cos), and (-sin, sin) for what the pair's other channel adds. */
static void rotate(void *context, int64_t first, int64_t count, void *scratch)
{
    const struct rotation *r = context;
    int64_t half = r->table->half, width = alloy_row_size(r->x);
    float *cosines = scratch, *sines = cosines + 2 * half;
    for (int64_t t = first; t < first + count; t++) {
        for (int64_t i = 0; i < half; i++) {
            float sine = r->table->sin[t * half + i];
            cosines[2 * i] = cosines[2 * i + 1] = r->table->cos[t * half + i];
            sines[2 * i] = r->back ? sine : -sine;
            sines[2 * i + 1] = r->back ? -sine : sine;
        }
        r->kernels->rotary_pairs(r->y + t * width, alloy_f32(r->x) + t * width, r->x->ndim == 3 ? r->x->shape[1] : 1,
                                 alloy_last_dimension(r->x), 2 * half, cosines, sines);
    }
}

static void run(const alloy_args *a)
{
    const struct options *o = a->options;
    const alloy_rotary_table *table = alloy_rotary_table_of(a->pass, &o->rope, o->width, o->rate);
    struct rotation rotation = {a->pass->kernels, a->in[0], alloy_f32(a->out[0]), table, o->back};
    if (table)
        alloy_pass_ranges(a->pass, a->in[0]->shape[0], ROWS_A_PIECE, rotate, &rotation);
}

static void count(const alloy_args *a, alloy_cost *cost)
{
    const struct options *o = a->options;
    alloy_count n = a->in[0]->shape[0], channels = rotated(o),
                heads = alloy_row_size(a->in[0]) / alloy_last_dimension(a->in[0]);
    alloy_cost_let(cost, n, heads, channels);
    alloy_cost_vector(cost, 3 * n * heads * channels);
}

static const alloy_op rotary_pairs = {"rotary_pairs", run, count};

static alloy_tensor *apply(alloy_pass *p, alloy_tensor *x, int ndim, const struct options *options)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    if (x->ndim != ndim || options->width < 1 || rotated(options) > alloy_last_dimension(x) ||
        rotated(options) > MOST_CHANNELS)
        return alloy_shape_fail(p, "rotary_pairs", "%lld rotated channels of heads of %lld",
                                (long long)rotated(options), (long long)alloy_last_dimension(x));
    alloy_tensor *y = alloy_tensor_like(p, x);
    return y ? alloy_apply(p, &rotary_pairs,
                           &(alloy_args){.in = {x}, .out = {y}, .options = options, .options_size = sizeof *options})
             : NULL;
}

alloy_tensor *alloy_rotary_pairs(alloy_pass *p, alloy_tensor *x, const alloy_rope *rope, int64_t channels, bool back)
{
    return apply(p, x, 3, &(struct options){*rope, channels, 1, back});
}

alloy_tensor *alloy_rotary_entries(alloy_pass *p, alloy_tensor *x, const alloy_rope *rope, int64_t channels,
                                   int64_t rate)
{
    return apply(p, x, 2, &(struct options){*rope, channels, rate, false});
}
