/* Rotary positions: halves of each head's leading channels are turned by the token's position (arXiv:2104.09864). */
#include "ops/rotary_table.h"

enum { TOKENS_A_PIECE = 16 };

struct rotation {
    const alloy_kernels *kernels;
    const alloy_tensor *x;
    float *y;
    const alloy_rotary_table *table;
};

static void rotate(void *context, int64_t first, int64_t count, void *scratch)
{
    (void)scratch;
    const struct rotation *r = context;
    int64_t half = r->table->half, width = alloy_row_size(r->x);
    for (int64_t t = first; t < first + count; t++)
        r->kernels->rotary(r->y + t * width, alloy_f32(r->x) + t * width, r->x->shape[1], r->x->shape[2], half,
                           r->table->cos + t * half, r->table->sin + t * half);
}

static void run(const alloy_args *a)
{
    const alloy_rope *rope = a->options;
    const alloy_rotary_table *table =
        alloy_rotary_table_of(a->pass, rope, alloy_rotary_width(rope, a->in[0]->shape[2]), 1);
    struct rotation rotation = {a->pass->kernels, a->in[0], alloy_f32(a->out[0]), table};
    if (table)
        alloy_pass_ranges(a->pass, a->in[0]->shape[0], TOKENS_A_PIECE, rotate, &rotation);
}

static void count(const alloy_args *a, alloy_cost *cost)
{
    alloy_count n = a->in[0]->shape[0], heads = a->in[0]->shape[1],
                channels = alloy_rotary_channels(a->options, a->in[0]->shape[2]);
    alloy_cost_let(cost, n, heads, channels);
    alloy_cost_vector(cost, 3 * n * heads * channels);
}

static const alloy_op rotary = {"rotary", run, count};

alloy_tensor *alloy_rotary(alloy_pass *p, alloy_tensor *x, const alloy_rope *rope)
{
    if (alloy_pass_stopped(p, x))
        return NULL;
    int64_t channels = x->ndim == 3 ? alloy_rotary_channels(rope, x->shape[2]) : -1;
    if (channels < 2 || channels > x->shape[2])
        return alloy_shape_fail(p, "rotary", "%lld rotated channels of heads of %lld", (long long)channels,
                                (long long)x->shape[2]);
    alloy_tensor *y = alloy_tensor_like(p, x);
    return y ? alloy_apply(p, &rotary,
                           &(alloy_args){.in = {x}, .out = {y}, .options = rope, .options_size = sizeof *rope})
             : NULL;
}
